"""What the tests of faults start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from sandbox.vault import Vault
from tests.faults.preloaded import Nursery, nursery
from tests.faults.proxy import Proxy
from tests.faults.scalers import Scalers
from tests.faults.scenario import Scenario
from tests.scaler.harness import prepare
from tests.servers.fixtures import REAL_KINDS, site_on
from tests.servers.site import DiskSite

NEXTCLOUD, APACHE, _, RCLONE = REAL_KINDS


@pytest.fixture(scope="session")
def the_nursery() -> Iterator[Nursery]:
    """Where the daemons come from."""
    with nursery() as ready:
        yield ready


def _scenario(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[Scenario]:
    logger.remove()
    site = site_on(request, kind)
    assert isinstance(site, DiskSite)
    prepare(site)
    with Proxy(site.url) as proxy:
        scenario = Scenario(site, proxy, folder / "state")
        scenario.surround()
        yield scenario


@pytest.fixture(params=[NEXTCLOUD, APACHE, RCLONE])
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """A site behind a proxy: on a Nextcloud, on Apache, and on a server that ignores If-Match."""
    yield from _scenario(request, request.param, tmp_path)


@pytest.fixture
def nextcloud_scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """A site behind a proxy on the sandbox's Nextcloud."""
    yield from _scenario(request, "nextcloud", tmp_path)


@pytest.fixture
def scalers(the_nursery: Nursery, the_vault: Vault, scenario: Scenario, tmp_path: Path) -> Scalers:
    """What starts scalers for the stage."""
    return Scalers(the_nursery, the_vault, scenario, tmp_path)
