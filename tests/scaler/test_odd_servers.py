"""Servers that make a claim hard, in memory: what is moved, what is uploaded, and what is said."""

from pathlib import Path

import pytest

from shared.errors import NotFound, PreconditionFailed, ServerUnavailable
from shared.webdav.store import Href
from tests.contract.memory import MemoryServer
from tests.contract.spy import Call, SpiedAccount
from tests.fake_time import FakeTime
from tests.scaler.harness import (
    RAW,
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
from tests.scaler.test_steps import after, before, die, is_claim, stop_at

NAME = "Unknown.png"


class _RejectsItsOwnEtags(MemoryServer):
    def move(self, source: Href, target: Href, if_match: str | None) -> None:
        if if_match is not None:
            raise PreconditionFailed("status 412")
        super().move(source, target, None)


def test_a_server_that_rejects_the_etag_it_lists(tmp_path: Path) -> None:
    site = _RejectsItsOwnEtags()
    prepare(site)
    originals = {f"Unknown {number}.png": image(number) for number in range(3)}
    for name, data in originals.items():
        site.write(f"{RAW}/{name}", data)
    assert poll(site.account, tmp_path) == []
    assert_done(site, originals)
    assert uploads(site) == {}


def test_a_lost_claim_that_is_answered_500_is_looked_up_in_the_claims(
    memory_site: MemoryServer, tmp_path: Path
) -> None:
    prepare(memory_site)
    memory_site.write(f"{RAW}/{NAME}", image())
    rival = before(is_claim, lambda _: stop_at(memory_site, tmp_path / "rival", after(is_claim, die)))

    def spy(call: Call) -> None:
        rival(call)
        if is_claim(call) and not call.after:
            raise ServerUnavailable("status 500", status=500)

    time = FakeTime()
    with a_scaler(tmp_path / "first", stop=time.stop()) as scaler:
        assert scaler.poll(config(SpiedAccount(memory_site.account, spy))) == []
    # At once, without pauses, and its own copy is gone.
    assert time.waited == []
    assert len(uploads(memory_site)) == len(claims(memory_site)) == 1
    assert poll(memory_site.account, tmp_path / "first") == []
    assert len(published(memory_site)) == 1
    assert inside(memory_site, RAW) == {}


class _CutsNames(MemoryServer):
    def move(self, source: Href, target: Href, if_match: str | None) -> None:
        super().move(source, Href(target.split("%3B")[0].split("%3F")[0]), if_match)


@pytest.mark.parametrize("conditional", [True, False])
def test_a_server_that_cuts_names_gets_names_that_it_cannot_cut(tmp_path: Path, conditional: bool) -> None:
    site = _CutsNames(conditional=conditional)
    prepare(site)
    site.write(f"{RAW}/Unknown a;b.png", image(1))
    site.write(f"{RAW}/Unknown a?b #1 100%.png", image(2))
    site.write(f"{RAW}/Unknown a.png", image(3))
    assert poll(site.account, tmp_path) == []
    assert_done(site, {"Unknown a_b.png": image(1), "Unknown a_b _1 100_.png": image(2), "Unknown a.png": image(3)})
    assert uploads(site) == {}


def test_a_claim_with_an_odd_name_that_is_released_is_not_lost(tmp_path: Path) -> None:
    site = _CutsNames(conditional=False)
    prepare(site)
    site.write(f"{RAW}/Unknown a;b.png", image(1))
    replace = before(is_claim, lambda _: site.write(f"{RAW}/Unknown a;b.png", image(2, width=12), age=1800))
    poll(SpiedAccount(site.account, replace), tmp_path)
    assert inside(site, RAW) == {"Unknown a_b.png": image(2, width=12)}
    assert poll(site.account, tmp_path) == []
    assert_done(site, {"Unknown a_b.png": image(2, width=12)})


def test_an_upload_is_looked_for_where_the_trial_left_it(tmp_path: Path) -> None:
    """The server ignores If-Match, so the trial moves the upload; one wrong 404 then says that it is nowhere."""
    site = MemoryServer(conditional=False, etag_tells=False)
    prepare(site)
    site.write(f"{RAW}/{NAME}", image())
    moved: list[Href] = []

    def lie(method: str, href: Href, after: bool) -> None:
        if method == "MOVE" and after:
            moved.append(href)
        if method == "PROPFIND" and not after and not href.endswith("/") and len(moved) == 1:
            moved.append(href)
            raise NotFound("status 404")

    site.interfere = lie
    poll(site.account, tmp_path)
    assert len(moved) > 1
    assert poll(site.account, tmp_path) == []
    assert_done(site, {NAME: image()})
