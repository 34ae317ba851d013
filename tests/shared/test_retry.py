"""Trying again, in a time that passes only where somebody waits."""

import threading
import time

import pytest

from shared.errors import (
    Cancelled,
    Failure,
    Forbidden,
    Locked,
    PreconditionFailed,
    ServerUnavailable,
    ServerUnreachable,
    Unauthorized,
)
from shared.retry import ATTEMPTS, LONGEST_PAUSE, RetryPolicy
from shared.shutdown import StopToken
from tests.fake_time import FakeTime


class Attempts:
    """Something that fails so often, and then works."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if self._failures:
            raise self._failures.pop(0)
        return "done"

    async def awaited(self) -> str:
        return self()


@pytest.fixture
def fake() -> FakeTime:
    return FakeTime(1000.0)


def test_what_works_takes_no_time(fake: FakeTime) -> None:
    assert RetryPolicy(fake.stop())(Attempts()) == "done"
    assert fake.waited == []


@pytest.mark.parametrize("failure", [ServerUnreachable("x"), ServerUnavailable("x")])
def test_what_may_poll_is_tried_again_after_growing_pauses(fake: FakeTime, failure: Failure) -> None:
    attempts = Attempts(*[failure] * (ATTEMPTS - 1))
    assert RetryPolicy(fake.stop())(attempts) == "done"
    assert attempts.count == ATTEMPTS
    pauses = [pause for pause in fake.waited if pause >= 0.5]
    assert len(pauses) == ATTEMPTS - 1
    assert all(0.5 * 2**n <= pause <= 0.5 * 2**n + 0.5 for n, pause in enumerate(pauses))


def test_a_locked_file_keeps_no_other_request_waiting(fake: FakeTime) -> None:
    retry = RetryPolicy(fake.stop())
    assert retry(Attempts(Locked("x"), Locked("x"))) == "done"
    assert len(fake.waited) == 2
    assert retry._backoff_until == 0.0
    assert retry(Attempts(ServerUnavailable("x"))) == "done"
    assert retry._backoff_until > 0.0


def test_the_last_failure_is_raised(fake: FakeTime) -> None:
    attempts = Attempts(*(ServerUnreachable(str(n)) for n in range(10)))
    with pytest.raises(ServerUnreachable, match=str(ATTEMPTS - 1)):
        RetryPolicy(fake.stop())(attempts)
    assert attempts.count == ATTEMPTS


@pytest.mark.parametrize(
    "failure", [Forbidden("x"), PreconditionFailed("x"), Unauthorized("x"), ValueError("x"), Cancelled()]
)
def test_what_will_not_poll_is_tried_once(fake: FakeTime, failure: Exception) -> None:
    attempts = Attempts(failure)
    with pytest.raises(type(failure)):
        RetryPolicy(fake.stop())(attempts)
    assert attempts.count == 1
    assert fake.waited == []


@pytest.mark.parametrize(("asked", "waits"), [(7.0, 7.0), (0.0, 0.0), (3600.0, LONGEST_PAUSE)])
def test_what_the_server_asks_for_is_waited(fake: FakeTime, asked: float, waits: float) -> None:
    start = fake.now
    assert RetryPolicy(fake.stop())(Attempts(ServerUnavailable("x", retry_after=asked))) == "done"
    assert fake.now - start == pytest.approx(waits, abs=0.5)


def test_a_stop_ends_a_pause_but_not_what_works(fake: FakeTime) -> None:
    stop = fake.stop()
    stop.request()
    retry = RetryPolicy(stop)
    assert retry(Attempts()) == "done"
    attempts = Attempts(ServerUnreachable("x"))
    with pytest.raises(Cancelled):
        retry(attempts)
    assert attempts.count == 1


def test_threads_wait_for_the_pause_that_one_of_them_was_asked_to_keep() -> None:
    """In real time, shortened: nobody asks within the pause."""
    retry = RetryPolicy(StopToken())
    asked: list[float] = []
    begun = threading.Event()
    clock = retry.stop.clock

    def busy_once() -> None:
        asked.append(clock())
        if len(asked) == 1:
            begun.set()
            raise ServerUnavailable("x", retry_after=0.3)

    first = threading.Thread(target=retry, args=[busy_once])
    first.start()
    begun.wait()
    others = [threading.Thread(target=retry, args=[busy_once]) for _ in range(5)]
    while retry._backoff_until == 0.0:
        time.sleep(0.001)
    for thread in others:
        thread.start()
    for thread in [first, *others]:
        thread.join()
    assert len(asked) == 7
    assert min(asked[1:]) - asked[0] >= 0.3
