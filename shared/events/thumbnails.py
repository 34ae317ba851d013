"""The folder of thumbnails: a bounded number of small JPEG files, readable by their owner alone."""

import errno
import os
import re
import secrets
from pathlib import Path
from typing import override

KEPT = 300
# Scanning the folder costs more than writing a file.
_PRUNE_EVERY = 20
_NAME = re.compile(r"[0-9a-f]{32}\.jpg")


class Thumbnails:
    """Stores thumbnails.

    Args:
        folder: created when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._until_pruned = 0

    @override
    def __str__(self) -> str:
        return f"The folder of thumbnails {self._folder}"

    def add(self, jpeg: bytes) -> str:
        """Store a thumbnail and return the name of its file.

        Raises:
            OSError: it could not be written.
        """
        if self._until_pruned == 0:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._prune()
            self._until_pruned = _PRUNE_EVERY
        self._until_pruned -= 1
        name = f"{secrets.token_hex(16)}.jpg"
        file = self._folder / name
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            # Somebody has removed the folder.
            self._until_pruned = 0
            raise
        try:
            written = os.write(descriptor, jpeg)
        finally:
            os.close(descriptor)
        if written < len(jpeg):
            file.unlink(missing_ok=True)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return name

    def _prune(self) -> None:
        """Remove the oldest, so that at most KEPT remain when the next pruning is due."""
        found = sorted((_modified(file), file) for file in self._folder.iterdir() if _NAME.fullmatch(file.name))
        for _, file in found[: max(0, len(found) - KEPT + _PRUNE_EVERY)]:
            file.unlink(missing_ok=True)


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # removed by another scaler
        return 0.0


def thumbnail_file(folder: Path, name: str) -> Path | None:
    """The file of a thumbnail, if the name is one and the file exists."""
    file = folder / name
    return file if _NAME.fullmatch(name) and file.is_file() else None
