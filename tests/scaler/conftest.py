"""What the tests of the scaler start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from tests.scaler.cli import Home
from tests.scaler.cloud import Clock, CloudSite
from tests.scaler.harness import RAW, UNSORTED


@pytest.fixture
def home(the_vault: Vault, tmp_path: Path) -> Home:
    """Settings of one's own in a real Vault."""
    return Home(the_vault, tmp_path)


@pytest.fixture
def clock() -> Clock:
    """What tells `cloud` the time."""
    return Clock()


@pytest.fixture
def cloud(clock: Clock) -> Iterator[Nextcloud]:
    """A Nextcloud for one test, with both folders."""
    with Nextcloud(clock=clock) as server:
        server.mkdir(RAW)
        server.mkdir(UNSORTED)
        yield server


@pytest.fixture
def cloud_site(cloud: Nextcloud) -> CloudSite:
    """Its whole account."""
    return CloudSite(cloud)
