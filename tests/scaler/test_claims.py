"""The claim way where things go wrong: kills, rights, lost races, and claims whose copy is gone."""

import contextlib
import itertools
import threading
from pathlib import Path

import pytest

from scaler.moves import OutcomeUnknown
from scaler.session import ClaimSession
from shared.errors import Failure, Forbidden, NotAccepted, NotFound, PreconditionFailed, ServerUnavailable
from shared.retry import ATTEMPTS
from shared.webdav.store import Href
from tests.contract.memory import MemoryServer
from tests.contract.spy import Call, Killed, SpiedAccount
from tests.scaler.cloud import log_lines
from tests.scaler.harness import (
    HIDDEN,
    RAW,
    UNSORTED,
    a_scaler,
    assert_done,
    claims,
    config,
    image,
    inside,
    poll,
    prepare,
    published,
    uploads,
)
from tests.scaler.test_steps import NAME, after, before, die, is_claim, is_publication, stop_at
from tests.servers.site import Site


def forbid_publication(call: Call) -> None:
    if is_publication(call) and not call.after:
        raise Forbidden("status 403")


@pytest.mark.parametrize("conditional", [True, False])
def test_a_forbidden_publication_and_a_kill_after_it_lose_nothing(conditional: bool, tmp_path: Path) -> None:
    """Died before and after each request that follows."""
    for n in itertools.count():
        site = MemoryServer(conditional=conditional, etag_tells=conditional)
        prepare(site)
        site.write(f"{RAW}/{NAME}", image())
        rejected: list[bool] = []
        moments = itertools.count()
        killed: list[bool] = []

        def spy(
            call: Call,
            rejected: list[bool] = rejected,
            moments: "itertools.count[int]" = moments,
            killed: list[bool] = killed,
            n: int = n,
        ) -> None:
            if rejected and (killed or next(moments) >= n):
                killed.append(True)
                raise Killed
            if is_publication(call) and not call.after:
                rejected.append(True)
                raise Forbidden("status 403")

        with contextlib.suppress(Killed):
            poll(SpiedAccount(site.account, spy), tmp_path)
        assert rejected
        originals = {**inside(site, RAW), **claims(site)}
        assert list(originals.values()) == [image()], n

        # While the right is still missing, the next scaler brings the original back into sight.
        poll(SpiedAccount(site.account, forbid_publication), tmp_path / "next")
        assert inside(site, RAW) == {NAME: image()}, n
        assert claims(site) == {}

        # Somebody has granted the right.
        assert poll(site.account, tmp_path) == []

        assert_done(site, {NAME: image()})
        if not killed:
            break
    # The looks after the rejection, the discarding, the move back, and the deletion of the copy.
    assert n >= 6


def test_a_claim_whose_copy_is_gone_is_never_deleted_in_silence(claim_site: Site, tmp_path: Path) -> None:
    """Mostly it was published and filed away; who restores an original from the trash bin reads where it went."""
    prepare(claim_site)
    claim_site.write(f"{RAW}/{NAME}", image())
    stop_at(claim_site, tmp_path, after(is_publication, die))
    (name,) = inside(claim_site, UNSORTED)
    claim_site.remove(f"{UNSORTED}/{name}")

    with log_lines() as said:
        assert poll(claim_site.account, tmp_path) == []

    assert claims(claim_site) == {}
    (line,) = [line for line in said if NAME in line]
    assert "Deleting" in line
    assert ".scaler" in line


@pytest.mark.parametrize("finished", [True, False])
def test_a_claim_that_another_scaler_won_is_no_failure(
    memory_site: MemoryServer, tmp_path: Path, finished: bool
) -> None:
    """The first attempt is answered 503, the next 404: meanwhile somebody else has it, or is even done with it."""
    prepare(memory_site)
    memory_site.write(f"{RAW}/{NAME}", image())

    def lose(_call: Call) -> None:
        if finished:
            assert poll(memory_site.account, tmp_path / "other") == []
        else:
            stop_at(memory_site, tmp_path / "other", after(is_claim, die))

    losing = before(is_claim, lose)
    attempts: list[Call] = []

    def spy(call: Call) -> None:
        losing(call)
        if is_claim(call) and not call.after:
            attempts.append(call)
            if len(attempts) == 1:
                raise ServerUnavailable("status 503")

    with log_lines() as said:
        assert poll(SpiedAccount(memory_site.account, spy), tmp_path / "first") == []
    assert any("was replaced or removed in the meantime" in line for line in said)
    # An attempt may still take effect, so the copy stays: its claim would need it.
    assert len(uploads(memory_site)) == 1 + (not finished)
    assert poll(memory_site.account, tmp_path / "first") == []
    assert len(published(memory_site)) == 1
    assert inside(memory_site, RAW) == claims(memory_site) == {}


