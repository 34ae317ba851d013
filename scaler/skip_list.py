"""Images that cannot be upscaled; they are not downloaded again until they change."""

import hashlib
import json
import threading
from collections.abc import Iterable
from pathlib import Path

from loguru import logger

from scaler.selection import version
from shared.webdav.store import Entry


class SkipList:
    """The skipped images of one raw folder, by href and version, kept in a file across restarts.

    Args:
        folder: for such files; created when first needed.
        place: the address of the raw folder.
    """

    def __init__(self, folder: Path, place: str) -> None:
        self._file = folder / f"skipped-{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"
        self._lock = threading.Lock()
        self._known: dict[str, list[object]] = {}
        self._for_now: dict[str, list[object]] = {}
        self._changed = False
        try:
            known = json.loads(self._file.read_text())
            self._known = {str(href): list(seen) for href, seen in known.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError, TypeError) as error:
            logger.warning("{} cannot be read ({}); skipped images are tried again", self._file, error)

    def __len__(self) -> int:
        return len(self._known.keys() | self._for_now.keys())

    def __contains__(self, entry: Entry) -> bool:
        return list(version(entry)) in (self._known.get(entry.href), self._for_now.get(entry.href))

    def add(self, entry: Entry, *, lasting: bool) -> None:
        """Skip this version of an image from now on.

        Args:
            lasting: across restarts too; False if a right, an option or an internal error is the reason, which may
                have been fixed meanwhile.
        """
        with self._lock:
            (self._known if lasting else self._for_now)[entry.href] = list(version(entry))
            self._changed |= lasting

    def keep_only(self, entries: Iterable[Entry]) -> None:
        """Forget images that no longer exist."""
        there = {entry.href for entry in entries}
        with self._lock:
            for href in self._for_now.keys() - there:
                del self._for_now[href]
            for href in self._known.keys() - there:
                del self._known[href]
                self._changed = True

    def save(self) -> None:
        """Write the file, if anything changed."""
        with self._lock:
            if self._changed:
                self._write()
                self._changed = False

    def _write(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(self._known))
            fresh.replace(self._file)
        except OSError as error:
            logger.warning(
                "{} cannot be written ({}); skipped images are tried again after a restart", self._file, error
            )
