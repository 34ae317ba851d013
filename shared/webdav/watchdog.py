"""A total time limit for requests: socket timeouts do not catch a response that trickles in."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

_IDLE = 600.0


class Watchdog:
    """Aborts requests that take too long; one thread serves all users and ends when idle."""

    def __init__(self) -> None:
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._changed = threading.Condition()
        # When the thread looks next; infinite if there is none.
        self._next = float("inf")

    @contextlib.contextmanager
    def limit(self, seconds: float, break_off: Callable[[], None]) -> Iterator[None]:
        """Call `break_off` in another thread if the block takes longer."""
        key, due = object(), time.monotonic() + seconds
        with self._changed:
            self._due[key] = due, break_off
            if self._next == float("inf"):
                self._next = due
                threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
            elif due < self._next:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._due.pop(key, None)

    def close(self) -> None:
        """End the thread if it is idle."""
        with self._changed:
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for key, (due, break_off) in list(self._due.items()):
                    if due <= now:
                        del self._due[key]
                        break_off()
                self._next = min((due for due, _ in self._due.values()), default=now + _IDLE)
                notified = self._changed.wait(self._next - now)
                if not self._due and (notified or time.monotonic() >= self._next):
                    self._next = float("inf")
                    return
