"""What the tests of faults start from."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from loguru import logger

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from tests.faults.preloaded import Nursery, nursery
from tests.faults.proxy import Proxy
from tests.faults.scalers import Scalers
from tests.faults.scenario import Scenario
from tests.scaler.harness import prepare
from tests.servers.fixtures import REAL_KINDS, site_on
from tests.servers.site import DiskSite

NEXTCLOUD, NO_VERSIONS, APACHE, _, RCLONE = REAL_KINDS[:5]
KINDS = [NEXTCLOUD, NO_VERSIONS, APACHE, RCLONE]


@pytest.fixture(scope="session")
def the_nursery() -> Iterator[Nursery]:
    """Where the daemons come from."""
    with nursery() as ready:
        yield ready


def scenario_on(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[Scenario]:
    """A site of a kind behind a proxy."""
    logger.remove()
    site = site_on(request, kind)
    assert isinstance(site, DiskSite)
    prepare(site)
    with Proxy(site.url) as proxy:
        scenario = Scenario(site, proxy, folder / "state", nextcloud=nextcloud_of(request, kind))
        scenario.surround()
        yield scenario


@pytest.fixture(params=KINDS)
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """A site behind a proxy: in place on a Nextcloud; by claims on one, on Apache, and where If-Match is ignored."""
    yield from scenario_on(request, request.param, tmp_path)


def steps_of_each_kind(in_place: Sequence[str], by_claims: Sequence[str]) -> list[ParameterSet]:
    """Parameters for `scenario` and for a step: the steps that there are on a server of that kind."""
    return [
        pytest.param(kind.values[0], name, id=f"{kind.id}-{name}", marks=kind.marks)
        for kind in KINDS
        for name in (in_place if kind is NEXTCLOUD else by_claims)
    ]


def nextcloud_of(request: pytest.FixtureRequest, kind: str) -> Nextcloud | None:
    """The server of a kind, if it replaces files in place."""
    if kind != NEXTCLOUD.values[0]:
        return None
    server: Nextcloud = request.getfixturevalue("the_nextcloud")
    return server


@pytest.fixture
def scalers(the_nursery: Nursery, the_vault: Vault, scenario: Scenario, tmp_path: Path) -> Scalers:
    """What starts scalers for the stage."""
    return Scalers(the_nursery, the_vault, scenario, tmp_path)
