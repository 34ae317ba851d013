"""The history: JSON lines in the state folder, one file for each daemon, host and day.

Every line is appended by one write (O_APPEND), so several processes of a host may write, a reader may follow, and no
lock is needed, which NFS may lack. No file is ever renamed: the next day begins another, and so does a full one.
"""

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import override

from shared.events.event import Event, Kind
from shared.files import size_of

KEPT_SECONDS = 90 * 86_400.0
KEPT_BYTES = 64 * 2**20
LARGEST_FILE = 4 * 2**20


class History:
    """Appends events; bounded by age and size.

    Args:
        folder: created when first needed, for its owner alone.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, daemon: str, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        host = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
        self._writer = f"{daemon}-{host}"
        self._clock = clock
        self._file: Path | None = None
        # Bytes until the file is full, as far as this process knows.
        self._left = 0
        self._torn = False

    @override
    def __str__(self) -> str:
        return f"The history in {self._folder}"

    def add(self, event: Event) -> None:
        """Append one line, unless it is about a poll.

        Raises:
            OSError: it could not be written, at least not whole.
            ValueError: it holds what JSON cannot.
        """
        if event.kind is Kind.POLLED:
            return
        data = event.model_dump_json(exclude_defaults=True).encode() + b"\n"
        if self._torn:
            data = b"\n" + data
        descriptor = os.open(self._current(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            written = os.write(descriptor, data)
        finally:
            os.close(descriptor)
        self._left -= written
        self._torn = written < len(data)
        if self._torn:
            raise OSError(f"only {written} of {len(data)} bytes were written")

    def _current(self) -> Path:
        """The file to append to; whenever that is a new one, old ones are removed."""
        day = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y%m%d")
        if self._file is not None and self._file.name.startswith(day) and self._left > 0:
            return self._file
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._prune()
        number = 1
        while (size := size_of(file := self._folder / f"{day}-{self._writer}-{number:03}.jsonl")) >= LARGEST_FILE:
            number += 1
        self._file, self._left, self._torn = file, LARGEST_FILE - size, False
        return file

    def _prune(self) -> None:
        left = KEPT_BYTES
        for file in reversed(files(self._folder)):
            left -= size_of(file)
            if left < 0 or self._clock() - _modified(file) > KEPT_SECONDS:
                file.unlink(missing_ok=True)


def files(folder: Path) -> list[Path]:
    """The files of the history, those of earlier days first."""
    try:
        return sorted(file for file in folder.iterdir() if file.suffix == ".jsonl")
    except OSError:
        return []


def read(folder: Path, since: float = 0.0) -> Iterator[Event]:
    """Yield the events since a time, file by file; anything that is not an event, such as half a line, is skipped.

    Args:
        since: seconds since 1970.
    """
    for file in files(folder):
        if _modified(file) < since:
            continue
        try:
            lines = file.read_bytes().split(b"\n")
        except OSError:
            continue
        for line in lines:
            event = _event(line)
            if event is not None and event.time.timestamp() >= since:
                yield event


def _event(line: bytes) -> Event | None:
    try:
        return Event.model_validate_json(line) if line else None
    except ValueError:
        return None


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
