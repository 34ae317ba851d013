"""Orders of events that are too rare to be met by chance, and what they once cost."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.state_scalers import A_DAY, Scalers

NAME = "Unknown-1.png"


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@contextlib.contextmanager
def started(machine: type[Scalers] = Scalers) -> Iterator[Scalers]:
    """A machine with one picture; at its end everything comes to rest and is counted."""
    state = machine()
    state.some_are_there([NAME])
    yield state
    state.nothing_is_lost_or_doubled()
    state.teardown()


def up_to(state: Scalers, who: int, method: str, place: str) -> None:
    """Let a scaler go on until it is about to send such a request."""
    for _ in range(50):
        state.it_goes_on(who, 1)
        request = state.processes[who].request
        if request and request[0] == method and place in request[1]:
            return
    raise AssertionError(f"no {method} of {place}")


@pytest.mark.parametrize("asleep_at", ["the claim", "the step before"])
def test_a_scaler_that_slept_for_a_day_after_its_upload_loses_nothing(asleep_at: str) -> None:
    """Others remove its upload meanwhile, since nobody has claimed anything for it."""
    with started() as state:
        up_to(state, 0, "MOVE", "unsorted/.scaler")
        up_to(state, 0, *(("MOVE", "raw/Unknown") if asleep_at == "the claim" else ("PROPFIND", "unsorted/.scaler")))
        state.time_passes(A_DAY + 10)
        up_to(state, 1, "DELETE", "unsorted/.scaler")
        state.it_goes_on(1, 1)
        state.processes[0].end()
