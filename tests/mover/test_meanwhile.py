"""What others do while an image is on its way: no error, nothing lost, one line."""

import os
import threading
from collections.abc import Callable

import pytest

from mover.move import ServerDown
from sandbox.nextcloud import Nextcloud
from shared.errors import Failure, Forbidden, NotWebDav, ServerUnavailable, ServerUnreachable, StorageFull, Unauthorized
from shared.retry import ATTEMPTS
from tests.fake_time import FakeTime
from tests.mover.harness import IMAGES, UNSORTED, Polls, asked, config, files, inject, poll, put, state

CATS = f"{IMAGES}/cats"
LIST_UNSORTED, LIST_TAGS = f"list_folder {UNSORTED}/", "list_folder systemtags-assigned/image/"
LIST_CATS, ASK_WHO = f"list_folder {CATS}/", "stat remote.php/dav/"


@pytest.fixture
def tagged(nextcloud: Nextcloud) -> Nextcloud:
    """Three images for one category, whose folder is there."""
    nextcloud.create_tag("ai:cats")
    (nextcloud.folder / CATS).mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        put(nextcloud, name, "ai:cats")
    return nextcloud


def only(nextcloud: Nextcloud) -> None:
    """Leave a.jpg alone in the unsorted folder."""
    for name in ("b.jpg", "c.jpg"):
        (nextcloud.folder / UNSORTED / name).unlink()


def rename(nextcloud: Nextcloud, source: str, target: str) -> None:
    """Move a file as another client of the server would: it stays the same file."""
    (nextcloud.folder / target).parent.mkdir(parents=True, exist_ok=True)
    with nextcloud._tree.lock:
        parent = nextcloud._entry(target.rpartition("/")[0])
        nextcloud._tree.move(nextcloud._entry(source), parent, target.rpartition("/")[2])


@pytest.mark.parametrize("when", ["move", "unassign"])
def test_deleted_by_someone(tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch, said: list[str], when: str) -> None:
    only(tagged)
    place = UNSORTED if when == "move" else CATS
    inject(monkeypatch, when, before=(tagged.folder / place / "a.jpg").unlink)
    assert poll(tagged) == []
    assert files(tagged) == {}
    assert sum("a.jpg" in line for line in said) == 1


