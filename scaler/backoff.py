"""Decides when images that could not be processed are tried again."""

from collections.abc import Iterable
from dataclasses import dataclass

from scaler.selection import Version, version
from shared.backoff import LONGEST, Backoff
from shared.errors import ErrorPolicy, Failure, ParentNotFound
from shared.webdav.store import Entry


def is_passing(error: Failure) -> bool:
    """Whether the same request may succeed soon.

    The server is in trouble, a user is editing the file, or recovery creates a hidden folder again.
    """
    return error.policy is ErrorPolicy.RETRY or isinstance(error, ParentNotFound)


@dataclass(slots=True)
class _Failed:
    version: Version
    backoff: Backoff
    message: str = ""


class ImageBackoff:
    """The images that could not be processed, each with a delay; any thread may use it.

    A changed image is tried at once. Kept in memory only: a restart often fixes things.
    """

    def __init__(self) -> None:
        self._failed: dict[str, _Failed] = {}

    def fail(self, entry: Entry, error: Failure, now: float) -> bool:
        """Record a failed image; return whether the failure is new and should be logged.

        A rejected image waits an hour right away, because another try costs a download and an upload.
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
