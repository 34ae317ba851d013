"""One move in detail: what it sends, and what it makes of each answer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from mover.move import CategoryFolders, FileMover, FolderUnusable, Moved, Outcome, ServerDown
from mover.selection import PlannedMove
from sandbox.nextcloud import Nextcloud
from shared.errors import (
    Failure,
    Forbidden,
    NotAccepted,
    NotFound,
    ParentNotFound,
    PreconditionFailed,
    ServerUnavailable,
    ServerUnreachable,
    StorageFull,
)
from shared.retry import RetryPolicy
from shared.webdav.store import BASIC, Entry, Prop, Store, Tag
from tests.contract.spy import Call, SpiedAccount, SpiedStore
from tests.fake_time import FakeTime
from tests.mover.harness import IMAGES, UNSORTED, config, files, put

NAME, CATEGORY = "a.jpg", "cats"
FOLDER = f"{IMAGES}/{CATEGORY}"
THERE = f"{FOLDER}/{NAME}"


@dataclass
class Bench:
    """A Nextcloud with an image, and what moves it."""

    nextcloud: Nextcloud
    store: Store
    mover: FileMover
    file: Entry
    calls: list[Call]
    acts: list[tuple[str, bool, Callable[[], None]]] = field(default_factory=list)

    def on(self, method: str, act: Callable[[], None] | Failure, *, after: bool = False) -> None:
        """Do something, or fail, at the next call of a method."""
        self.acts.append((method, after, failing(act) if isinstance(act, Failure) else act))

    def move(self) -> Moved:
        return self.mover.move(PlannedMove(self.file, Tag("1", f"ai:{CATEGORY}"), CATEGORY))

    @property
    def methods(self) -> list[str]:
        return [call.method for call in self.calls if not call.after]

    def write(self, path: str, data: bytes = b"by a person") -> None:
        # Nextcloud's ETag would stay the same within a second.
        self.nextcloud.write(path, data, mtime=1_000_000_000)


def failing(error: Failure) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.fixture
def bench(nextcloud: Nextcloud) -> Iterator[Bench]:
    put(nextcloud, NAME)
    calls: list[Call] = []

    def spy(call: Call) -> None:
        calls.append(call)
        for act in made.acts:
            if act[:2] == (call.method, call.after):
                made.acts.remove(act)
                act[2]()
                return

    settings, retry = config(nextcloud), RetryPolicy(FakeTime().stop())
    connections = SpiedAccount(settings.account, spy).open(retry)
    plain = settings.account.open(retry)
    with plain.connect() as store:
        file = store.stat(store.href(UNSORTED, NAME), (*BASIC, Prop.FILE_ID))
        assert file is not None
        made = Bench(nextcloud, store, FileMover(connections, settings.rules, retry), file, calls)
        yield made
    connections.close()
    plain.close()


def test_a_move_is_one_request_once_the_folder_is_there(bench: Bench, said: list[str]) -> None:
    assert bench.move() == Moved(Outcome.FILED, NAME)
    assert bench.methods == ["make_folder", "move"]
    assert list(files(bench.nextcloud)) == [THERE]
    assert [line for line in said if "Created" in line] == [f"INFO Created the folder {FOLDER}"]
    put(bench.nextcloud, NAME)
    file = bench.store.stat(bench.file.href, (*BASIC, Prop.FILE_ID))
    assert file is not None
    bench.file = file
    bench.calls.clear()
    assert bench.move() == Moved(Outcome.FILED, "a (2).jpg")
    assert bench.methods == ["move", "stat", "list_folder", "move"]


def test_a_folder_that_is_there_is_not_said_to_be_created(bench: Bench, said: list[str]) -> None:
    bench.nextcloud.mkdir(FOLDER)
    bench.move()
    assert not [line for line in said if "Created" in line]


@pytest.mark.parametrize("error", [ServerUnavailable("503"), ServerUnreachable("cut off"), Forbidden("403")])
def test_a_lost_answer_is_made_up_for_by_a_look(bench: Bench, error: Failure) -> None:
    bench.on("move", error, after=True)
    assert bench.move() == Moved(Outcome.FILED, NAME)
    assert bench.methods == ["make_folder", "move", "stat", "list_folder"]


def test_an_image_that_is_elsewhere_was_taken_away(bench: Bench) -> None:
    bench.on("move", lambda: bench.nextcloud.rename(f"{UNSORTED}/{NAME}", "data/elsewhere.jpg"))
    assert bench.move() == Moved(Outcome.TAKEN_AWAY)


def test_another_image_under_its_name_is_not_it(bench: Bench) -> None:
    def interfere() -> None:
        bench.nextcloud.delete(f"{UNSORTED}/{NAME}")
        bench.write(f"{UNSORTED}/{NAME}")

    bench.on("move", interfere)
    assert bench.move() == Moved(Outcome.TAKEN_AWAY)
    assert files(bench.nextcloud)[f"{UNSORTED}/{NAME}"] == b"by a person"


def test_a_version_that_was_not_listed_stays(bench: Bench) -> None:
    bench.on("move", lambda: bench.write(f"{UNSORTED}/{NAME}"))
    assert bench.move() == Moved(Outcome.CHANGED)


@pytest.mark.parametrize("error", [Forbidden("403"), NotFound("404")])
def test_an_image_that_is_still_there_was_rejected(bench: Bench, error: Failure) -> None:
    bench.on("move", error)
    with pytest.raises(type(error)):
        bench.move()
    assert bench.methods == ["make_folder", "move", "stat"]


@pytest.mark.parametrize("error", [NotAccepted("400"), StorageFull("507")])
def test_an_answer_that_proves_that_nothing_happened_needs_no_look(bench: Bench, error: Failure) -> None:
    bench.on("move", error)
    with pytest.raises(type(error)):
        bench.move()
    assert bench.methods == ["make_folder", "move"]


def test_an_attempt_that_did_not_happen_is_repeated(bench: Bench) -> None:
    bench.on("move", ServerUnavailable("503"))
    assert bench.move() == Moved(Outcome.FILED, NAME)
    assert bench.methods == ["make_folder", "move", "stat", "move"]


@pytest.mark.parametrize("error", [ServerUnavailable("503", "wait"), ServerUnreachable("cut off", "wait")])
def test_a_server_that_cannot_even_say_where_it_is_ends_the_poll(bench: Bench, error: Failure) -> None:
    bench.on("move", ServerUnavailable("503"))
    bench.on("stat", error)
    with pytest.raises(ServerDown) as caught:
        bench.move()
    assert (caught.value.message, caught.value.hint) == (error.message, "wait")


def test_five_names_are_tried(bench: Bench) -> None:
    for _ in range(6):
        bench.on("move", PreconditionFailed("412"))
    with pytest.raises(NotAccepted, match=r"No name is free for a\.jpg in data/images/cats: all 5 that were tried"):
        bench.move()
    assert bench.methods.count("move") == 5
    # Each time the folder is looked at again: what was taken may be free by now.
    assert {call.target for call in bench.calls if call.method == "move"} == {bench.store.href(FOLDER, NAME)}


def test_a_folder_that_vanishes_is_made_again(bench: Bench) -> None:
    bench.on("move", lambda: bench.nextcloud.delete(FOLDER))
    assert bench.move() == Moved(Outcome.FILED, NAME)
    assert bench.methods == ["make_folder", "move", "stat", "stat", "make_folder", "move"]


def test_a_folder_whose_name_a_file_has_is_named(bench: Bench) -> None:
    def interfere() -> None:
        bench.nextcloud.delete(FOLDER)
        bench.write(FOLDER)
        raise ParentNotFound("409")

    bench.on("move", interfere)
    with pytest.raises(FolderUnusable, match="data/images/cats is a file, so no image can be filed there"):
        bench.move()


def test_a_folder_that_is_gone_contains_nothing(bench: Bench) -> None:
    def interfere() -> None:
        bench.nextcloud.delete(FOLDER)
        bench.nextcloud.delete(f"{UNSORTED}/{NAME}")

    bench.on("move", interfere)
    assert bench.move() == Moved(Outcome.TAKEN_AWAY)


# --- folders --------------------------------------------------------------------------------------------------------


def test_all_folders_above_are_created_once(bench: Bench, said: list[str]) -> None:
    folders = CategoryFolders()
    folders.ensure(bench.store, "new/one/two")
    assert (bench.nextcloud.folder / "new/one/two").is_dir()
    assert said == ["INFO Created the folder new/one/two"]
    bench.nextcloud.delete("new/one")
    folders.ensure(bench.store, "new/one/two")
    assert not (bench.nextcloud.folder / "new/one").exists()
    folders.forget(bench.store, "new/one/two")
    folders.ensure(bench.store, "new/one/two")
    assert (bench.nextcloud.folder / "new/one/two").is_dir()


@pytest.mark.parametrize("error", [Forbidden("403"), NotAccepted("400")])
def test_a_folder_that_cannot_be_created_is_named(bench: Bench, error: Failure) -> None:
    bench.on("make_folder", error)
    with pytest.raises(FolderUnusable, match=r"The folder data/images/cats cannot be created \(40"):
        bench.move()
    assert list(files(bench.nextcloud)) == [f"{UNSORTED}/{NAME}"]


def test_a_file_above_a_folder_is_named(bench: Bench) -> None:
    bench.write("new")
    with pytest.raises(FolderUnusable, match="a file has the name of a folder above it"):
        CategoryFolders().ensure(bench.store, "new/one")


def test_a_base_folder_that_is_missing_is_not_created(bench: Bench) -> None:
    calls: list[str] = []

    def spy(call: Call) -> None:
        calls.append(call.method)
        raise ParentNotFound("409")

    with pytest.raises(FolderUnusable):
        CategoryFolders().ensure(SpiedStore(bench.store, spy), "new")
    assert calls == ["make_folder"]


def test_a_folder_that_is_back_may_be_used(bench: Bench) -> None:
    bench.nextcloud.mkdir(FOLDER)
    CategoryFolders().forget(bench.store, FOLDER)
