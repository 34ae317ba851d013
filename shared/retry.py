"""Trying again: growing, jittered pauses that all threads of a process keep together."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from shared.errors import Cancelled, ErrorPolicy, Failure, ServerUnavailable
from shared.shutdown import StopToken

ATTEMPTS = 5
LONGEST_PAUSE = 60.0


def _worth_repeating(error: BaseException) -> bool:
    return isinstance(error, Failure) and error.policy is ErrorPolicy.RETRY


class RetryPolicy:
    """Repeats what failed for a while, and keeps every other thread from asking meanwhile.

    Args:
        stop: ends every pause at once.
        attempts: how often one thing is tried in all.
    """

    def __init__(self, stop: StopToken, attempts: int = ATTEMPTS) -> None:
        self.stop = stop
        self._attempts = attempts
        self._exponential = wait_exponential(multiplier=0.5, max=LONGEST_PAUSE) + wait_random(0, 0.5)
        self._backoff_until = 0.0
        self._lock = threading.Lock()

    def __call__[T](self, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it works; what is safe to repeat only.

        Raises:
            Failure: the last one, or the first that is not worth another try.
            Cancelled: somebody asked to stop while there was something to wait for; what works at once is still done.
        """
        result: T = Retrying(sleep=self._sleep, **self._policy())(self._one_attempt, attempt)
        return result

    async def call_async[T](self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The same for a coroutine function; its pauses hold up no other task."""

        async def one_attempt() -> T:
            await asyncio.to_thread(self.wait_for_backoff)
            return await attempt()

        async def sleep(seconds: float) -> None:
            await asyncio.to_thread(self._sleep, seconds)

        result: T = await AsyncRetrying(sleep=sleep, **self._policy())(one_attempt)
        return result

    def _policy(self) -> dict[str, Any]:
        return {
            "retry": retry_if_exception(_worth_repeating),
            "wait": self._wait_after,
            "stop": stop_after_attempt(self._attempts),
            "reraise": True,
        }

    def _one_attempt[T](self, attempt: Callable[[], T]) -> T:
        self.wait_for_backoff()
        return attempt()

    def wait_for_backoff(self) -> None:
        """Wait until the pause that another thread was asked to keep is over."""
        while (left := self._backoff_until - self.stop.clock()) > 0:
            self._sleep(left + random.uniform(0, 0.2))  # noqa: S311 - spreads the threads, guards nothing

    def _wait_after(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, ServerUnavailable) else None
        seconds = self._exponential(state) if asked is None else min(asked, LONGEST_PAUSE)
        with self._lock:
            self._backoff_until = max(self._backoff_until, self.stop.clock() + seconds)
        return seconds

    def _sleep(self, seconds: float) -> None:
        if self.stop.pause(seconds):
            raise Cancelled


_process_policy = RetryPolicy(StopToken())


def adopt(retry: RetryPolicy) -> None:
    """Make this the retry policy of the process, once, before its first request."""
    global _process_policy
    _process_policy = retry


def of_process() -> RetryPolicy:
    """The one retry policy that all clients of this process keep."""
    return _process_policy
