"""Retries with growing, jittered pauses that all threads of a process share."""

import random
import threading
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from shared.errors import Cancelled, ErrorPolicy, Failure, Locked, ServerUnavailable, Unauthorized
from shared.shutdown import StopToken

ATTEMPTS = 5
LONGEST_PAUSE = 60.0
# Seconds. Nextcloud shuts out an address after 11 wrong passwords, and ten threads may still have work with this one.
PAUSE_AFTER_UNAUTHORIZED = 60.0


class RequestObserver:
    """Takes note of requests, logins and images in flight; this one does not."""

    def answered(self, method: str, status: int) -> None:
        """A request was answered."""

    def repeated(self) -> None:
        """A request will be sent again."""

    def in_flight(self, images: int) -> None:
        """So many more images are being processed, or fewer if it is negative."""

    def token_expires(self, timestamp: float | None) -> None:
        """When the Vault token expires, in seconds since 1970; None if it does not."""


class RetryPolicy:
    """Repeats a failed request after a pause, during which no other thread sends one.

    Args:
        stop: ends every pause at once.
        attempts: how often one request is sent at most.
        observer: is called for every answer and every repetition.
    """

    def __init__(self, stop: StopToken, attempts: int = ATTEMPTS, observer: RequestObserver | None = None) -> None:
        self.stop = stop
        self.observer = observer or RequestObserver()
        self._attempts = attempts
        self._exponential = wait_exponential(multiplier=0.5, max=LONGEST_PAUSE) + wait_random(0, 0.5)
        self._backoff_until = 0.0
        self._unauthorized: tuple[Unauthorized, float] | None = None
        self._lock = threading.Lock()

    def for_new_account(self) -> "RetryPolicy":
        """The same policy without the rejected password and the pauses of another account."""
        return RetryPolicy(self.stop, self._attempts, self.observer)

    def __call__[T](self, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it succeeds; it must be safe to repeat.

        Raises:
            Failure: of the last attempt, or the first whose policy is not RETRY.
            Cancelled: the daemon was asked to stop during a pause; without a pause, work continues.
        """
        retrying = Retrying(
            sleep=self._sleep,
            retry=retry_if_exception(_worth_repeating),
            wait=self._wait_after,
            stop=stop_after_attempt(self._attempts),
            before_sleep=lambda _: self.observer.repeated(),
            reraise=True,
        )
        result: T = retrying(self.once, attempt)
        return result

    def once[T](self, attempt: Callable[[], T]) -> T:
        """Call `attempt` once, after the pause that is in force for all threads.

        Raises:
            Failure: of the attempt; Unauthorized without an attempt if the password was rejected a moment ago.
            Cancelled: the daemon was asked to stop during the pause.
        """
        self._wait_for_backoff()
        if self._unauthorized and self.stop.clock() - self._unauthorized[1] < PAUSE_AFTER_UNAUTHORIZED:
            raise self._unauthorized[0]
        try:
            return attempt()
        except Unauthorized as error:
            self._unauthorized = error, self.stop.clock()
            raise

    def _wait_for_backoff(self) -> None:
        while (left := self._backoff_until - self.stop.clock()) > 0:
            self._sleep(left + random.uniform(0, 0.2))  # noqa: S311 - jitter

    def _wait_after(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, ServerUnavailable) else None
        seconds = self._exponential(state) if asked is None else min(asked, LONGEST_PAUSE)
        # One locked file must not delay the others.
        if not isinstance(error, Locked):
            with self._lock:
                self._backoff_until = max(self._backoff_until, self.stop.clock() + seconds)
        return seconds

    def _sleep(self, seconds: float) -> None:
        if self.stop.pause(seconds):
            raise Cancelled


def _worth_repeating(error: BaseException) -> bool:
    return isinstance(error, Failure) and error.policy is ErrorPolicy.RETRY
