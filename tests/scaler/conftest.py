"""What the tests of the scaler start from."""

from pathlib import Path

import pytest

from sandbox.vault import Vault
from tests.scaler.cli import Home


@pytest.fixture
def home(the_vault: Vault, tmp_path: Path) -> Home:
    """Settings of one's own in a real Vault."""
    return Home(the_vault, tmp_path)
