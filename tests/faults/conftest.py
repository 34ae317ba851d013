"""What the tests of faults start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from sandbox.vault import Vault
from tests.faults.preloaded import Nursery, nursery
from tests.faults.proxy import Proxy
from tests.faults.scalers import Scalers
from tests.faults.stage import Stage
from tests.scaler.harness import prepare
from tests.servers.fixtures import REAL_KINDS, site_on
from tests.servers.site import DiskSite

NEXTCLOUD, APACHE, _, RCLONE = REAL_KINDS


@pytest.fixture(scope="session")
def the_nursery() -> Iterator[Nursery]:
    """Where the daemons come from."""
    with nursery() as ready:
        yield ready


def _stage(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[Stage]:
    logger.remove()
    site = site_on(request, kind)
    assert isinstance(site, DiskSite)
    prepare(site)
    with Proxy(site.url) as proxy:
        stage = Stage(site, proxy, folder / "state")
        stage.surround()
        yield stage


@pytest.fixture(params=[NEXTCLOUD, APACHE, RCLONE])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A site behind a proxy: on a Nextcloud, on Apache, and on a server that ignores If-Match."""
    yield from _stage(request, request.param, tmp_path)


@pytest.fixture
def nextcloud_stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A site behind a proxy on the sandbox's Nextcloud."""
    yield from _stage(request, "nextcloud", tmp_path)


@pytest.fixture
def scalers(the_nursery: Nursery, the_vault: Vault, stage: Stage, tmp_path: Path) -> Scalers:
    """What starts scalers for the stage."""
    return Scalers(the_nursery, the_vault, stage, tmp_path)
