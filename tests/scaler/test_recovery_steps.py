"""Recovery in detail: what it sends, deletes, moves back and says, whatever it finds in the hidden folders."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from scaler.claim_moves import ClaimMoves, Folders
from scaler.moves import NameLock
from scaler.names import DISCARDED, ClaimName, destination_hash, destination_record, new_id
from scaler.recovery import OTHERS_DISCARDED_AFTER, OTHERS_ORPHAN_AFTER, OWN_ORPHAN_AFTER, FolderStateUnknown, Recovery
from shared.errors import Failure, Forbidden, NotFound, StorageFull
from shared.retry import RetryPolicy
from shared.webdav.store import Href
from tests.contract.memory import MemoryServer
from tests.contract.spy import Call, SpiedStore
from tests.fake_time import FakeTime
from tests.scaler.cloud import log_lines
from tests.scaler.harness import RAW, UNSORTED, claims, inside, uploads

NAME = "Unknown.png"
ORIGINAL, COPY = b"original", b"copy"
CLAIMS, UPLOADS = f"{RAW}/.scaler", f"{UNSORTED}/.scaler"
OWNER, OTHER = "aaaaaaaa", "bbbbbbbb"
RECORD = destination_record(destination_hash(UNSORTED))


class DeletesNoted(SpiedStore):
    """Notes how things are deleted."""

    for_good: dict[str, bool]

    def delete(self, href: Href, *, for_good: bool = False) -> None:
        self.for_good[href.strip("/")] = for_good
        super().delete(href, for_good=for_good)


@dataclass
class Bench:
    """A server with both hidden folders and the record, and what is sent to it."""

    site: MemoryServer
    store: DeletesNoted
    moves: ClaimMoves
    sent: list[str] = field(default_factory=list)
    rule: Callable[[str, str, bool], None] = field(default=lambda *_: None)

    def interfere(self, method: str, href: Href, after: bool) -> None:
        path = href.strip("/")
        if not after:
            self.sent.append(f"{method} {path}")
        self.rule(method, path, after)

    def recovery(self, *kept: str) -> Recovery:
        return Recovery(self.store, self.moves, OWNER, kept)

    def claim(
        self, *, name: str = NAME, unsorted: str = UNSORTED, upload: str | None = UPLOADS, version: str = ""
    ) -> str:
        """Leave a claim, and its upload in a folder; the id of the upload."""
        upload_id = new_id(OTHER)
        self.site.write(f"{CLAIMS}/{ClaimName(upload_id, destination_hash(unsorted), name, version)}", ORIGINAL)
        if upload:
            self.site.write(f"{upload}/{upload_id}", COPY)
        return upload_id


@pytest.fixture
def empty() -> Iterator[Bench]:
    """Without hidden folders."""
    site = MemoryServer()
    for folder in (RAW, UNSORTED):
        site.make_folder(folder)
    retry = RetryPolicy(FakeTime().stop())
    with site.open(retry).connect() as store:
        spied = DeletesNoted(store, _ignore)
        spied.for_good = {}
        bench = Bench(site, spied, ClaimMoves(Folders.of(store, RAW, UNSORTED), retry, NameLock()))
        site.interfere = bench.interfere
        yield bench


@pytest.fixture
def bench(empty: Bench) -> Bench:
    empty.recovery().make_ready()
    empty.sent.clear()
    return empty


def _ignore(_: Call) -> None:
    pass


def answering(method: str, path: str, *failures: Failure | None) -> Callable[[str, str, bool], None]:
    """What the next requests of a method about a path are answered, before they take effect."""
    left = [*failures]

    def rule(sent: str, about: str, after: bool) -> None:
        if not after and sent == method and about == path and left and (failure := left.pop(0)):
            raise failure

    return rule


# --- folders --------------------------------------------------------------------------------------------------------


def test_where_nothing_is_unfinished_two_listings_suffice(bench: Bench) -> None:
    found = bench.recovery().run()
    assert bench.sent == [f"PROPFIND {CLAIMS}", f"PROPFIND {UPLOADS}"]
    assert found.claimed == []


def test_hidden_folders_and_the_record_are_made_once(empty: Bench) -> None:
    empty.recovery().run()
    assert empty.site.files() == {f"{CLAIMS}/{RECORD}": UNSORTED.encode()}
    assert empty.sent == [
        f"PROPFIND {CLAIMS}",
        f"MKCOL {CLAIMS}",
        f"PUT {CLAIMS}/{RECORD}",
        # For claims made since; it shows the record too.
        f"PROPFIND {CLAIMS}",
        f"MKCOL {UPLOADS}",
    ]
    empty.sent.clear()
    empty.recovery().run()
    assert empty.sent == [f"PROPFIND {CLAIMS}", f"PROPFIND {UPLOADS}"]


def test_they_are_made_before_there_is_anything_to_finish(empty: Bench) -> None:
    empty.recovery().make_ready()
    assert empty.site.files() == {f"{CLAIMS}/{RECORD}": UNSORTED.encode()}
    assert [line for line in empty.sent if line.startswith("MKCOL")] == [f"MKCOL {CLAIMS}", f"MKCOL {UPLOADS}"]


@pytest.mark.parametrize(("missing", "key"), [(RAW, "RAW_REMOTE_DIR"), (UNSORTED, "UNSORTED_REMOTE_DIR")])
def test_a_missing_folder_is_named_with_its_setting(empty: Bench, missing: str, key: str) -> None:
    empty.site.remove(missing)
    with pytest.raises(NotFound, match=f"The folder {missing} does not exist") as caught:
        empty.recovery().run()
    assert key in caught.value.hint


def test_a_record_that_was_cut_off_is_written_again(bench: Bench) -> None:
    bench.site.write(f"{CLAIMS}/{RECORD}", UNSORTED.encode()[:-1])
    bench.recovery().run()
    assert bench.site.files() == {f"{CLAIMS}/{RECORD}": UNSORTED.encode()}


def test_a_folder_that_another_scaler_makes_at_the_same_moment(empty: Bench) -> None:
    """What that one has claimed by then is finished in the same run."""

    def rule(method: str, path: str, after: bool) -> None:
        if (method, path, after) == ("MKCOL", CLAIMS, False):
            empty.rule = lambda *_: None
            empty.claim()
            raise Forbidden("403")

    empty.rule = rule
    empty.recovery().run()
    assert [*inside(empty.site, UNSORTED).values()] == [COPY]
    assert claims(empty.site) == {}
    # The first one, the look whether it is there now, and what is finished.
    assert empty.sent.count(f"PROPFIND {CLAIMS}") == 3


def test_a_folder_that_may_not_be_made_is_a_failure(empty: Bench) -> None:
    empty.rule = answering("MKCOL", CLAIMS, Forbidden("403"))
    with pytest.raises(Forbidden):
        empty.recovery().run()


# --- claims ---------------------------------------------------------------------------------------------------------


def test_a_claim_with_its_upload_is_published(bench: Bench) -> None:
    upload_id = bench.claim()
    with log_lines() as said:
        found = bench.recovery().run()
    ((name, data),) = inside(bench.site, UNSORTED).items()
    assert data == COPY
    assert claims(bench.site) == uploads(bench.site) == inside(bench.site, RAW) == {}
    assert said == [f"INFO {NAME} → {name} (finished after an interruption)"]
    assert [claim.id for _, claim in found.claimed] == [upload_id]


def test_a_claim_whose_upload_is_gone_was_published(bench: Bench) -> None:
    bench.claim(upload=None)
    with log_lines() as said:
        bench.recovery().run()
    assert bench.site.files() == {f"{CLAIMS}/{RECORD}": UNSORTED.encode()}
    assert said == [f"INFO Deleting the claimed original of {NAME} in {RAW}/.scaler: its copy has been published"]


def test_an_upload_that_the_listing_left_out_is_published_all_the_same(bench: Bench) -> None:
    upload_id = bench.claim(upload=None)

    def rule(method: str, path: str, after: bool) -> None:
        if (method, path, after) == ("PROPFIND", UPLOADS, True):
            bench.site.write(f"{UPLOADS}/{upload_id}", COPY)

    bench.rule = rule
    bench.recovery().run()
    assert [*inside(bench.site, UNSORTED).values()] == [COPY]
    assert claims(bench.site) == {}


@pytest.mark.parametrize("uploaded", [True, False])
def test_a_claim_of_a_version_that_was_not_read_goes_back(bench: Bench, uploaded: bool) -> None:
    bench.claim(version="0" * 8, upload=UPLOADS if uploaded else None)
    bench.recovery().run()
    assert inside(bench.site, RAW) == {NAME: ORIGINAL}
    assert inside(bench.site, UNSORTED) == claims(bench.site) == {}


@pytest.mark.parametrize("released", [True, False])
def test_what_another_scaler_finishes_first_is_not_said_to_be_ours(bench: Bench, released: bool) -> None:
    upload_id = bench.claim(version="0" * 8 if released else "")
    (claim,) = claims(bench.site)

    def rule(method: str, path: str, after: bool) -> None:
        if method == "MOVE" and not after:
            bench.site.remove(f"{CLAIMS}/{claim}" if released else f"{UPLOADS}/{upload_id}")

    bench.rule = rule
    with log_lines() as said:
        bench.recovery().run()
    assert said == []


def test_a_claim_whose_upload_folder_is_gone_goes_back(bench: Bench) -> None:
    bench.claim(upload=None)
    bench.site.remove(UPLOADS)
    with log_lines() as said:
        bench.recovery().run()
    assert inside(bench.site, RAW) == {NAME: ORIGINAL}
    assert claims(bench.site) == {}
    assert said == [f"INFO Moved {NAME} back into the raw folder: it has not been published yet"]
    assert bench.sent[-1] == f"MKCOL {UPLOADS}"


def test_a_claim_made_just_before_the_upload_folder_vanished_goes_back_too(bench: Bench) -> None:
    bench.site.remove(UPLOADS)

    def rule(method: str, path: str, after: bool) -> None:
        if (method, path, after) == ("PROPFIND", UPLOADS, False):
            bench.rule = lambda *_: None
            bench.claim(upload=None)

    bench.rule = rule
    bench.recovery().run()
    assert inside(bench.site, RAW) == {NAME: ORIGINAL}


@pytest.mark.parametrize("lies", [1, 2])
def test_a_folder_that_only_one_answer_says_to_be_gone_is_looked_at_once_more(bench: Bench, lies: int) -> None:
    bench.claim()
    listing = [NotFound("404"), None]
    bench.rule = answering("PROPFIND", UPLOADS, *listing * lies)
    if lies == 1:
        bench.recovery().run()
        assert [*inside(bench.site, UNSORTED).values()] == [COPY]
        return
    with pytest.raises(FolderStateUnknown, match=re.escape(f"about {UNSORTED}/.scaler")):
        bench.recovery().run()
    assert [*claims(bench.site).values()] == [ORIGINAL]
    assert inside(bench.site, RAW) == inside(bench.site, UNSORTED) == {}


def test_a_claim_that_cannot_be_published_now_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.claim(name="Unknown first.png")
    bench.claim(name="Unknown second.png")
    (rejected, _) = sorted(uploads(bench.site))

    def rule(method: str, path: str, after: bool) -> None:
        if method == "MOVE" and not after and path == f"{UPLOADS}/{rejected}":
            raise Forbidden("403")

    bench.rule = rule
    with log_lines("WARNING") as said:
        bench.recovery().run()
    assert len(inside(bench.site, UNSORTED)) == 1
    (warning,) = said
    assert "cannot be published yet: 403" in warning


def test_a_full_storage_ends_the_recovery(bench: Bench) -> None:
    upload_id = bench.claim()
    bench.rule = answering("MOVE", f"{UPLOADS}/{upload_id}", StorageFull("507"))
    with pytest.raises(StorageFull):
        bench.recovery().run()
    assert [*claims(bench.site).values()] == [ORIGINAL]


def test_an_upload_folder_is_not_made_while_a_claim_could_not_go_back(bench: Bench) -> None:
    """With the folder, the claim would count as published."""
    bench.claim(upload=None)
    bench.site.remove(UPLOADS)
    (name,) = claims(bench.site)
    bench.rule = answering("MOVE", f"{CLAIMS}/{name}", Forbidden("403"))
    with pytest.raises(Forbidden):
        bench.recovery().run()
    assert f"MKCOL {UPLOADS}" not in bench.sent
    assert [*claims(bench.site).values()] == [ORIGINAL]


# --- claims of another unsorted folder ------------------------------------------------------------------------------

ELSEWHERE = "data/elsewhere"
ITS_RECORD = destination_record(destination_hash(ELSEWHERE))


def test_a_claim_of_another_unsorted_folder_is_published_there(bench: Bench) -> None:
    bench.claim(unsorted=ELSEWHERE, upload=f"{ELSEWHERE}/.scaler")
    bench.site.write(f"{CLAIMS}/{ITS_RECORD}", ELSEWHERE.encode())
    bench.recovery().run()
    assert [*inside(bench.site, ELSEWHERE).values()] == [COPY]
    assert inside(bench.site, UNSORTED) == inside(bench.site, RAW) == claims(bench.site) == {}


def test_a_claim_of_an_unknown_folder_goes_back(bench: Bench) -> None:
    bench.claim(unsorted=ELSEWHERE, upload=f"{ELSEWHERE}/.scaler")
    bench.recovery().run()
    assert inside(bench.site, RAW) == {NAME: ORIGINAL}
    assert claims(bench.site) == inside(bench.site, ELSEWHERE) == {}


def test_contradictory_answers_name_the_folder_that_they_are_about(bench: Bench) -> None:
    bench.claim(unsorted=ELSEWHERE, upload=f"{ELSEWHERE}/.scaler")
    bench.site.write(f"{CLAIMS}/{ITS_RECORD}", ELSEWHERE.encode())
    bench.rule = answering("PROPFIND", f"{ELSEWHERE}/.scaler", NotFound("404"), None, NotFound("404"))
    with pytest.raises(FolderStateUnknown, match=re.escape(f"about {ELSEWHERE}/.scaler")):
        bench.recovery().run()


def test_a_record_that_names_another_folder_is_not_believed(bench: Bench) -> None:
    bench.claim(unsorted=ELSEWHERE)
    bench.site.write(f"{CLAIMS}/{ITS_RECORD}", UNSORTED.encode())
    bench.recovery().run()
    assert inside(bench.site, RAW) == {NAME: ORIGINAL}
    assert claims(bench.site) == inside(bench.site, UNSORTED) == {}


# --- uploads that nobody claimed ------------------------------------------------------------------------------------


def test_uploads_are_given_up_by_owner_and_age(bench: Bench) -> None:
    own, kept, other, discarded = new_id(OWNER), new_id(OWNER), new_id(OTHER), new_id(OTHER) + DISCARDED
    for name, age in (
        (own, OWN_ORPHAN_AFTER + 60),
        (kept, OWN_ORPHAN_AFTER + 60),
        (other, OTHERS_ORPHAN_AFTER + 60),
        (discarded, OTHERS_DISCARDED_AFTER + 60),
    ):
        bench.site.write(f"{UPLOADS}/{name}", COPY, age=age)
    with log_lines() as said:
        bench.recovery(kept).run()
    assert set(uploads(bench.site)) == {kept, other + DISCARDED}
    assert sorted(said) == sorted(
        f"INFO Removed an upload that was never finished: {name}" for name in (own, discarded)
    )


def test_an_upload_whose_discarding_has_no_outcome_waits(bench: Bench) -> None:
    other = new_id(OTHER)
    bench.site.write(f"{UPLOADS}/{other}", COPY, age=OTHERS_ORPHAN_AFTER + 60)
    bench.rule = lambda method, path, after: _lie(method, path, other)
    bench.recovery().run()
    assert set(uploads(bench.site)) == {other}


def _lie(method: str, path: str, name: str) -> None:
    if method in ("MOVE", "PROPFIND") and path == f"{UPLOADS}/{name}":
        raise NotFound("404")


# --- for the last time ----------------------------------------------------------------------------------------------


def test_for_the_last_time_everything_is_finished_and_removed(bench: Bench) -> None:
    bench.claim()
    own = new_id(OWNER)
    bench.site.write(f"{UPLOADS}/{own}", COPY, age=OWN_ORPHAN_AFTER + 60)
    bench.recovery().run_for_the_last_time()
    assert [*bench.site.files().values()] == [COPY]
    assert [*inside(bench.site, UNSORTED).values()] == [COPY]
    for folder in (CLAIMS, UPLOADS):
        with pytest.raises(NotFound):
            bench.store.list_folder(Href(f"/{folder}/"))
    # Through the trash bin, in case an older scaler claims an original at this moment.
    assert (bench.store.for_good[UPLOADS], bench.store.for_good[CLAIMS]) == (True, False)


@pytest.mark.parametrize("path", [f"{CLAIMS}/notes of a person", f"{UPLOADS}/notes of a person"])
def test_a_hidden_folder_with_another_file_stays(bench: Bench, path: str) -> None:
    bench.site.write(path, b"notes")
    bench.recovery().run_for_the_last_time()
    assert bench.site.files() == {path: b"notes", f"{CLAIMS}/{RECORD}": UNSORTED.encode()}
    assert bench.store.for_good == {}


def test_a_folder_for_claims_without_one_for_uploads_is_removed(bench: Bench) -> None:
    bench.site.remove(UPLOADS)
    bench.recovery().run_for_the_last_time()
    assert bench.site.files() == {}


def test_where_there_was_never_a_claim_one_listing_suffices_for_the_last_time(empty: Bench) -> None:
    empty.recovery().run_for_the_last_time()
    assert set(empty.sent) == {f"PROPFIND {CLAIMS}"}
