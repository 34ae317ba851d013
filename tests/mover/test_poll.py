"""Polls of a whole folder: what ends where, and what it costs."""

import pytest
from lxml import etree

from mover.service import AT_ONCE
from sandbox.nextcloud import Nextcloud
from sandbox.resources import FileResource
from sandbox.sabre import clark
from shared.errors import StorageFull
from tests.fake_time import FakeTime
from tests.mover.harness import IMAGES, UNSORTED, Polls, asked, config, files, inject, poll, put, seed, state

TAGS = ["ai:cats", "ai:landscapes", "ai:Grüße 🐈", "ai:a:b #1 50%", "ai:" + "x" * 61]


def fill(nextcloud: Nextcloud) -> dict[str, str]:
    """200 images, 60 of them with one of five tags, every third with another beside it; where they belong."""
    for tag in (*TAGS, "holiday"):
        nextcloud.create_tag(tag)
    belongs = {}
    for number in range(200):
        name = f"image {number:03}.jpg"
        tags = [TAGS[number // 3 % 5]] if number < 180 and number % 3 == 0 else []
        put(nextcloud, name, *tags, *(["holiday"] if number % 9 == 0 else []))
        folder = f"{IMAGES}/{tags[0].removeprefix('ai:')}" if tags else UNSORTED
        belongs[f"{UNSORTED}/{name}"] = f"{folder}/{name}"
    return belongs


@pytest.mark.parametrize(
    "server",
    [
        pytest.param({}, id="at the top"),
        pytest.param({"base_path": "/cloud"}, id="under a sub-path"),
        pytest.param({"user": "alice@example.org", "user_id": "u 1.o'x@y"}, id="a login that is not the user id"),
    ],
)
def test_of_200_images_60_are_filed_and_the_others_left_alone(server: dict[str, str]) -> None:
    with Nextcloud(**server) as nextcloud:  # type: ignore[arg-type]
        seed(nextcloud)
        belongs = fill(nextcloud)
        put(nextcloud, "text.txt", "ai:cats")
        put(nextcloud, "below.jpg", "ai:cats", folder=f"{UNSORTED}/folder.jpg")
        nextcloud.tag(f"{UNSORTED}/folder.jpg", "ai:cats")
        put(nextcloud, "elsewhere.jpg", "ai:cats", folder="other")
        before = state(nextcloud)
        nextcloud.clear_log()

        with Polls(config(nextcloud)) as polls:
            assert polls.one() == []
            planned = asked(nextcloud)
            # The first asks who the account is, on a connection that is closed again.
            peers = {record.peer for record in nextcloud.requests[1:]}
            nextcloud.clear_log()
            assert polls.one() == []
            idle = asked(nextcloud)

        expected = {}
        for name, (data, file_id, tags) in before.items():
            moved = belongs.get(name, name)
            expected[moved] = (data, file_id, tags - set(TAGS) if moved != name else tags)
        assert sum(belongs[name] != name for name in belongs) == 60
        assert state(nextcloud) == expected
        assert (planned["MOVE"], planned["DELETE"], planned["MKCOL"]) == (60, 60, 5)
        assert planned.total() <= 3 * 60
        # Each thread has a connection to move images with, and one to remove tags with.
        assert len(peers) <= 2 * AT_ONCE
        assert idle == {"PROPFIND": 1}


def test_an_idle_poll_over_a_thousand_images_costs_one_request(nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    for number in range(1000):
        (nextcloud.folder / UNSORTED / f"{number}.jpg").touch()
    with Polls(config(nextcloud)) as polls:
        polls.one()
        nextcloud.clear_log()
        polls.one()
    assert asked(nextcloud) == {"PROPFIND": 1}


@pytest.mark.parametrize("number_of_tags", [3, 300])
def test_the_number_of_tags_on_the_server_costs_nothing(nextcloud: Nextcloud, number_of_tags: int) -> None:
    for number in range(number_of_tags):
        nextcloud.create_tag(f"ai:category {number}")
    put(nextcloud, "a.jpg", "ai:category 0")
    put(nextcloud, "left.jpg", "ai:category 1", folder=f"{IMAGES}/category 1")
    put(nextcloud, "elsewhere.jpg", "ai:category 2", folder="other")
    nextcloud.clear_log()
    assert poll(nextcloud) == []
    # They ask who the account is, and list the unsorted folder, the tags in use, and the folders of the two that are.
    assert asked(nextcloud) == {"PROPFIND": 5, "MKCOL": 1, "MOVE": 1, "DELETE": 2}
    assert nextcloud.tags_of(f"{IMAGES}/category 1/left.jpg") == set()


def test_images_are_filed_before_leftovers_are_looked_for(nextcloud: Nextcloud) -> None:
    for tag in ("ai:cats", "ai:dogs"):
        nextcloud.create_tag(tag)
    for number in range(10):
        put(nextcloud, f"{number}.jpg", "ai:cats")
    put(nextcloud, "left.jpg", "ai:dogs", folder=f"{IMAGES}/dogs")
    nextcloud.clear_log()
    assert poll(nextcloud) == []
    requests = [record.method for record in nextcloud.requests]
    # The account, the unsorted folder, and at last the tags in use and the folder of the one that is.
    assert requests[:2] == ["PROPFIND", "PROPFIND"]
    assert requests[-3:] == ["PROPFIND", "PROPFIND", "DELETE"]
    assert "PROPFIND" not in requests[2:-3]


def test_leftovers_wait_no_longer_than_the_next_poll_if_filing_was_broken_off(
    nextcloud: Nextcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    nextcloud.create_tag("ai:cats")
    put(nextcloud, "a.jpg", "ai:cats")
    put(nextcloud, "left.jpg", "ai:cats", folder=f"{IMAGES}/cats")

    def full() -> None:
        raise StorageFull("507")

    inject(monkeypatch, "move", before=full)
    with Polls(config(nextcloud)) as polls:
        with pytest.raises(StorageFull):
            polls.one()
        assert polls.one() == []
    assert not any(tags for _, _, tags in state(nextcloud).values())


def test_what_another_mover_left_is_found_with_two_requests_a_poll(nextcloud: Nextcloud) -> None:
    for tag in TAGS:
        nextcloud.create_tag(tag)
    time = FakeTime()
    with Polls(config(nextcloud), time.stop()) as polls:
        polls.one()
        for number in range(60):
            if number == 30:
                put(nextcloud, "left.jpg", "ai:landscapes", folder=f"{IMAGES}/landscapes")
            nextcloud.clear_log()
            polls.one()
            assert len(nextcloud.requests) <= 2 + asked(nextcloud)["DELETE"]
            time.now += 30
    assert nextcloud.tags_of(f"{IMAGES}/landscapes/left.jpg") == set()


def test_an_image_costs_three_requests(nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    with Polls(config(nextcloud)) as polls:
        polls.one()
        for number in range(3):
            put(nextcloud, f"{number}.jpg", "ai:cats")
            nextcloud.clear_log()
            polls.one()
            made = {"MKCOL": 1} if number == 0 else {}
            assert asked(nextcloud) == {"PROPFIND": 1, "MOVE": 1, "DELETE": 1, **made}


def test_the_folders_above_are_made_as_well(nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    put(nextcloud, "a.jpg", "ai:cats")
    assert poll(nextcloud, images="not/there/yet") == []
    assert "not/there/yet/cats/a.jpg" in files(nextcloud)


def test_other_settings_take_effect_at_the_next_poll(nextcloud: Nextcloud) -> None:
    for tag in ("ai:cats", "ki:cats"):
        nextcloud.create_tag(tag)
    put(nextcloud, "a.jpg", "ai:cats")
    put(nextcloud, "b.jpg", "ki:cats")
    with Polls(config(nextcloud)) as polls:
        polls.one()
        polls.one(config(nextcloud, parent="ki", images="others"))
    assert set(files(nextcloud)) == {f"{IMAGES}/cats/a.jpg", "others/cats/b.jpg"}


def test_images_root_in_the_unsorted_folder_and_the_other_way_round(nextcloud: Nextcloud) -> None:
    for tag in ("ai:cats", "ai:unsorted", "ai:raw"):
        nextcloud.create_tag(tag)
    put(nextcloud, "a.jpg", "ai:cats")
    assert poll(nextcloud, images=UNSORTED) == []
    assert set(files(nextcloud)) == {f"{UNSORTED}/cats/a.jpg"}
    put(nextcloud, "b.jpg", "ai:cats")
    put(nextcloud, "c.jpg", "ai:unsorted")
    put(nextcloud, "d.jpg", "ai:raw")
    assert poll(nextcloud, images="data", raw="data/raw") == []
    assert {f"{UNSORTED}/c.jpg", f"{UNSORTED}/d.jpg", "data/cats/b.jpg"} < set(files(nextcloud))
    assert nextcloud.tags_of(f"{UNSORTED}/c.jpg") == {"ai:unsorted"}


@pytest.fixture
def older_nextcloud(nextcloud: Nextcloud, monkeypatch: pytest.MonkeyPatch) -> Nextcloud:
    """One whose listings lack tags."""
    monkeypatch.delitem(FileResource.table, clark("nc:system-tags"))
    return nextcloud


def test_an_older_server_is_asked_tag_by_tag(older_nextcloud: Nextcloud, said: list[str]) -> None:
    nextcloud = older_nextcloud
    for tag in ("ai:cats", "ai:dogs", "ai:..", "holiday"):
        nextcloud.create_tag(tag)
    nextcloud.create_tag("ai:locked", user_assignable=False)
    put(nextcloud, "a.jpg", "ai:cats", "holiday")
    put(nextcloud, "b.jpg", "ai:dogs", "ai:cats")
    put(nextcloud, "c.jpg", "ai:..")
    put(nextcloud, "d.jpg", "ai:locked")
    put(nextcloud, "left.jpg", "ai:dogs", folder=f"{IMAGES}/dogs")
    put(nextcloud, "elsewhere.jpg", "ai:dogs", folder="other")
    with Polls(config(nextcloud)) as polls:
        assert polls.one() == []
        nextcloud.clear_log()
        assert polls.one() == []
        assert asked(nextcloud) == {"PROPFIND": 1, "REPORT": 2}
    assert {name: tags for name, (_, _, tags) in state(nextcloud).items()} == {
        f"{IMAGES}/cats/a.jpg": {"holiday"},
        f"{IMAGES}/cats/b.jpg": {"ai:dogs"},
        f"{UNSORTED}/c.jpg": {"ai:.."},
        f"{UNSORTED}/d.jpg": {"ai:locked"},
        f"{IMAGES}/dogs/left.jpg": set(),
        "other/elsewhere.jpg": {"ai:dogs"},
    }
    assert [line for line in said if line.startswith("WARNING") and "'ai:..'" in line]
    assert len([line for line in said if line.startswith("WARNING")]) == 3


def test_listings_whose_tags_have_no_ids_are_not_relied_on(
    nextcloud: Nextcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names_only(file: FileResource) -> etree._Element:
        element = etree.Element(clark("nc:system-tags"))
        for tag in nextcloud.tags_of(file.entry.path):
            etree.SubElement(element, clark("nc:system-tag")).text = tag
        return element

    monkeypatch.setitem(FileResource.table, clark("nc:system-tags"), names_only)
    nextcloud.create_tag("ai:cats")
    put(nextcloud, "a.jpg", "ai:cats")
    assert poll(nextcloud) == []
    assert state(nextcloud)[f"{IMAGES}/cats/a.jpg"][2] == set()
