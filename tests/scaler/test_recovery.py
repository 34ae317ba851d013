"""What a claim needs, told from listings alone, and what is left of uploads."""

import contextlib
from pathlib import Path

import pytest

from scaler.names import DISCARDED, ClaimName, version_hash
from scaler.recovery import (
    RecoveryAction,
    action_for,
    orphans,
)
from shared.errors import Failure, Forbidden, IntegrityError, NotAccepted, StorageFull
from shared.webdav.store import Entry, Href, Listing
from tests.contract.memory import MemoryServer
from tests.scaler.harness import HIDDEN, RAW, UNSORTED, image, inside, poll, prepare

# Seconds.
HOUR, DAY, WEEK = 3600.0, 86_400.0, 604_800.0
MINE, OTHER = "aaaaaaaa", "bbbbbbbb"
NOW = 1_800_000_000.0
FOLDER = Entry(".scaler", Href("/u/.scaler/"), True, None, None, None)


def upload_id(owner: str, number: int = 0) -> str:
    return f"20270115T080000Z-{owner}{number:016x}"


def entry(name: str, *, size: int | None = 5, age: float | None = 100.0) -> Entry:
    return Entry(name, Href("/x/" + name), False, size, None, None if age is None else NOW - age)


def listing(*entries: Entry, now: float | None = NOW) -> Listing:
    return Listing(FOLDER, entries, now)


@pytest.mark.parametrize(
    ("uploads", "action"),
    [
        (listing(entry(upload_id(MINE))), RecoveryAction.PUBLISH),
        (listing(entry(upload_id(OTHER))), RecoveryAction.DELETE),
        (listing(), RecoveryAction.DELETE),
        (None, RecoveryAction.RELEASE),
    ],
)
@pytest.mark.parametrize("version", ["", version_hash(5, NOW - 100)])
def test_what_finishes_a_claim(uploads: Listing | None, action: RecoveryAction, version: str) -> None:
    claim = ClaimName(upload_id(MINE), "12345678", "Unknown.jpg", version)
    assert action_for(entry(str(claim)), claim, uploads) is action


def test_a_claim_of_another_version_than_was_read_is_put_back() -> None:
    claim = ClaimName(upload_id(MINE), "12345678", "Unknown.jpg", version_hash(5, NOW - 100))
    for changed in (entry(str(claim), size=6), entry(str(claim), age=99)):
        for uploads in (listing(), listing(entry(upload_id(MINE)))):
            assert action_for(changed, claim, uploads) is RecoveryAction.RELEASE


@pytest.mark.parametrize(
    ("owner", "age", "dead"),
    [
        (MINE, HOUR, False),
        (MINE, HOUR + 1, True),
        (OTHER, HOUR + 1, False),
        (OTHER, DAY, False),
        (OTHER, DAY + 1, True),
        (MINE, None, False),
    ],
)
def test_when_an_upload_is_given_up(owner: str, age: float | None, dead: bool) -> None:
    lying = entry(upload_id(owner), age=age)
    assert orphans(listing(lying), [], MINE, NOW) == ([lying] if dead else [])


def test_what_others_have_given_up_stays_for_a_week() -> None:
    for age, dead in ((WEEK, False), (WEEK + 1, True)):
        lying = entry(upload_id(OTHER) + DISCARDED, age=age)
        assert orphans(listing(lying), [], MINE, NOW) == ([lying] if dead else [])
        # A claim may still need it.
        claim = ClaimName(upload_id(OTHER), "12345678", "Unknown.jpg")
        assert orphans(listing(lying), [claim], MINE, NOW) == []
        assert action_for(entry(str(claim)), claim, listing(lying)) is RecoveryAction.RELEASE


def test_what_is_never_an_orphan() -> None:
    old = 10 * DAY
    claimed = entry(upload_id(OTHER), age=old)
    notes = entry("somebody's notes.txt", age=old)
    claim = ClaimName(claimed.name, "12345678", "Unknown.jpg")
    assert orphans(listing(claimed, notes), [claim], MINE, NOW) == []
    # Without the server's clock nobody can tell.
    assert orphans(listing(claimed), [], MINE, None) == []


# --- on a server ------------------------------------------------------------------------------------------------------


def test_an_upload_of_another_scaler_is_renamed_before_it_is_deleted(memory_site: MemoryServer, tmp_path: Path) -> None:
    prepare(memory_site)
    assert poll(memory_site.account, tmp_path) == []
    old = upload_id(OTHER)
    memory_site.write(f"{UNSORTED}/{HIDDEN}/{old}", b"upscaled", age=DAY + 60)
    assert poll(memory_site.account, tmp_path) == []
    # Its scaler may only sleep; it finds out by the new name, and a week later nobody needs it.
    assert inside(memory_site, f"{UNSORTED}/{HIDDEN}") == {old + DISCARDED: b"upscaled"}


def test_claims_are_listed_before_their_uploads(memory_site: MemoryServer, tmp_path: Path) -> None:
    """An upload is there before its claim, so a claim that was listed first has its upload, or has published it."""
    prepare(memory_site)
    assert poll(memory_site.account, tmp_path) == []
    listed: list[str] = []

    def note(method: str, href: Href, after: bool) -> None:
        if method == "PROPFIND" and href.endswith(f"/{HIDDEN}/") and not after:
            listed.append(href)

    memory_site.interfere = note
    assert poll(memory_site.account, tmp_path) == []
    assert [f"/{RAW}/" in href for href in listed[:2]] == [True, False]


@pytest.mark.parametrize(
    "error", [NotAccepted("413"), StorageFull("507"), Forbidden("403"), IntegrityError("other bytes")]
)
def test_an_upload_that_failed_is_not_left_behind(memory_site: MemoryServer, tmp_path: Path, error: Failure) -> None:
    prepare(memory_site)
    memory_site.write(f"{RAW}/Unknown.png", image())

    def fail(method: str, href: Href, after: bool) -> None:
        # The server has stored it, and says otherwise.
        if method == "PUT" and after and f"{UNSORTED}/{HIDDEN}/" in href:
            raise error

    memory_site.interfere = fail
    with contextlib.suppress(Failure):
        assert poll(memory_site.account, tmp_path)
    assert inside(memory_site, f"{UNSORTED}/{HIDDEN}") == {}
    assert inside(memory_site, RAW) == {"Unknown.png": image()}
