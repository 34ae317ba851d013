"""Simulated machines for run.sh."""

from pathlib import Path

import pytest

from tests.run_sh.machine import Machine


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A machine with neither Python nor Poetry."""
    return Machine.make(tmp_path)


@pytest.fixture
def machine(bare: Machine) -> Machine:
    """A machine with Python and Poetry, on which nothing is installed yet."""
    bare.add_python()
    bare.add_poetry()
    return bare


@pytest.fixture(scope="session")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine.make(tmp_path_factory.mktemp("installed"))
    machine.add_python()
    machine.add_poetry()
    assert machine.run("scaler", FAILS="scaler").returncode == 2
    return machine


@pytest.fixture
def installed(_installed: Machine) -> Machine:
    """A machine on which the daemons are installed; it is shared, so do not change it."""
    return _installed
