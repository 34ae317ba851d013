"""Orders of events that are too rare to be met by chance, and what they once cost."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from shared.errors import Forbidden, ServerUnreachable, Unauthorized
from tests.faults.state_lockstep import Fate
from tests.faults.state_scalers import A_DAY, Scalers, keep_apart

NAME = "Unknown-1.png"


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_apart(tmp_path, monkeypatch)


@contextlib.contextmanager
def started(machine: type[Scalers] = Scalers) -> Iterator[Scalers]:
    """A machine with one image; at its end everything comes to rest and is counted."""
    state = machine()
    state.some_are_there([NAME])
    yield state
    state.nothing_is_lost_or_duplicated()
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
@pytest.mark.parametrize("killed", [False, True])
def test_a_scaler_that_slept_for_days_after_its_upload_loses_nothing(asleep_at: str, killed: bool) -> None:
    """Others have given its upload up meanwhile, since nobody had claimed anything for it."""
    with started() as state:
        up_to(state, 0, "MOVE", "unsorted/.scaler")
        up_to(state, 0, *(("MOVE", "raw/Unknown") if asleep_at == "the claim" else ("PROPFIND", "unsorted/.scaler")))
        state.time_passes(2 * A_DAY)
        up_to(state, 1, "MOVE", "unsorted/.scaler")
        state.it_goes_on(1, 1)
        if killed:
            up_to(state, 0, "MOVE", "raw/Unknown")
            state.processes[0].kill(after=True)
        state.processes[0].end()


def test_a_scaler_that_slept_while_another_published_duplicates_nothing() -> None:
    with started() as state:
        up_to(state, 0, "MOVE", "raw/Unknown")
        state.time_passes(2 * A_DAY)
        state.processes[0].step(Fate(partial(ServerUnreachable, "broken off"), after=True))
        up_to(state, 1, "MOVE", "unsorted/.scaler")
        state.processes[1].kill(after=True)
        state.processes[0].end()


def test_a_look_that_is_rejected_leaves_open_what_became_of_the_claim() -> None:
    """If the claim were thought rejected, its upload would be dropped, and the original taken for published."""
    with started() as state:
        up_to(state, 0, "MOVE", "raw/Unknown")
        state.processes[0].step(Fate(partial(ServerUnreachable, "broken off"), after=True))
        state.processes[0].step(Fate(partial(Unauthorized, "status 401")))
        state.processes[0].end()


def test_a_look_that_is_rejected_leaves_open_what_became_of_the_copy() -> None:
    """Were it thought unpublished, the original would be moved back, and come again."""
    with started() as state:
        up_to(state, 0, "MOVE", "raw/Unknown")
        up_to(state, 0, "MOVE", "unsorted/.scaler")
        state.processes[0].step(Fate(partial(ServerUnreachable, "broken off"), after=True))
        state.processes[0].step(Fate(partial(Forbidden, "status 403")))
        state.processes[0].end()


def test_an_original_claimed_while_another_looks_around_is_not_taken_for_published() -> None:
    """Were uploads listed before claims, the upload of a claim could be missing from the list."""
    with started() as state:
        up_to(state, 0, "GET", "raw/Unknown")
        up_to(state, 1, "PROPFIND", "/.scaler/")
        state.it_goes_on(1, 1)
        up_to(state, 0, "MOVE", "raw/Unknown")
        state.it_goes_on(0, 1)
        state.processes[1].end()
        state.nothing_is_lost_or_duplicated()
        state.processes[0].end()


def test_a_copy_that_may_not_be_published_is_not_published_by_another_meanwhile() -> None:
    """The original goes back; its copy must be out of reach before that."""
    with started() as state:
        up_to(state, 0, "MOVE", "raw/Unknown")
        up_to(state, 0, "MOVE", "unsorted/.scaler")
        up_to(state, 1, "MOVE", "unsorted/.scaler")
        state.processes[0].step(Fate(partial(Forbidden, "status 403")))
        up_to(state, 0, "MOVE", "raw/.scaler")
        state.it_goes_on(0, 1)
        state.it_goes_on(1, 1)
        state.processes[0].end()
        state.processes[1].end()


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_a_copy_that_may_not_be_published_and_a_kill_while_it_is_given_up(moves: int) -> None:
    with started() as state:
        up_to(state, 0, "MOVE", "raw/Unknown")
        up_to(state, 0, "MOVE", "unsorted/.scaler")
        state.processes[0].step(Fate(partial(Forbidden, "status 403")))
        for _ in range(moves):
            up_to(state, 0, "MOVE", "/.scaler/")
        state.processes[0].kill(after=True)


def test_an_upload_that_was_claimed_after_the_claims_were_listed_is_no_orphan() -> None:
    """However long its recovery was held up between its two looks."""
    with started() as state:
        up_to(state, 0, "MOVE", "unsorted/.scaler")
        up_to(state, 1, "PROPFIND", "unsorted/.scaler/")
        up_to(state, 0, "MOVE", "raw/Unknown")
        state.it_is_killed(who=0, moves=0, after=True)
        state.time_passes(A_DAY + 10)
        state.processes[1].end()


def test_a_folder_for_uploads_that_vanished_is_not_made_anew_over_a_claim() -> None:
    """The claim was made after the recovery had looked for claims, and before it looked for uploads."""
    with started() as state:
        up_to(state, 0, "MOVE", "raw/Unknown")
        up_to(state, 1, "PROPFIND", "unsorted/.scaler/")
        state.it_is_killed(who=0, moves=0, after=True)
        state.somebody_meddles("uploads")
        state.processes[1].end()
