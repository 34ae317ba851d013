"""When what has failed is tried again: in the next poll, then after a delay that doubles up to an hour."""

from collections.abc import Iterable
from dataclasses import dataclass

from scaler.selection import Version, version
from shared.errors import ErrorPolicy, Failure, ParentNotFound
from shared.webdav.store import Entry

SHORTEST = 60.0
LONGEST = 3600.0


def is_passing(error: Failure) -> bool:
    """Whether the same request may succeed soon.

    The server has trouble, or somebody is editing the file, or recovery makes a hidden folder again.
    """
    return error.policy is ErrorPolicy.RETRY or isinstance(error, ParentNotFound)


class Backoff:
    """The delay of one thing; seconds, of a monotonic clock."""

    def __init__(self) -> None:
        self._delay: float | None = None
        self._until = 0.0

    def fail(self, now: float, first: float = 0.0) -> None:
        """It failed: wait as long as `first`, later twice as long as before."""
        self._delay = first if self._delay is None else min(max(2 * self._delay, SHORTEST), LONGEST)
        self._until = now + self._delay

    def is_over(self, now: float) -> bool:
        """Whether it may be tried again."""
        return now >= self._until


@dataclass(slots=True)
class _Failed:
    version: Version
    backoff: Backoff
    message: str = ""


class ImageBackoff:
    """The images that could not be processed, each with a delay; any thread may use it.

    A changed image is tried at once. In this process only, since a restart is often what mends things.
    """

    def __init__(self) -> None:
        self._failed: dict[str, _Failed] = {}

    def fail(self, entry: Entry, error: Failure, now: float) -> bool:
        """An image could not be processed; whether this is news, so that it should be logged.

        What was rejected for good waits an hour at once: to try it again costs a download and an upload.
        """
        known = self._failed.get(entry.href)
        if known is None or known.version != version(entry):
            known = self._failed[entry.href] = _Failed(version(entry), Backoff())
        known.backoff.fail(now, 0.0 if is_passing(error) else LONGEST)
        news = known.message != str(error)
        known.message = str(error)
        return news

    def due(self, entries: Iterable[Entry], now: float) -> tuple[Entry, ...]:
        """Those that may be tried."""
        return tuple(entry for entry in entries if self._is_due(entry, now))

    def _is_due(self, entry: Entry, now: float) -> bool:
        known = self._failed.get(entry.href)
        return known is None or known.version != version(entry) or known.backoff.is_over(now)

    def keep_only(self, entries: Iterable[Entry]) -> None:
        """Forget images that no longer exist."""
        there = {entry.href for entry in entries}
        for href in self._failed.keys() - there:
            del self._failed[href]
