"""Logs once which images are left alone."""

from collections.abc import Sequence

from loguru import logger

from scaler.selection import Selection, unreadable_format
from scaler.skip_list import SkipList, summary
from shared.webdav.store import Entry


def skipped_in(selection: Selection, skip_list: SkipList) -> dict[str, str]:
    """Names and reasons of the images that are skipped."""
    unreadable = {entry.name: unreadable_format(entry.name) or "" for entry in selection.unreadable}
    return unreadable | {entry.name: skip_list.reason(entry) or "" for entry in selection.skipped}


class Notices:
    """Remembers what was logged.

    Attributes:
        skipped: names and reasons of the images that are skipped at present.
    """

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}
        self._named: set[str] | None = None
        self._locked: set[str] = set()
        self._complaint = ""

    def name_skipped(self) -> None:
        """Log which images are skipped: all of them once, then new ones whose format is not supported.

        The others are logged when they are tried.
        """
        first, named = self._named is None, self._named or set()
        new = {
            name: reason
            for name, reason in self.skipped.items()
            if name not in named and (first or unreadable_format(name))
        }
        if new:
            logger.info("{}", summary(new))
        self._named = named | set(new)

    def name_locked(self, entries: Sequence[Entry]) -> None:
        """Log which images wait because someone is editing them."""
        names = {entry.name for entry in entries}
        for name in sorted(names - self._locked):
            logger.info("{} waits: it is locked because someone is editing it", name)
        self._locked = names

    def complain(self, complaint: str) -> None:
        """Log what is wrong with a listing, if it is new."""
        if complaint and complaint != self._complaint:
            logger.warning("{}", complaint)
        self._complaint = complaint
