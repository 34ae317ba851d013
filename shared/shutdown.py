"""Stopping: signals set a flag, and a deadline enforces it."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from shared.errors import Cancelled

# Seconds. One Ctrl-C can arrive twice: from the terminal, and from a parent process that forwards it.
SECOND_SIGNAL_AFTER = 1.0
DEADLINE = 9.0


class StopToken:
    """Tells all threads of a daemon to stop.

    Args:
        clock: seconds, monotonic.
        wait: waits until the event is set (True) or the seconds are over (False); tests inject their own.

    Attributes:
        on_request: called when the daemon is asked to stop, within the signal handler.
        on_forced_exit: called before the process exits without waiting for its threads.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self.clock = clock
        self.on_request: list[Callable[[], None]] = []
        self.on_forced_exit: list[Callable[[], None]] = []
        self._wait = wait
        self._event = threading.Event()
        self._since: float | None = None

    @property
    def requested(self) -> bool:
        """Whether the daemon was asked to stop."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask the daemon to stop; a second call has no effect."""
        if self._since is None:
            self._since = self.clock()
            for act in self.on_request:
                act()
        self._event.set()

    def pause(self, seconds: float) -> bool:
        """Wait until the seconds are over (False) or the daemon is asked to stop (True)."""
        return self._wait(self._event, seconds) if seconds > 0 else self.requested

    def check(self) -> None:
        """Raise Cancelled if the daemon was asked to stop."""
        if self.requested:
            raise Cancelled

    @property
    def time_left(self) -> float:
        """Seconds until work in flight is abandoned; DEADLINE before `request`."""
        return DEADLINE if self._since is None else max(0.0, DEADLINE - (self.clock() - self._since))


def _take(items: list[bool]) -> bool:
    try:
        return items.pop()
    except IndexError:
        return False


@contextlib.contextmanager
def stop_on_signals(stop: StopToken) -> Iterator[None]:
    """Let SIGTERM, SIGINT and SIGHUP (unless it was ignored, as under nohup) request a stop.

    OpenCV cannot be interrupted, so after the deadline or at a second SIGINT the process exits at once, after calling
    `stop.on_forced_exit`.
    """

    def end() -> None:
        try:
            for act in stop.on_forced_exit:
                act()
        finally:
            os._exit(0)

    # Taken by the first signal: a second one may interrupt its handler anywhere, and taking is atomic.
    first = [True]

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        if stop.requested or not _take(first):
            if signum == signal.SIGINT and DEADLINE - stop.time_left >= SECOND_SIGNAL_AFTER:
                end()
            return
        # First, in case what is called now waits for what this thread holds.
        watchdog.start()
        stop.request()

    watchdog = threading.Timer(DEADLINE, end)
    watchdog.daemon = True
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            # A repeated signal would kill the process while the interpreter shuts down.
            signal.signal(number, signal.SIG_IGN if stop.requested else handler)
        watchdog.cancel()
