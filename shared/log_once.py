"""Log lines that are written once while their reason lasts."""

import threading

from loguru import logger


class LogOnce:
    """Remembers the lines of this poll and the last; any thread may use it."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        self._now: set[str] = set()
        self._lock = threading.Lock()

    def is_new(self, line: str) -> bool:
        """Whether a line is new in this poll and the last; it counts as logged from now on."""
        with self._lock:
            new = line not in self._before | self._now
            self._now.add(line)
        return new

    def log(self, level: str, line: str) -> None:
        """Log a line, unless it was logged in this poll or the last."""
        if self.is_new(line):
            logger.log(level, "{}", line)

    def next_poll(self) -> None:
        """Forget the lines that were not repeated in this poll."""
        self._before, self._now = self._now, set()