def test_a_claim_that_nobody_has_and_that_is_not_answered_is_a_failure(
    memory_site: MemoryServer, tmp_path: Path
) -> None:
    prepare(memory_site)
    memory_site.write(f"{RAW}/{NAME}", image())

    def busy(call: Call) -> None:
        if is_claim(call) and not call.after:
            raise ServerUnavailable("status 503")

    (failure,) = poll(SpiedAccount(memory_site.account, busy), tmp_path)
    assert "not known yet" in failure.message
    assert inside(memory_site, RAW) == {NAME: image()}


def check_two_scalers(site: Site, state: Path, images: int) -> None:
    """Both end without a failure, and every image is published once."""
    prepare(site)
    originals = {f"Unknown {n}.png": image(n) for n in range(images)}
    for name, data in originals.items():
        site.write(f"{RAW}/{name}", data)
    failures: list[Failure] = []
    start = threading.Barrier(2)

    def run(name: str) -> None:
        with a_scaler(state / name, threads=5) as scaler:
            start.wait(10)
            failures.extend(scaler.poll(config(site.account), until_settled=True))

    threads = [threading.Thread(target=run, args=[name], daemon=True) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    poll(site.account, state)
    assert_done(site, originals)


def test_two_scalers_end_without_a_failure(site: Site, tmp_path: Path) -> None:
    check_two_scalers(site, tmp_path, 20)


def test_trying_whether_files_can_be_moved_leaves_nothing(tmp_path: Path) -> None:
    site = MemoryServer()
    prepare(site)
    with a_scaler(tmp_path) as scaler:
        assert scaler.poll(config(site.account)) == []
        session = scaler._session
        assert isinstance(session, ClaimSession)
        moves: list[Href] = []

        def note(method: str, href: Href, after: bool) -> None:
            if method == "MOVE" and not after:
                moves.append(href)

        site.interfere = note
        with session.connections.connect() as store:
            session.publisher.try_moving(store)
            assert moves
            # What was found out is remembered.
            moves.clear()
            session.publisher.try_moving(store)
            assert moves == []
    assert uploads(site) == {}


@pytest.mark.parametrize("error", [Forbidden("403"), NotAccepted("400")])
@pytest.mark.parametrize("gone", [True, False])
def test_a_claim_that_is_rejected_is_a_lost_race_only_if_the_original_is_gone(
    tmp_path: Path, error: Failure, gone: bool
) -> None:
    site = MemoryServer()
    prepare(site)
    site.write(f"{RAW}/Unknown.png", image())

    def reject(method: str, href: Href, after: bool) -> None:
        if method == "MOVE" and not after and href.endswith(f"{RAW}/Unknown.png"):
            if gone:
                site.remove(f"{RAW}/Unknown.png")
            raise error

    site.interfere = reject
    failed = poll(site.account, tmp_path)
    lost = gone and isinstance(error, Forbidden)
    assert [type(failure) for failure in failed] == ([] if lost else [type(error)])
    assert inside(site, RAW) == ({} if gone else {"Unknown.png": image()})
    assert inside(site, UNSORTED) == {}
    assert uploads(site) == {}


def test_a_claim_that_is_rejected_after_one_without_an_answer_keeps_its_copy(tmp_path: Path) -> None:
    """The first attempt may still take effect, although the original is gone now."""
    site = MemoryServer()
    prepare(site)
    site.write(f"{RAW}/Unknown.png", image())
    attempts: list[Href] = []

    def reject(method: str, href: Href, after: bool) -> None:
        if method == "MOVE" and not after and href.endswith(f"{RAW}/Unknown.png"):
            attempts.append(href)
            if len(attempts) == 1:
                raise ServerUnavailable("status 503")
            site.remove(f"{RAW}/Unknown.png")
            raise Forbidden("status 403")

    site.interfere = reject
    poll(site.account, tmp_path)
    assert len(attempts) == 2
    assert len(uploads(site)) == 1


def test_a_claim_is_kept_where_only_404_says_that_its_upload_is_gone(tmp_path: Path) -> None:
    """Somebody else may have published it, which a listing would show; a proxy may just as well answer 404."""
    site = MemoryServer()
    prepare(site)
    site.write(f"{RAW}/Unknown.png", image())

    def lie(method: str, href: Href, after: bool) -> None:
        in_hidden = f"{UNSORTED}/{HIDDEN}/" in href and not href.endswith("/")
        if method in ("MOVE", "PROPFIND") and not after and in_hidden and claims(site):
            raise NotFound("status 404")

    site.interfere = lie
    (failure,) = poll(site.account, tmp_path)
    assert isinstance(failure, OutcomeUnknown)
    assert list(claims(site).values()) == [image()]
    site.interfere = lambda *_: None
    assert poll(site.account, tmp_path) == []
    assert_done(site, {"Unknown.png": image()})


def test_a_download_that_is_rejected_because_another_scaler_was_faster_is_no_failure(tmp_path: Path) -> None:
    """Apache answers 403 if the file is moved away while it opens it."""
    site = MemoryServer()
    prepare(site)
    site.write(f"{RAW}/Unknown.png", image())

    def lose(method: str, href: Href, after: bool) -> None:
        if method == "GET" and not after and href.endswith("Unknown.png"):
            site.remove(f"{RAW}/Unknown.png")
            raise Forbidden("status 403")

    site.interfere = lose
    assert poll(site.account, tmp_path) == []


def test_two_scalers_that_create_the_hidden_folders_at_the_same_moment(
    memory_site: MemoryServer, tmp_path: Path
) -> None:
    """The other one has claimed an image before this one has looked again."""
    prepare(memory_site)
    memory_site.write(f"{RAW}/{NAME}", image())
    first: list[Href] = []

    def act(method: str, href: Href, after: bool) -> None:
        if method == "MKCOL" and after and not first:
            first.append(href)
            stop_at(memory_site, tmp_path / "other", after_claim)

    after_claim = after(is_claim, die)
    memory_site.interfere = act
    assert poll(memory_site.account, tmp_path / "first") == []
    assert_done(memory_site, {NAME: image()})


def test_what_was_published_is_logged(memory_site: MemoryServer, tmp_path: Path) -> None:
    prepare(memory_site)
    memory_site.write(f"{RAW}/Unknown.png", image())
    with log_lines() as said:
        assert poll(memory_site.account, tmp_path) == []
    assert [line.partition(",")[0] for line in said if "Unknown" in line] == ["SUCCESS Unknown.png 9x7 → 18x14"]


def test_a_publication_that_is_answered_412_though_the_name_is_free_ends(tmp_path: Path) -> None:
    """Other names would be answered in the same way, and there is no last one."""
    site = MemoryServer()
    prepare(site)
    site.write(f"{RAW}/Unknown.png", image())
    moves: list[Href] = []

    def reject(method: str, href: Href, after: bool) -> None:
        if method == "MOVE" and not after and f"{UNSORTED}/{HIDDEN}/" in href and claims(site):
            moves.append(href)
            if len(moves) > 2 * ATTEMPTS:
                raise AssertionError("it goes on and on")
            raise PreconditionFailed("status 412")

    site.interfere = reject
    (failure,) = poll(site.account, tmp_path)
    assert isinstance(failure, OutcomeUnknown)
    assert len(moves) <= ATTEMPTS
    site.interfere = lambda *_: None
    assert poll(site.account, tmp_path) == []
    assert_done(site, {"Unknown.png": image()})


def test_a_discarded_upload_stays_where_only_404_says_that_its_claim_is_gone(tmp_path: Path) -> None:
    """It is all that tells that the claim is to be released: without it the original would count as published."""
    site = MemoryServer()
    prepare(site)
    site.write(f"{RAW}/Unknown.png", image())

    def reject(method: str, href: Href, after: bool) -> None:
        if after or not claims(site) or href.endswith("/"):
            return
        if method == "MOVE" and f"{UNSORTED}/{HIDDEN}/" in href and not discarding:
            discarding.append(href)
            raise Forbidden("status 403")
        if method in ("MOVE", "PROPFIND") and f"{RAW}/{HIDDEN}/" in href:
            raise NotFound("status 404")

    discarding: list[Href] = []
    site.interfere = reject
    poll(site.account, tmp_path)
    assert discarding
    assert list(claims(site).values()) == [image()]
    site.interfere = lambda *_: None
    poll(site.account, tmp_path / "next")
    assert_done(site, {"Unknown.png": image()})
