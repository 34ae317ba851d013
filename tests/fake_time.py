"""Time that passes only where somebody waits."""

import threading
import time

from shared.shutdown import StopToken


class FakeTime:
    """A clock, and a wait that moves it instead of waiting; safe for threads.

    Attributes:
        waited: every wait so far, seconds.
    """

    def __init__(self, now: float | None = None) -> None:
        self.now = time.monotonic() if now is None else now
        self.waited: list[float] = []
        self._lock = threading.Lock()

    def clock(self) -> float:
        """Seconds, monotonic."""
        return self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """As threading.Event.wait, at once."""
        with self._lock:
            self.now += seconds
            self.waited.append(seconds)
        return event.is_set()

    def stop(self) -> StopToken:
        """A stop token that lives in this time."""
        return StopToken(clock=self.clock, wait=self.wait)
