"""The folder of thumbnails: a few hundred JPEG files, one after another in packs, readable by their owner alone.

A file for each would cost more than the thumbnail, above all on NFS. Every process appends to packs of its own.
"""

import errno
import os
import re
import secrets
import time
from pathlib import Path
from typing import override

from shared.files import size_of

# Bytes; a thumbnail has some five thousand.
KEPT = 2 * 2**20
_LARGEST_PACK = KEPT // 8
_PACK = re.compile(r"[0-9a-f]{32}\.pack")
_NAME = re.compile(r"([0-9a-f]{32})-([0-9]{1,7})-([0-9]{1,7})\.jpg")


class Thumbnails:
    """Stores thumbnails.

    Args:
        folder: created when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pack: Path | None = None
        self._size = 0

    @override
    def __str__(self) -> str:
        return f"The folder of thumbnails {self._folder}"

    def add(self, jpeg: bytes) -> str:
        """Store a thumbnail and return its name, for `read_thumbnail`.

        Raises:
            OSError: it could not be written.
        """
        # If this one cannot be written whole, or somebody has removed the folder, the next begins another.
        pack, self._pack = self._pack or self._begin(), None
        descriptor = os.open(pack, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            written = os.write(descriptor, jpeg)
        finally:
            os.close(descriptor)
        if written < len(jpeg):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        start, self._size = self._size, self._size + written
        if self._size < _LARGEST_PACK:
            self._pack = pack
        return f"{pack.stem}-{start}-{written}.jpg"

    def _begin(self) -> Path:
        """Create an empty pack, and remove the oldest ones."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        left = KEPT - _LARGEST_PACK
        for pack in sorted(filter(_is_pack, self._folder.iterdir()), reverse=True):
            left -= size_of(pack)
            if left < 0:
                pack.unlink(missing_ok=True)
        # The latest has the largest name.
        pack = self._folder / f"{time.time_ns():016x}{secrets.token_hex(8)}.pack"
        pack.touch(0o600, exist_ok=False)
        self._size = 0
        return pack


def _is_pack(file: Path) -> bool:
    return _PACK.fullmatch(file.name) is not None


def read_thumbnail(folder: Path, name: str) -> bytes | None:
    """A thumbnail, as JPEG; None if the name is not that of one that is still there."""
    if not (parts := _NAME.fullmatch(name)):
        return None
    start, length = int(parts[2]), int(parts[3])
    try:
        with (folder / f"{parts[1]}.pack").open("rb") as pack:
            pack.seek(start)
            jpeg = pack.read(length)
    except OSError:
        return None
    return jpeg if len(jpeg) == length else None
