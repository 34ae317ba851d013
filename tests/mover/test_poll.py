"""Passes over a whole folder: what ends where, and what it costs."""

import pytest
from lxml import etree

from mover.selection import path
from mover.service import AT_ONCE
from sandbox.nextcloud import Nextcloud
from sandbox.resources import FileResource
from sandbox.sabre import clark
from tests.fake_time import FakeTime
from tests.mover.harness import IMAGES, UNSORTED, Polls, asked, config, files, poll, put, seed, state

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
            peers = {record.peer for record in nextcloud.requests}
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
        assert len(peers) <= AT_ONCE + 1
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
    assert poll(nextcloud, images=path("not/there/yet")) == []
    assert "not/there/yet/cats/a.jpg" in files(nextcloud)


def test_other_settings_take_effect_at_the_next_poll(nextcloud: Nextcloud) -> None:
    for tag in ("ai:cats", "ki:cats"):
        nextcloud.create_tag(tag)
    put(nextcloud, "a.jpg", "ai:cats")
    put(nextcloud, "b.jpg", "ki:cats")
    with Polls(config(nextcloud)) as polls:
        polls.one()
        polls.one(config(nextcloud, parent="ki", images=path("others")))
    assert set(files(nextcloud)) == {f"{IMAGES}/cats/a.jpg", "others/cats/b.jpg"}


def test_images_root_in_the_unsorted_folder_and_the_other_way_round(nextcloud: Nextcloud) -> None:
    for tag in ("ai:cats", "ai:unsorted", "ai:raw"):
        nextcloud.create_tag(tag)
    put(nextcloud, "a.jpg", "ai:cats")
    assert poll(nextcloud, images=path(UNSORTED)) == []
    assert set(files(nextcloud)) == {f"{UNSORTED}/cats/a.jpg"}
    put(nextcloud, "b.jpg", "ai:cats")
    put(nextcloud, "c.jpg", "ai:unsorted")
    put(nextcloud, "d.jpg", "ai:raw")
    assert poll(nextcloud, images=path("data"), raw=path("data/raw")) == []
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
