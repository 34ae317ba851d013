"""What the tests of the mover start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from tests.mover.harness import log_lines, seed
from tests.scaler.cli import Home


@pytest.fixture
def nextcloud() -> Iterator[Nextcloud]:
    """A server for one test, with both folders and no tags."""
    with Nextcloud() as server:
        seed(server)
        yield server


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged."""
    with log_lines() as lines:
        yield lines


@pytest.fixture
def home(the_vault: Vault, tmp_path: Path) -> Home:
    """Settings of one's own in a real Vault."""
    return Home(the_vault, tmp_path)
