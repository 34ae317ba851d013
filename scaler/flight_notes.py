"""Notes of which images are being processed, so that an image that kills the process is not retried forever.

Each process has its own file, which it keeps locked: an unlocked file was left by a killed process, and each image in
it counts one death (`SkipList.count_death`). Up to ten images are in flight at once, most of them harmless, so
suspects are retried one at a time, after all others: only the image at fault collects further deaths, and an image
that has been processed is cleared.
"""

import contextlib
import fcntl
import json
import os
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from loguru import logger
from pydantic import TypeAdapter

from scaler.names import place_hash
from scaler.selection import Version, version
from scaler.skip_list import SkipList
from shared.webdav.store import Entry

_NOTE = TypeAdapter(tuple[bool, str, Version])
"""One line: whether processing of the image begins or ends, its href and its version."""
_LARGEST = 2**16


class FlightNotes:
    """The images of one raw folder that this process is decoding; any thread may use it.

    Args:
        folder: for such files; created when first needed.
        place: server, account and address of the raw folder.
        owner: of this process, from `names.new_owner`.
        skip_list: counts the deaths.
    """

    def __init__(self, folder: Path, place: str, owner: str, skip_list: SkipList) -> None:
        self._folder = folder
        self._prefix = f"in-flight-{place_hash(place)}-"
        self._file = folder / (self._prefix + owner)
        self._skip_list = skip_list
        self._lock = threading.Lock()
        self._active: dict[str, Entry] = {}
        self._descriptor: int | None = None
        self._disabled = False

    @contextlib.contextmanager
    def working_on(self, entry: Entry) -> Iterator[None]:
        """Note an image while it is decoded."""
        self._note(entry, begins=True)
        try:
            yield
        finally:
            self._note(entry, begins=False)

    def collect(self) -> None:
        """Count the deaths of killed processes; the notes of living processes stay."""
        for file in sorted(self._folder.glob(self._prefix + "*")):
            if file != self._file:
                # If the folder cannot be read or locked, work continues without the notes.
                with contextlib.suppress(OSError):
                    self._collect(file)

    def survived(self, entry: Entry) -> None:
        """Clear an image that has been processed: it did not kill the other processes."""
        self._skip_list.survived(entry)

    def close(self) -> None:
        """Remove the notes: this process was asked to stop, so if it is killed now, no image is to blame."""
        with self._lock:
            self._disabled = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
                with contextlib.suppress(OSError):
                    self._file.unlink(missing_ok=True)

    def _collect(self, file: Path) -> None:
        with file.open("r+b") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            left = _read(opened.read())
            for href, seen in left.items():
                self._skip_list.count_death(href, seen)
            # Saved before the file is removed: a death counted twice is better than one not counted.
            self._skip_list.save()
            file.unlink(missing_ok=True)
        if left:
            names = ", ".join(urllib.parse.unquote(href.rpartition("/")[2]) for href in left)
            logger.warning("A scaler was killed while it was processing {}; retrying these one at a time", names)

    def _note(self, entry: Entry, *, begins: bool) -> None:
        with self._lock:
            if begins:
                self._active[entry.href] = entry
            else:
                self._active.pop(entry.href, None)
            if self._disabled:
                return
            try:
                self._write(entry, begins=begins)
            except OSError as error:
                logger.debug("{} cannot be written ({}); continuing without it", self._file, error.strerror)
                self._disabled = True

    def _write(self, entry: Entry, *, begins: bool) -> None:
        if self._descriptor is None:
            self._descriptor = self._opened()
        line = _line(entry, begins=begins)
        if not self._active or os.fstat(self._descriptor).st_size > _LARGEST:
            os.ftruncate(self._descriptor, 0)
            line = b"".join(_line(active, begins=True) for active in self._active.values())
        os.write(self._descriptor, line)

    def _opened(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            descriptor = os.open(self._file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            # Some network file systems have no locks; other processes then take us for dead and count false deaths.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Another process may have collected it before it was locked.
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)


def _line(entry: Entry, *, begins: bool) -> bytes:
    return json.dumps([begins, entry.href, version(entry)]).encode() + b"\n"


def _read(content: bytes) -> dict[str, Version]:
    """The versions of the images that were in flight, by href."""
    left: dict[str, Version] = {}
    for line in content.splitlines():
        # The last one may be half a line.
        with contextlib.suppress(ValueError):
            begins, href, seen = _NOTE.validate_json(line)
            if begins:
                left[href] = seen
            else:
                left.pop(href, None)
    return left
