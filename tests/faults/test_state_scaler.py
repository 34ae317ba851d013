"""The promises of the scaler, kept through whatever happens in whatever order."""

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from loguru import logger

from scaler import publish
from shared import patience
from tests.faults.state_lockstep import patience_of_worker
from tests.faults.state_scalers import Scalers

# The same examples each time. A failing one is printed as it is: to shrink it takes minutes.
SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "100")),
    stateful_step_count=80,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class IgnoresConditions(Scalers):
    """On a server that does not look at If-Match."""

    conditional = False


@pytest.fixture(autouse=True)
def _processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scalers share nothing, as processes would not, nor anything with other tests."""
    logger.remove()
    of_main = patience.of_process()
    monkeypatch.setattr(patience, "of_process", lambda: patience_of_worker(of_main))
    monkeypatch.setattr(publish, "_only_one", lambda _name: contextlib.nullcontext())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_on_a_server_that_honours_conditions() -> None:
    run_state_machine_as_test(Scalers, settings=SETTINGS)


def test_on_a_server_that_ignores_conditions() -> None:
    run_state_machine_as_test(IgnoresConditions, settings=SETTINGS)
