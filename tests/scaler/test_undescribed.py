"""Files that a listing names without describing them, since the server withholds them for now: they are there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scaler.jobs import Upload
from scaler.names import destination_record
from scaler.recovery import OTHERS_ORPHAN_AFTER, FolderStateUnknown, Recovery
from scaler.session import ClaimSession
from shared.errors import NotFound
from shared.webdav.store import Href, Listing
from tests.contract.memory import MemoryServer
from tests.scaler.harness import (
    HIDDEN,
    RAW,
    UNSORTED,
    a_scaler,
    assert_done,
    claims,
    config,
    image,
    poll,
    prepare,
    uploads,
)
from tests.scaler.test_steps import NAME, after, decoded, die, is_claim, stop_at

CLAIMS, UPLOADS = f"{RAW}/{HIDDEN}/", f"{UNSORTED}/{HIDDEN}/"


class WithholdingServer(MemoryServer):
    """Names files without describing them, and says of each that it is not there.

    Attributes:
        withheld: how the paths of these files start.
    """

    withheld = "nothing"

    def propfind(self, href: Href, *, depth: int) -> Listing:
        if self._withholds(href):
            raise NotFound("status 404")
        listing = super().propfind(href, depth=depth)
        described = tuple(entry for entry in listing.entries if not self._withholds(entry.href))
        unreadable = tuple((entry.name, 423) for entry in listing.entries if self._withholds(entry.href))
        return replace(listing, entries=described, unreadable=unreadable)

    def move(self, source: Href, target: Href, if_match: str | None) -> None:
        if self._withholds(source):
            raise NotFound("status 404")
        super().move(source, target, if_match)

    def _withholds(self, href: Href) -> bool:
        return not href.endswith("/") and decoded(href).startswith("/" + self.withheld)


@pytest.fixture
def site() -> WithholdingServer:
    site = WithholdingServer()
    prepare(site)
    return site


@pytest.fixture
def claimed(site: WithholdingServer, tmp_path: Path) -> WithholdingServer:
    """With a claim and its upload, left by a scaler that has died."""
    site.write(f"{RAW}/{NAME}", image())
    stop_at(site, tmp_path, after(is_claim, die))
    assert len(claims(site)) == len(uploads(site)) == 1
    return site


@pytest.fixture
def session(site: WithholdingServer, tmp_path: Path) -> Iterator[ClaimSession]:
    with a_scaler(tmp_path / "other") as scaler:
        assert scaler.poll(config(site.account)) == []
        assert isinstance(scaler._session, ClaimSession)
        yield scaler._session


def assert_finished(site: WithholdingServer, tmp_path: Path) -> None:
    site.withheld = "nothing"
    assert poll(site.account, tmp_path) == []
    assert_done(site, {NAME: image()})


def test_an_upload_keeps_its_claim(claimed: WithholdingServer, tmp_path: Path) -> None:
    claimed.withheld = UPLOADS
    poll(claimed.account, tmp_path)
    assert list(claims(claimed).values()) == [image()]
    assert_finished(claimed, tmp_path)


def test_a_claim_keeps_its_upload(claimed: WithholdingServer, tmp_path: Path) -> None:
    ((name, data),) = uploads(claimed).items()
    claimed.write(f"{UPLOADS}{name}", data, age=OTHERS_ORPHAN_AFTER + 60)
    claimed.withheld = CLAIMS
    poll(claimed.account, tmp_path)
    assert uploads(claimed) == {name: data}
    assert_finished(claimed, tmp_path)


def test_a_claim_keeps_a_copy_that_was_given_up(
    session: ClaimSession, claimed: WithholdingServer, tmp_path: Path
) -> None:
    (name,) = uploads(claimed)
    claimed.withheld = CLAIMS
    with session.connections.connect() as store:
        session.publisher.abandon(store, Upload(name, store.href(f"{UPLOADS}{name}")))
    assert list(uploads(claimed)) == [name]
    assert_finished(claimed, tmp_path)


@pytest.mark.parametrize("withheld", [CLAIMS, UPLOADS])
def test_a_hidden_folder_with_something_in_it_is_not_removed(
    session: ClaimSession, claimed: WithholdingServer, tmp_path: Path, withheld: str
) -> None:
    claimed.withheld = withheld
    with session.connections.connect() as store:
        Recovery(store, session.moves, "aaaaaaaa").run_for_the_last_time()
    assert list(claims(claimed).values()) == [image()]
    assert len(uploads(claimed)) == 1
    assert_finished(claimed, tmp_path)


def test_a_claim_of_another_folder_waits_for_the_record_of_it(claimed: WithholdingServer, tmp_path: Path) -> None:
    """Whether its copy was published is not known without it."""
    prepare(claimed, unsorted="other")
    claimed.withheld = f"{CLAIMS}{destination_record('')[:9]}"
    with pytest.raises(FolderStateUnknown, match="does not describe"):
        poll(claimed.account, tmp_path, unsorted="other")
    assert list(claims(claimed).values()) == [image()]
    claimed.withheld = "nothing"
    assert poll(claimed.account, tmp_path, unsorted="other") == []
    assert_done(claimed, {NAME: image()})
