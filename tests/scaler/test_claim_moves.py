"""The steps of the claim way one by one, on servers whose answers are lost, wrong or contradictory."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from scaler.claim_moves import ClaimMoves, Folders, is_listed
from scaler.claims import ClaimPublisher
from scaler.jobs import Published, Upload, Upscaled
from scaler.moves import MovesRejected, NameLock, Outcome, OutcomeUnknown, inside, move_own
from scaler.names import ClaimName, final_name, new_id, new_owner
from scaler.upscaling import UploadFolderGone
from shared.errors import (
    Failure,
    Forbidden,
    NotAccepted,
    NotFound,
    PreconditionFailed,
    ServerUnavailable,
    StorageFull,
    Unauthorized,
)
from shared.retry import RetryPolicy
from shared.webdav.store import Entry, Href, Store
from tests.contract.memory import MemoryServer
from tests.fake_time import FakeTime
from tests.scaler.harness import RAW, UNSORTED, claims, published, uploads
from tests.scaler.harness import inside as files_in

NAME = "Unknown.png"
ORIGINAL, COPY = b"original", b"copy"
STATUS_500 = ServerUnavailable("status 500", status=500)


@dataclass
class Bench:
    """A server with an original and an upload, and the moves."""

    site: MemoryServer
    store: Store
    moves: ClaimMoves
    original: Entry
    upload: Href
    claim: ClaimName
    claimed: Href
    answers: dict[tuple[str, bool], list[Failure | None]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    def answer(self, method: str, *failures: Failure | None, after: bool = False) -> None:
        """What the next requests of a method are answered, before or after they took effect; None lets one pass."""
        self.answers[method, after] = [*failures]

    def interfere(self, method: str, _: Href, after: bool) -> None:
        if not after:
            self.sent.append(method)
        left = self.answers.get((method, after))
        if left and (failure := left.pop(0)):
            raise failure

    def take_claim(self) -> bool:
        return self.moves.claim(self.store, self.original, self.claimed, conditional=True)

    @property
    def publisher(self) -> ClaimPublisher:
        """One that knows nothing of the server yet."""
        return ClaimPublisher(self.moves, new_owner())

    def publish_by(self, publisher: ClaimPublisher) -> Published:
        upload = Upload(self.claim.id, self.upload)
        return publisher.publish(self.store, self.original, upload, Upscaled(upload, 1, 1, len(COPY), "", {}))

    def publish(self) -> str | None:
        return self.moves.publish(self.store, self.upload, self.moves.folders.unsorted, self.claimed, self.claim)


@contextlib.contextmanager
def a_bench(name: str = NAME, *, conditional: bool = True) -> Iterator[Bench]:
    site = MemoryServer(conditional=conditional)
    site.write(f"{RAW}/{name}", ORIGINAL)
    retry = RetryPolicy(FakeTime().stop())
    with site.open(retry).connect() as store:
        folders = Folders.of(store, RAW, UNSORTED)
        for folder in (folders.unsorted, folders.claims, folders.uploads):
            site.make_folder(folder.strip("/"))
        claim = ClaimName(new_id(new_owner()), folders.destination, NAME)
        upload = inside(folders.uploads, claim.id)
        store.put(upload, COPY)
        original = store.stat(inside(folders.raw, name))
        assert original is not None
        moves = ClaimMoves(folders, retry, NameLock())
        bench = Bench(site, store, moves, original, upload, claim, inside(folders.claims, str(claim)))
        site.interfere = bench.interfere
        yield bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    with a_bench() as bench:
        yield bench


# --- claim ----------------------------------------------------------------------------------------------------------


def test_a_claim_whose_answer_is_lost_is_found_at_once(bench: Bench) -> None:
    bench.answer("MOVE", ServerUnavailable("503"), after=True)
    assert bench.take_claim()
    assert bench.sent == ["MOVE", "PROPFIND"]


def test_a_claim_that_is_listed_is_ours_though_its_own_address_is_answered_404(bench: Bench) -> None:
    bench.answer("MOVE", NotFound("404"), after=True)
    bench.answer("PROPFIND", NotFound("404"))
    assert bench.take_claim()


def test_a_claim_that_was_rejected_and_is_listed_all_the_same_is_ours(bench: Bench) -> None:
    bench.answer("MOVE", NotAccepted("400"), after=True)
    bench.answer("PROPFIND", NotFound("404"))
    assert bench.take_claim()


def test_a_claim_that_another_scaler_has_finished_already_was_ours(bench: Bench) -> None:
    def finish(method: str, _: Href, after: bool) -> None:
        if method == "MOVE" and after:
            for name in claims(bench.site):
                bench.site.remove(f"{RAW}/.scaler/{name}")

    bench.site.interfere = finish
    assert bench.take_claim()


def test_a_claim_answered_500_is_lost_only_if_another_one_is_there(bench: Bench) -> None:
    bench.site.remove(f"{RAW}/{NAME}")
    bench.answer("MOVE", *[STATUS_500] * 9)
    with pytest.raises(OutcomeUnknown):
        bench.take_claim()
    other = ClaimName(new_id(new_owner()), bench.claim.destination, NAME)
    bench.site.write(f"{RAW}/.scaler/{other}", ORIGINAL)
    bench.answer("MOVE", *[STATUS_500] * 9)
    assert not bench.take_claim()


def test_a_claim_answered_500_after_one_without_an_answer_may_still_be_ours(bench: Bench) -> None:
    other = ClaimName(new_id(new_owner()), bench.claim.destination, NAME)
    bench.site.write(f"{RAW}/.scaler/{other}", ORIGINAL)
    bench.site.remove(f"{RAW}/{NAME}")
    bench.answer("MOVE", ServerUnavailable("503"), *[STATUS_500] * 9)
    with pytest.raises(OutcomeUnknown):
        bench.take_claim()


# --- publish --------------------------------------------------------------------------------------------------------


def test_a_publication_is_one_request(bench: Bench) -> None:
    assert bench.take_claim()
    bench.sent.clear()
    name = bench.publish()
    assert name in files_in(bench.site, UNSORTED)
    assert bench.sent == ["MOVE"]


def test_the_next_number_is_tried_if_a_name_is_taken(bench: Bench) -> None:
    assert bench.take_claim()
    taken = f"{UNSORTED}/{final_name(NAME, bench.claim.id)}"
    bench.site.write(taken, b"by a person")
    assert bench.publish() == final_name(NAME, bench.claim.id, 2)


def test_a_copy_that_another_scaler_published_amid_a_rejection_keeps_its_original_out_of_sight(bench: Bench) -> None:
    assert bench.take_claim()

    moves: list[Href] = []

    def reject(method: str, href: Href, after: bool) -> None:
        if method == "MOVE" and not after and href == bench.upload:
            moves.append(href)
            if len(moves) == 1:
                raise Forbidden("403")
            bench.site.remove(bench.upload.strip("/"))
            bench.site.write(f"{UNSORTED}/Unknown_20261127T120000Z.png", COPY)

    bench.site.interfere = reject
    assert bench.publish() is None
    assert list(claims(bench.site).values()) == [ORIGINAL]
    assert files_in(bench.site, RAW) == {}
    assert list(published(bench.site).values()) == [COPY]


# --- discard and release --------------------------------------------------------------------------------------------


def test_an_upload_is_discarded_under_another_name(bench: Bench) -> None:
    discarded = bench.moves.discard(bench.store, bench.upload)
    assert discarded is not None
    assert bench.store.stat(discarded) is not None


def test_an_upload_that_only_404_says_to_be_gone_is_not_discarded(bench: Bench) -> None:
    bench.answer("MOVE", NotFound("404"))
    bench.answer("PROPFIND", NotFound("404"))
    with pytest.raises(OutcomeUnknown, match="contradictory answers about an upload"):
        bench.moves.discard(bench.store, bench.upload)


def test_an_upload_whose_folder_vanished_is_not_known_to_be_published(bench: Bench) -> None:
    bench.site.remove(f"{UNSORTED}/.scaler")
    with pytest.raises(UploadFolderGone):
        bench.moves.discard(bench.store, bench.upload)


def test_a_claim_is_released_by_one_request_that_tells_its_name(bench: Bench) -> None:
    assert bench.take_claim()
    bench.sent.clear()
    assert bench.moves.release(bench.store, bench.claimed, NAME) == NAME
    assert bench.sent == ["MOVE"]


def test_a_claim_that_is_gone_cannot_be_released(bench: Bench) -> None:
    assert bench.moves.release(bench.store, bench.claimed, NAME) is None


def test_a_claim_that_only_404_says_to_be_gone_is_not_known_to_be_released(bench: Bench) -> None:
    assert bench.take_claim()
    bench.answer("MOVE", NotFound("404"))
    bench.answer("PROPFIND", NotFound("404"))
    with pytest.raises(OutcomeUnknown, match="contradictory answers about a claim"):
        bench.moves.release(bench.store, bench.claimed, NAME)


# --- what is there --------------------------------------------------------------------------------------------------


def test_a_folder_that_is_missing_lists_nothing(bench: Bench) -> None:
    assert not is_listed(bench.store, Href(f"/{RAW}/nowhere/{NAME}"))


def test_a_folder_that_cannot_be_listed_tells_nothing(bench: Bench) -> None:
    bench.answer("PROPFIND", *[ServerUnavailable("503")] * 9)
    with pytest.raises(OutcomeUnknown, match="not known yet"):
        is_listed(bench.store, bench.claimed)


def test_the_outcome_of_a_move_onto_a_taken_name(bench: Bench) -> None:
    taken = inside(bench.moves.folders.raw, NAME)
    outcome = move_own(bench.store, RetryPolicy(FakeTime().stop()), bench.upload, taken)
    assert outcome is Outcome.TARGET_TAKEN


# --- the publisher --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conditional", [True, False])
def test_a_claim_names_the_version_only_if_the_server_does_not_check_it(conditional: bool) -> None:
    with a_bench(conditional=conditional) as bench:
        bench.publish_by(bench.publisher)
        (claim,) = map(ClaimName.parse, claims(bench.site))
        assert claim is not None
        assert bool(claim.version) is not conditional
        # Where the server checks it, the claim is not looked at again.
        assert bench.sent.count("PROPFIND") == (1 if conditional else 2)


def test_a_weak_etag_is_no_condition(bench: Bench) -> None:
    """If-Match compares strongly (RFC 9110, 13.1.1), so it would never hold."""
    bench.original = replace(bench.original, etag='W/"1"')
    publisher = bench.publisher
    assert bench.publish_by(publisher).name is not None
    # One to determine whether If-Match counts, the claim, the publication.
    assert bench.sent.count("MOVE") == 3


def test_a_claim_without_a_condition_is_not_tried_again_and_again() -> None:
    with a_bench(conditional=False) as bench:
        # Two determine whether If-Match counts.
        bench.answer("MOVE", None, None, *[NotFound("404")] * 9)
        assert bench.publish_by(bench.publisher) == Published(None)
        assert bench.sent.count("MOVE") == 3
        assert uploads(bench.site) == {}


def test_a_version_that_was_not_read_goes_back_and_its_copy_is_dropped() -> None:
    with a_bench(conditional=False) as bench:
        bench.site.write(f"{RAW}/{NAME}", b"replaced since", age=5)
        with pytest.raises(PreconditionFailed, match="was replaced since it was listed"):
            bench.publish_by(bench.publisher)
        assert files_in(bench.site, RAW) == {NAME: b"replaced since"}
        assert uploads(bench.site) == claims(bench.site) == files_in(bench.site, UNSORTED) == {}


def test_characters_that_the_server_keeps_stay_and_are_tried_once() -> None:
    with a_bench("Unknown;?#%.png") as bench:
        publisher = bench.publisher
        name = bench.publish_by(publisher).name
        assert name is not None
        assert name.startswith("Unknown;?#%_")
        bench.site.write(f"{RAW}/Unknown;?#%.png", ORIGINAL)
        original = bench.store.stat(bench.original.href)
        assert original is not None
        bench.original = original
        bench.store.put(bench.upload, COPY)
        bench.sent.clear()
        bench.publish_by(publisher)
        assert "PUT" not in bench.sent


def test_a_server_that_moves_nothing_is_named_and_nothing_is_left(bench: Bench) -> None:
    bench.answer("MOVE", *[Forbidden("status 403")] * 9)
    with pytest.raises(MovesRejected, match="status 403"):
        bench.publish_by(bench.publisher)
    assert uploads(bench.site) == {}
    assert files_in(bench.site, RAW) == {NAME: ORIGINAL}


@pytest.mark.parametrize("error", [Unauthorized("status 401"), StorageFull("status 507")])
def test_what_ends_the_poll_says_nothing_about_moves(bench: Bench, error: Failure) -> None:
    bench.answer("MOVE", error)
    with pytest.raises(type(error)):
        bench.publish_by(bench.publisher)
    assert len(uploads(bench.site)) == 1
