"""A log file that may be moved or deleted, or be on a full disk, while a daemon writes to it."""

import contextlib
import os
import re
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

ROTATED_AT = 10_000_000
KEPT = 5


class LogFile:
    """Appends lines to a file, which is opened for each of them, so the daemon never holds on to one that was moved.

    At ROTATED_AT bytes the file is renamed (`scaler.log` to `scaler.2026-01-31_23-59-59_000000.log`) and a new one is
    begun; KEPT old ones are kept.

    Args:
        complain: called once while lines cannot be written.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        self._path = path.absolute()
        self._complain = complain
        self._failing = False
        # Whether the last line is incomplete.
        self._torn = False
        self._append(b"")

    def write(self, line: str) -> None:
        """Append a line, or drop it if that is impossible."""
        data = line.encode(errors="backslashreplace")
        try:
            with contextlib.suppress(OSError):
                self._rotate(len(data))
            self._append(data)
        except OSError as error:
            if not self._failing:
                self._complain(
                    f"{self._path} cannot be written ({error.strerror}). Lines are missing from it until then."
                )
            self._failing = True
        else:
            self._failing = False

    def _append(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Not blocking: a named pipe without a reader must not stop the daemon.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        file = os.open(self._path, flags, 0o666)
        try:
            data = b"\n" + data if self._torn else data
            while data:
                data = data[os.write(file, data) :]
                self._torn = bool(data)
        finally:
            os.close(file)

    def _rotate(self, more: int) -> None:
        status = self._path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size + more <= ROTATED_AT:
            return
        stem, suffix = self._path.stem, self._path.suffix
        self._path.rename(self._path.with_name(f"{stem}.{datetime.now():%Y-%m-%d_%H-%M-%S_%f}{suffix}"))
        rotated = re.compile(rf"{re.escape(stem)}\.\d{{4}}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{{6}}{re.escape(suffix)}")
        old = sorted(file for file in self._path.parent.iterdir() if rotated.fullmatch(file.name))
        for file in old[:-KEPT]:
            file.unlink()