def test_moved_elsewhere_by_someone(tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    only(tagged)
    inject(monkeypatch, "move", before=lambda: rename(tagged, f"{UNSORTED}/a.jpg", "elsewhere/z.jpg"))
    assert poll(tagged) == []
    assert tagged.tags_of("elsewhere/z.jpg") == {"ai:cats"}
    assert [line for line in said if "a.jpg" in line] == ["INFO a.jpg was moved or removed in the meantime"]


def test_deleted_and_the_name_taken_at_the_destination(tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    only(tagged)
    put(tagged, "a.jpg", folder=CATS)
    there = files(tagged)[f"{CATS}/a.jpg"]
    inject(monkeypatch, "move", before=(tagged.folder / UNSORTED / "a.jpg").unlink)
    assert poll(tagged) == []
    assert files(tagged) == {f"{CATS}/a.jpg": there}


def test_changed_by_someone_is_filed_in_the_next_poll(
    tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    only(tagged)

    def change() -> None:
        image = tagged.folder / UNSORTED / "a.jpg"
        image.write_bytes(b"another version")
        os.utime(image, (1, 1))

    inject(monkeypatch, "move", before=change)
    with Polls(config(tagged)) as polls:
        assert polls.one() == []
        assert files(tagged) == {f"{UNSORTED}/a.jpg": b"another version"}
        assert [line for line in said if "a.jpg" in line] == ["INFO a.jpg was changed in the meantime"]
        assert polls.one() == []
    assert files(tagged) == {f"{CATS}/a.jpg": b"another version"}


def test_replaced_by_an_untagged_one(tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    only(tagged)

    def replace() -> None:
        tagged.untag(f"{UNSORTED}/a.jpg", "ai:cats")
        rename(tagged, f"{UNSORTED}/a.jpg", "elsewhere/a.jpg")
        put(tagged, "a.jpg")

    inject(monkeypatch, "move", before=replace)
    with Polls(config(tagged)) as polls:
        assert polls.one() == polls.one() == []
    assert set(files(tagged)) == {f"{UNSORTED}/a.jpg", "elsewhere/a.jpg"}


@pytest.mark.parametrize("when", ["make_folder", "move", "unassign", LIST_UNSORTED, LIST_TAGS, LIST_CATS])
@pytest.mark.parametrize("what", ["untag", "delete the tag", "retag"])
def test_untagged_retagged_or_the_tag_deleted(
    tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch, when: str, what: str
) -> None:
    only(tagged)
    tagged.create_tag("ai:dogs")
    file_id = tagged.file_id(f"{UNSORTED}/a.jpg")
    if when == LIST_CATS:
        # Of what was just filed no tag is left that would lead there.
        rename(tagged, f"{UNSORTED}/a.jpg", f"{CATS}/a.jpg")
    changes = []

    def change() -> None:
        changes.append(what)
        path = next(name for name in files(tagged) if tagged.file_id(name) == file_id)
        if what == "delete the tag":
            tagged.delete_tag("ai:cats")
            return
        tagged.untag(path, "ai:cats")
        if what == "retag":
            tagged.tag(path, "ai:dogs")

    inject(monkeypatch, when, before=change)
    with Polls(config(tagged)) as polls:
        assert polls.one() == polls.one() == []
    assert changes == [what]
    ((name, (_, now, tags)),) = state(tagged).items()
    assert now == file_id
    assert name in {f"{UNSORTED}/a.jpg", f"{CATS}/a.jpg", f"{IMAGES}/dogs/a.jpg"}
    assert tags in (set(), {"ai:dogs"})
    # The tag was there when the folder was listed: then it is filed, and what was put on since stays on.
    assert when not in ("move", "unassign") or name == f"{CATS}/a.jpg"


def test_the_folder_is_taken_away(tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    with Polls(config(tagged)) as polls:
        polls.one()
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            (tagged.folder / CATS / name).unlink()
        (tagged.folder / CATS).rmdir()
        put(tagged, "d.jpg", "ai:cats")
        assert polls.one() == []
    assert set(files(tagged)) == {f"{CATS}/d.jpg"}


# --- answers that do not tell what happened -------------------------------------------------------------------------


def lost() -> None:
    raise ServerUnreachable("the answer was lost")


@pytest.mark.parametrize(
    "method",
    ["make_folder", "move", "unassign", f"stat {UNSORTED}/a.jpg", LIST_UNSORTED, LIST_TAGS, LIST_CATS, ASK_WHO],
)
@pytest.mark.parametrize("done", [True, False])
def test_a_lost_answer_loses_nothing(
    nextcloud: Nextcloud, monkeypatch: pytest.MonkeyPatch, method: str, done: bool
) -> None:
    nextcloud.create_tag("ai:cats")
    put(nextcloud, "a.jpg", folder=CATS)
    for name in ("a.jpg", "b.jpg"):
        put(nextcloud, name, "ai:cats")
    ids = {nextcloud.file_id(name) for name in files(nextcloud)}
    inject(monkeypatch, method, after=lost if done else None, before=None if done else lost, times=2)
    assert poll(nextcloud) == []
    now = state(nextcloud)
    assert set(now) == {f"{CATS}/{name}" for name in ("a.jpg", "a (2).jpg", "b.jpg")}
    assert {file_id for _, file_id, _ in now.values()} == ids
    assert not any(tags for _, _, tags in now.values())


def test_a_locked_image_waits_and_the_others_go_on(tagged: Nextcloud, said: list[str]) -> None:
    tagged.lock(f"{UNSORTED}/b.jpg")
    time = FakeTime()
    with Polls(config(tagged), time.stop()) as polls:
        (failure,) = polls.one()
        assert isinstance(failure, ServerUnavailable)
        assert set(files(tagged)) == {f"{UNSORTED}/b.jpg", f"{CATS}/a.jpg", f"{CATS}/c.jpg"}
        polls.one()
        assert sum("b.jpg" in line for line in said) == 1
        tagged.unlock(f"{UNSORTED}/b.jpg")
        time.now += 60
        assert polls.one() == []
    assert set(files(tagged)) == {f"{CATS}/a.jpg", f"{CATS}/b.jpg", f"{CATS}/c.jpg"}


def poll_for_long(polls: Polls, time: FakeTime) -> None:
    """A hundred polls, one every half minute."""
    for _ in range(100):
        polls.one()
        time.now += 30


def test_an_image_that_stays_locked_is_tried_ever_less_often(tagged: Nextcloud) -> None:
    tagged.lock(f"{UNSORTED}/b.jpg")
    time = FakeTime()
    with Polls(config(tagged), time.stop()) as polls:
        polls.one()
        tagged.clear_log()
        poll_for_long(polls, time)
        assert asked(tagged)["MOVE"] <= 7 * ATTEMPTS
        # A listing in each poll, a look after each MOVE, and now and then one for leftovers.
        assert asked(tagged).total() <= 100 + 2 * 7 * ATTEMPTS + 2 * 6
        tagged.unlock(f"{UNSORTED}/b.jpg")
        time.now += 3600
        assert polls.one() == []
    assert f"{CATS}/b.jpg" in files(tagged)


def test_a_tag_that_stays_on_is_tried_ever_less_often(tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    only(tagged)
    tried = []

    def rejected() -> None:
        tried.append(1)
        raise Forbidden("403")

    inject(monkeypatch, "unassign", before=rejected, times=1000)
    time = FakeTime()
    with Polls(config(tagged), time.stop()) as polls:
        polls.one()
        tagged.clear_log()
        poll_for_long(polls, time)
        # After one, two, four and eight minutes, then with every look for leftovers.
        assert len(tried) <= 12
        assert asked(tagged).total() <= 100 + 3 * len(tried)
        monkeypatch.undo()
        time.now += 600
        assert polls.one() == []
    assert tagged.tags_of(f"{CATS}/a.jpg") == set()


def test_an_image_that_is_locked_for_a_moment_is_filed_in_the_same_poll(tagged: Nextcloud) -> None:
    tagged.lock(f"{UNSORTED}/b.jpg")

    class Time(FakeTime):
        def wait(self, event: threading.Event, seconds: float) -> bool:
            tagged.unlock(f"{UNSORTED}/b.jpg")
            return super().wait(event, seconds)

    assert poll(tagged, Time().stop()) == []
    assert set(files(tagged)) == {f"{CATS}/a.jpg", f"{CATS}/b.jpg", f"{CATS}/c.jpg"}


def test_maintenance_that_begins_under_way(tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        put(tagged, f"{number}.jpg", "ai:cats")
    inject(monkeypatch, "unassign", before=lambda: setattr(tagged, "maintenance", True))
    with Polls(config(tagged)) as polls:
        tagged.clear_log()
        with pytest.raises(ServerDown):
            polls.one()
        # Not every image runs into the wall.
        assert asked(tagged)["MOVE"] < 12 + 23
        with pytest.raises(ServerUnavailable):
            polls.one()
        tagged.maintenance = False
        assert polls.one() == []
    assert {name: tags for name, (_, _, tags) in state(tagged).items()} == {
        f"{CATS}/{name}.jpg": set() for name in ("a", "b", "c", *range(20))
    }


def reject(failure: Failure) -> Callable[[], None]:
    def now() -> None:
        raise failure

    return now


@pytest.mark.parametrize("method", ["move", "unassign", "make_folder"])
@pytest.mark.parametrize("failure", [Unauthorized("401"), StorageFull("507"), NotWebDav("a login page")])
def test_what_concerns_every_image_ends_the_poll_at_once(
    tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch, method: str, failure: Failure
) -> None:
    for number in range(20):
        put(tagged, f"{number}.jpg", "ai:cats")
    inject(monkeypatch, method, before=reject(failure), times=99)
    with Polls(config(tagged)) as polls, pytest.raises(type(failure)):
        polls.one()
    # What others had in flight; nothing new was begun.
    assert asked(tagged)["MOVE"] <= 5
    monkeypatch.undo()
    assert poll(tagged) == []
    assert len(state(tagged)) == 23
    assert all(name.startswith(CATS) and not tags for name, (_, _, tags) in state(tagged).items())


def test_a_tag_that_turns_out_not_to_come_off(
    tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    inject(monkeypatch, "unassign", before=reject(Forbidden("403")))
    with Polls(config(tagged)) as polls:
        assert len(polls.one()) == 1
        assert len([line for line in said if line.startswith("ERROR The tag 'ai:cats' is still on")]) == 1
        assert polls.one() == []
    assert all(name.startswith(CATS) and not tags for name, (_, _, tags) in state(tagged).items())


def test_another_mover_was_faster_and_the_server_says_403(
    tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    only(tagged)

    def lose_the_race() -> None:
        rename(tagged, f"{UNSORTED}/a.jpg", f"{CATS}/a.jpg")
        raise Forbidden("403")

    inject(monkeypatch, "move", before=lose_the_race)
    assert poll(tagged) == []
    assert {name: tags for name, (_, _, tags) in state(tagged).items()} == {f"{CATS}/a.jpg": set()}
    assert not [line for line in said if line.startswith("ERROR")]


def test_an_image_that_may_not_be_moved_is_left_and_said_once(
    tagged: Nextcloud, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    time = FakeTime()
    inject(monkeypatch, "move", before=reject(Forbidden("403")), times=2)
    with Polls(config(tagged), time.stop()) as polls:
        assert len(polls.one()) == 2
        tagged.clear_log()
        assert polls.one() == []
        assert asked(tagged) == {"PROPFIND": 1}
        assert len([line for line in said if line.startswith("ERROR")]) == 2
        time.now += 601
        assert polls.one() == []
    assert len([name for name in files(tagged) if name.startswith(CATS)]) == 3
