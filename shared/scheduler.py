"""When the next poll is due, and what follows from a failed one; for both daemons."""

import contextlib
import random
from collections.abc import Hashable, Iterator, Sequence

from loguru import logger

from shared.errors import Cancelled, ErrorPolicy, Failure, NotFound, NotWebDav, ServerUnreachable, VaultUnavailable
from shared.events.event import Event, Kind
from shared.events.recorder import Recorder
from shared.shutdown import StopToken
from shared.systemd import notify

LONGEST_BACKOFF = 300.0
# Seconds. Nextcloud shuts out an address after 11 wrong passwords within 30 minutes, and ten threads may have sent one.
AFTER_UNAUTHORIZED = 1860.0


class PollLoop:
    """The polls of a daemon: one after another, and less often while they fail.

    Args:
        stop: ends the polls.
        frequency: seconds from the start of one poll to the start of the next.
        once: poll once.
        recorder: records failed polls; by default they are only logged.
    """

    def __init__(self, stop: StopToken, frequency: float, *, once: bool, recorder: Recorder | None = None) -> None:
        self._stop = stop
        self._frequency = frequency
        self._once = once
        self._recorder = recorder or Recorder("daemon")
        self._failed_in_a_row = 0
        self._succeeded = False
        self._said = ""
        self._account: Hashable = None
        self._unauthorized: Hashable = object()
        self._ask_again_at = 0.0
        self.exit_status = 0

    def polls(self) -> Iterator[None]:
        """One value for each poll that is due."""
        while not self._stop.requested:
            started = self._stop.clock()
            yield
            if self._once:
                return
            pause = self._frequency
            if self._failed_in_a_row:
                growing = self._frequency * 2.0 ** min(self._failed_in_a_row - 1, 10)
                pause = max(pause, min(growing, LONGEST_BACKOFF) * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            self._stop.pause(started + pause - self._stop.clock())

    @contextlib.contextmanager
    def poll(self) -> Iterator[None]:
        """Log a failed poll once, even if the reason is unexpected, and keep the daemon running.

        Raises:
            Failure: the user has to act, because its policy is FATAL or because no poll has succeeded yet.
        """
        try:
            yield
        except Cancelled:
            pass
        except Failure as failure:
            if failure.policy is ErrorPolicy.FATAL or (not self._succeeded and _hopeless(failure)):
                raise
            self._note(failure)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next poll may succeed
            self._note(error)
        else:
            if self._account == self._unauthorized and self._stop.clock() < self._ask_again_at:
                self._recorder.record(Event(kind=Kind.POLLED, reason=self._said))
                return
            if self._said:
                logger.info("The images can be reached again")
            self._failed_in_a_row, self._said, self._succeeded = 0, "", True

    def record(self, failures: Sequence[Failure]) -> None:
        """Take note of the failures in a poll; all were logged already, except the one that ended the poll.

        Raises:
            Failure: the one that ended the poll.
        """
        for failure in failures:
            if ends_poll(failure):
                raise failure
        if failures and self._once:
            self.exit_status = 1

    def auth_allowed(self, account: Hashable) -> bool:
        """Whether requests may be sent: not with a password that the server has just rejected."""
        if self._account is None:
            # The settings were read, so the daemon has started.
            notify("READY=1")
        self._account = account
        return self._unauthorized != account or self._stop.clock() >= self._ask_again_at

    def _note(self, error: Exception) -> None:
        """Log a failure, once while it lasts; `--once` then exits with 1."""
        self._failed_in_a_row += 1
        if self._once:
            self.exit_status = 1
        failure = error if isinstance(error, Failure) else _internal(error)
        if failure.policy is ErrorPolicy.AUTH:
            self._unauthorized, self._ask_again_at = self._account, self._stop.clock() + AFTER_UNAUTHORIZED
        if str(failure) != self._said:
            if failure is not error:
                logger.exception("{}", failure)
            self._recorder.failed(failure, level="" if failure is error else "DEBUG")
            self._said = str(failure)
        self._recorder.record(Event(kind=Kind.POLLED, reason=failure.message))


def _internal(error: Exception) -> Failure:
    return Failure(
        f"Internal error ({type(error).__name__}: {error})",
        "Please report it. No image was lost; the next poll recovers.",
    )


def ends_poll(failure: Failure) -> bool:
    """Whether the other images of the poll would fail in the same way."""
    return failure.policy not in (ErrorPolicy.SKIP, ErrorPolicy.RETRY) or isinstance(failure, ServerUnreachable)


def _hopeless(failure: Failure) -> bool:
    return failure.policy is ErrorPolicy.AUTH or isinstance(failure, NotFound | NotWebDav | VaultUnavailable)
