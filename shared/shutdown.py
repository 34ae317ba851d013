"""Being asked to stop: signals set a flag, and a deadline stands behind it."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from shared.errors import Cancelled

# One Ctrl-C can arrive twice: from the terminal to the whole group, and once more from a parent that forwards it.
SECOND_SIGNAL_AFTER = 1.0
DEADLINE = 9.0


class StopToken:
    """The wish to stop, shared by all threads of a daemon.

    Args:
        clock: seconds, monotonic.
        wait: waits until the event is set or the seconds are over, True if it is set; a test passes its own time here.

    Attributes:
        at_hard_end: called before the process is ended without waiting for its threads.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self.clock = clock
        self.on_forced_exit: list[Callable[[], None]] = []
        self._wait = wait
        self._event = threading.Event()
        self._since: float | None = None

    @property
    def requested(self) -> bool:
        """Whether the daemon was asked to stop."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask to stop; asking again changes nothing."""
        if self._since is None:
            self._since = self.clock()
        self._event.set()

    def pause(self, seconds: float) -> bool:
        """Wait, but not longer than until somebody asks to stop; True if somebody did."""
        return self._wait(self._event, seconds) if seconds > 0 else self.requested

    def check(self) -> None:
        """Raise Stopped if the daemon was asked to stop."""
        if self.requested:
            raise Cancelled

    @property
    def time_left(self) -> float:
        """Seconds until work in flight is abandoned; DEADLINE while nobody has asked to stop."""
        return DEADLINE if self._since is None else max(0.0, DEADLINE - (self.clock() - self._since))


@contextlib.contextmanager
def stop_on_signals(stop: StopToken) -> Iterator[None]:
    """Let SIGTERM, SIGINT and SIGHUP (unless it was ignored, as under nohup) ask to stop.

    OpenCV cannot be interrupted, so past the deadline, or at a second SIGINT, the process is ended hard, after what
    `stop.at_hard_end` holds was called.
    """

    def end() -> None:
        for act in stop.on_forced_exit:
            act()
        os._exit(0)

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        if stop.requested:
            if signum == signal.SIGINT and DEADLINE - stop.time_left >= SECOND_SIGNAL_AFTER:
                end()
            return
        stop.request()
        watchdog.start()

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
            # The process ends: a signal that comes twice would kill it while the interpreter tidies up.
            signal.signal(number, signal.SIG_IGN if stop.requested else handler)
        watchdog.cancel()
