"""A private Vault for each test: a copy of one that was made once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.private_vault.creation import create
from shared.private_vault.layout import Layout
from shared.private_vault.supervisor import stop


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A new private Vault; tests take copies of it."""
    layout = Layout(tmp_path_factory.mktemp("private-vault") / "vault")
    assert create(layout)
    return layout


@pytest.fixture
def layout(made: Layout, tmp_path: Path) -> Iterator[Layout]:
    """A private Vault in the data folder of the home `tmp_path`; nothing in it runs after the test."""
    layout = Layout.of({"HOME": str(tmp_path)})
    shutil.copytree(made.folder, layout.folder)
    yield layout
    if layout.exists:
        stop(layout)
