"""Decides when a failed thing is tried again: in the next poll, then after a delay that doubles up to an hour."""

SHORTEST = 60.0
LONGEST = 3600.0


class Backoff:
    """The retry delay of one thing, in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._delay: float | None = None
        self._until = 0.0

    def fail(self, now: float, first: float = 0.0) -> None:
        """Record a failure: wait `first` seconds, then twice as long each time."""
        self._delay = first if self._delay is None else min(max(2 * self._delay, SHORTEST), LONGEST)
        self._until = now + self._delay

    def is_over(self, now: float) -> bool:
        """Whether it may be tried again."""
        return now >= self._until
