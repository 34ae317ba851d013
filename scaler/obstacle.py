"""Failures that will affect every image for a while: until they end, one image at a time is tried, ever less often."""

from collections.abc import Sequence

from scaler.moves import MovesRejected
from shared.backoff import Backoff
from shared.errors import Failure, StorageFull

OBSTACLES = (StorageFull, MovesRejected)


class Obstacle:
    """The obstacle for every image, if there is one.

    Attributes:
        failure: how it showed; None if there is no obstacle.
    """

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self._backoff = Backoff()

    def note(self, failures: Sequence[Failure], now: float) -> None:
        """Remember a failure that would affect every other image too.

        Args:
            failures: of a poll in which images were taken; empty if all went well.
            now: seconds, monotonic.
        """
        found = next((failure for failure in failures if isinstance(failure, OBSTACLES)), None)
        if found:
            self._backoff.fail(now)
        elif not failures:
            self._backoff = Backoff()
        if found or not failures:
            self.failure = found

    def may_be_gone(self, now: float) -> bool:
        """Whether it is time to try one image."""
        return self._backoff.is_over(now)
