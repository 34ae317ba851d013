"""The steps of replacing in place one by one, where a server's answers leave something out or are lost."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sandbox.nextcloud import Nextcloud
from scaler.claim_moves import Folders
from scaler.in_place import PROPERTIES, InPlaceFolders, InPlacePublisher
from scaler.jobs import Published, Upload, Upscaled
from scaler.marker import checksums_with_marker
from scaler.moves import OutcomeUnknown, inside
from scaler.names import final_name, new_id, new_owner
from scaler.upload_notes import UploadNotes
from shared.errors import Failure, Forbidden, NotFound, PreconditionFailed, ServerUnavailable
from shared.retry import RetryPolicy
from shared.webdav.store import Assembled, Assembly, Entry, Href, Store, put_verified
from tests.contract.memory import MemoryConnections, MemoryServer
from tests.contract.spy import Call, SpiedStore
from tests.fake_time import FakeTime
from tests.scaler.cloud import DATE, FILE, NAME, CloudSite
from tests.scaler.harness import RAW, UNSORTED, image

COPY = image(3, width=20)
SHA256 = hashlib.sha256(COPY).hexdigest()


class AnswersChanged(SpiedStore):
    """Changes what is answered to an assembly."""

    answer: Callable[[Assembled], Assembled] = staticmethod(lambda assembled: assembled)

    def assemble(self, upload: Href, target: Entry, assembly: Assembly) -> Assembled:
        return self.answer(super().assemble(upload, target, assembly))


@dataclass
class Bench:
    """A Nextcloud with an original and an upload, and the publisher."""

    cloud: Nextcloud
    store: AnswersChanged
    publisher: InPlacePublisher
    entry: Entry
    upload: Upload
    calls: list[Call]
    unspied: Store
    acts: dict[tuple[str, bool], Callable[[], None]] = field(default_factory=dict)

    def publish(self) -> Published:
        upscaled = Upscaled(self.upload, 1, 1, len(COPY), SHA256, {})
        return self.publisher.publish(self.store, self.entry, self.upload, upscaled)

    def replaced_by_another_scaler(self) -> str:
        """Another scaler has put the same content there, an hour ago; the id in its marker."""
        other = Upload(new_id(new_owner(), now=time.time() - 3600), Href(""))
        folder = Href(self.upload.whole.replace(self.upload.id, other.id))
        store = self.unspied
        store.make_folder(folder)
        store.put(Href(folder + "00001"), COPY, chunk_of=self.entry.href)
        checksums = checksums_with_marker(SHA256, other.id)
        store.assemble(folder, self.entry, Assembly(len(COPY), DATE - 1, checksums))
        return other.id

    @property
    def methods(self) -> list[str]:
        return [call.method for call in self.calls if not call.after]


def failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.fixture
def bench(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> Iterator[Bench]:
    cloud.write(FILE, image(), mtime=DATE)
    retry = RetryPolicy(FakeTime().stop())
    connections = cloud_site.account.open(retry)
    with connections.connect() as store:
        folders = Folders.of(store, RAW, UNSORTED)
        publisher = InPlacePublisher(
            folders=InPlaceFolders.of(connections, folders.raw, folders.unsorted),
            connections=connections,
            retry=retry,
            notes=UploadNotes(tmp_path, "place"),
            owner=new_owner(),
        )
        upload = publisher.new_upload()
        assert upload.folder is not None
        store.make_folder(upload.folder)
        entry = store.stat(inside(folders.raw, NAME), PROPERTIES)
        assert entry is not None
        put_verified(store, upload.href, COPY, chunk_of=entry.href)
        calls: list[Call] = []

        def spy(call: Call) -> None:
            calls.append(call)
            if act := made.acts.pop((call.method, call.after), None):
                act()

        made = Bench(cloud, AnswersChanged(store, spy), publisher, entry, upload, calls, store)
        yield made
    connections.close()


def test_an_answer_without_an_etag_is_looked_up(bench: Bench) -> None:
    bench.store.answer = lambda assembled: replace(assembled, etag=None)
    name = bench.publish().name
    assert bench.cloud.read(f"{UNSORTED}/{name}") == COPY
    assert bench.methods == ["assemble", "stat", "move"]


@pytest.mark.parametrize("act", ["replace", "delete"])
def test_what_a_person_does_right_after_an_answer_without_an_etag_wins(bench: Bench, act: str) -> None:
    def interfere() -> None:
        bench.cloud.write(FILE, b"by a person") if act == "replace" else bench.cloud.delete(FILE)

    bench.store.answer = lambda assembled: replace(assembled, etag=None)
    bench.acts["assemble", True] = interfere
    with pytest.raises(OutcomeUnknown, match="changed again immediately"):
        bench.publish()
    assert "move" not in bench.methods


@pytest.mark.parametrize("answer", ["whole", "without ETag", "lost"])
def test_an_image_that_a_person_changes_before_it_is_moved_on_stays(bench: Bench, answer: str) -> None:
    if answer == "without ETag":
        bench.store.answer = lambda assembled: replace(assembled, etag=None)
    elif answer == "lost":
        bench.acts["assemble", True] = failing(ServerUnavailable("503"))
    bench.acts["move", False] = lambda: bench.cloud.write(FILE, b"by a person")
    with pytest.raises(PreconditionFailed, match="was changed after it was upscaled"):
        bench.publish()
    assert bench.cloud.read(FILE) == b"by a person"


def test_an_assembly_that_created_a_file_is_not_moved_on(bench: Bench) -> None:
    bench.store.answer = lambda assembled: replace(assembled, created=True)
    with pytest.raises(OutcomeUnknown, match="was deleted while it was replaced"):
        bench.publish()
    assert bench.methods == ["assemble"]


def test_an_assembly_that_made_the_file_anew_is_not_moved_on(bench: Bench) -> None:
    bench.store.answer = lambda assembled: replace(assembled, file_id="1234567")
    with pytest.raises(OutcomeUnknown, match="was deleted while it was replaced"):
        bench.publish()


@pytest.mark.parametrize("missing", ["answer", "listing"])
def test_a_file_id_that_is_not_told_is_not_another_one(bench: Bench, missing: str) -> None:
    if missing == "answer":
        bench.store.answer = lambda assembled: replace(assembled, file_id=None)
    else:
        bench.entry = replace(bench.entry, file_id=None)
        # Without it, the move that follows cannot be verified, but has an answer.
    assert bench.publish().name is not None


def test_a_lost_answer_to_an_assembly_costs_no_download(bench: Bench) -> None:
    bench.acts["assemble", True] = failing(ServerUnavailable("503"))
    assert bench.publish().name is not None
    assert bench.methods == ["assemble", "stat", "move"]


def test_a_note_is_kept_until_the_image_is_published(bench: Bench) -> None:
    def look() -> None:
        note = bench.publisher.notes.get(bench.entry.file_id)
        assert note is not None
        assert note.upload == bench.upload.id

    bench.acts["assemble", False] = look
    bench.publish()
    assert ("assemble", False) not in bench.acts
    assert bench.publisher.notes.get(bench.entry.file_id) is None


def test_a_note_is_forgotten_when_another_poll_finishes_the_image(bench: Bench) -> None:
    bench.acts["move", False] = failing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        bench.publish()
    assert bench.publisher.notes.get(bench.entry.file_id) is not None
    entry = bench.store.stat(bench.entry.href, PROPERTIES)
    assert entry is not None
    name = bench.publisher.finish(entry, bench.upload.id).name
    assert bench.cloud.read(f"{UNSORTED}/{name}") == COPY
    assert bench.publisher.notes.get(bench.entry.file_id) is None


def test_an_abandoned_upload_is_deleted(bench: Bench) -> None:
    assert len(bench.cloud.uploads()) == 1
    bench.publisher.abandon(bench.store, bench.upload)
    assert bench.cloud.uploads() == []


def test_what_another_scaler_put_there_is_published_under_its_name(bench: Bench) -> None:
    ids: list[str] = []
    bench.acts["assemble", False] = lambda: ids.append(bench.replaced_by_another_scaler())
    name = bench.publish().name
    assert name == final_name(NAME, ids[0])
    assert bench.cloud.read(f"{UNSORTED}/{name}") == COPY


def test_a_marker_of_another_scaler_is_not_taken_for_ours(bench: Bench) -> None:
    def interfere() -> None:
        entry = bench.unspied.stat(bench.entry.href, PROPERTIES)
        assert entry is not None
        bench.entry = entry
        bench.replaced_by_another_scaler()

    bench.store.answer = lambda assembled: replace(assembled, etag=None)
    bench.acts["assemble", True] = interfere
    with pytest.raises(OutcomeUnknown, match="changed again immediately"):
        bench.publish()


@pytest.mark.parametrize(("size", "downloads"), [(len(COPY), 1), (len(COPY) + 1, 0)])
def test_only_content_of_the_same_size_may_be_ours(bench: Bench, size: int, downloads: int) -> None:
    bench.acts["assemble", False] = lambda: bench.cloud.write(FILE, b"x" * size)
    with pytest.raises(PreconditionFailed, match="was replaced since it was listed"):
        bench.publish()
    assert bench.methods.count("get") == downloads
    assert bench.cloud.read(FILE) == b"x" * size


def test_an_image_that_is_gone_while_it_is_compared_is_not_ours(bench: Bench) -> None:
    bench.acts["assemble", False] = lambda: bench.cloud.write(FILE, b"x" * len(COPY))
    bench.acts["get", False] = lambda: bench.cloud.delete(FILE)
    with pytest.raises(PreconditionFailed, match="was replaced since it was listed"):
        bench.publish()
    assert bench.cloud.uploads() == []


def test_an_image_that_is_removed_before_it_is_moved_on_is_gone(bench: Bench) -> None:
    bench.acts["move", False] = lambda: bench.cloud.delete(FILE)
    assert bench.publish().name is None


@pytest.mark.parametrize("error", [NotFound("404"), PreconditionFailed("412")])
def test_a_file_that_took_the_name_of_a_removed_image_is_not_ours(bench: Bench, error: Failure) -> None:
    def interfere() -> None:
        bench.cloud.delete(FILE)
        bench.cloud.write(f"{UNSORTED}/{final_name(NAME, bench.upload.id)}", b"by a person")
        raise error

    bench.acts["move", False] = interfere
    assert bench.publish().name is None


def test_a_new_image_under_the_name_of_one_that_was_moved_is_another(bench: Bench) -> None:
    def interfere() -> None:
        bench.cloud.write(FILE, b"by a person")
        raise ServerUnavailable("503")

    bench.acts["move", True] = interfere
    name = bench.publish().name
    assert bench.cloud.read(f"{UNSORTED}/{name}") == COPY
    assert bench.cloud.read(FILE) == b"by a person"
    assert bench.methods.count("move") == 1


def test_the_next_number_is_tried_if_a_name_is_taken(bench: Bench) -> None:
    taken = f"{UNSORTED}/{final_name(NAME, bench.upload.id)}"
    bench.cloud.write(taken, b"by a person")
    assert bench.publish().name == final_name(NAME, bench.upload.id, 2)
    assert bench.cloud.read(taken) == b"by a person"


def test_a_move_that_is_rejected_is_no_name_that_is_taken(bench: Bench) -> None:
    bench.cloud.write(f"{UNSORTED}/{final_name(NAME, bench.upload.id)}", b"by a person")
    bench.acts["move", False] = failing(Forbidden("403"))
    with pytest.raises(Forbidden):
        bench.publish()


def test_a_name_that_is_taken_is_passed_over_only_if_every_move_had_an_answer(bench: Bench) -> None:
    bench.cloud.write(f"{UNSORTED}/{final_name(NAME, bench.upload.id)}", b"by a person")
    bench.acts["move", False] = failing(ServerUnavailable("503"))
    with pytest.raises(OutcomeUnknown):
        bench.publish()
    assert bench.methods.count("move") == 2


def test_a_slash_in_a_user_id_is_no_separator() -> None:
    connections = MemoryConnections(MemoryServer(), RetryPolicy(FakeTime().stop()), "https://c.example/nc/", "a/b c")
    folders = InPlaceFolders.of(connections, Href("/raw/"), Href("/unsorted/"))
    assert folders.uploads == "/nc/remote.php/dav/uploads/a%2Fb%20c/"
