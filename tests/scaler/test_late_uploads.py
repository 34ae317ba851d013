"""Uploads without an answer that the server executes late, when another attempt was answered and verified long ago."""

from pathlib import Path

import pytest

from shared.errors import Failure, ServerUnavailable, ServerUnreachable
from shared.webdav.store import Href
from tests.contract.memory import MemoryServer
from tests.scaler.harness import HIDDEN, RAW, UNSORTED, assert_done, image, poll, prepare, uploads

NAME = "Unknown.png"


@pytest.mark.parametrize("error", [ServerUnreachable("cut off"), ServerUnavailable("504")])
def test_an_upload_that_is_cut_off_late_does_not_empty_the_one_that_was_verified(
    tmp_path: Path, error: Failure
) -> None:
    """A Nextcloud empties what has the name of an upload whose body ends early."""
    site = MemoryServer()
    prepare(site)
    site.write(f"{RAW}/{NAME}", image())
    late: list[str] = []

    def interfere(method: str, href: Href, after: bool) -> None:
        if method == "PUT" and not after and f"{UNSORTED}/{HIDDEN}/" in href and not late:
            late.append(href.strip("/"))
            raise error
        if method == "MOVE" and not after and href.endswith(NAME):
            there = set(uploads(site))
            if late[0].rpartition("/")[2] in there:
                site.write(late[0], b"")
            # Never two of one image.
            assert len(there) == 1

    site.interfere = interfere
    assert poll(site.account, tmp_path) == []
    assert late
    assert_done(site, {NAME: image()})
    assert uploads(site) == {}


def test_every_attempt_that_failed_is_deleted(tmp_path: Path) -> None:
    site = MemoryServer()
    prepare(site)
    site.write(f"{RAW}/{NAME}", image())
    sent: set[Href] = set()

    def interfere(method: str, href: Href, after: bool) -> None:
        if method == "PUT" and after and f"{UNSORTED}/{HIDDEN}/" in href:
            sent.add(href)
            raise ServerUnavailable("status 504")

    site.interfere = interfere
    (failure,) = poll(site.account, tmp_path)
    assert "504" in failure.message
    assert len(sent) > 1
    assert uploads(site) == {}
