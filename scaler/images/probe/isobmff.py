"""Files made of boxes (ISO/IEC 14496-12): JPEG 2000, AVIF and their relatives."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from scaler.images.probe.header import UnsupportedImage

_MOST_BOXES = 10_000


@dataclass(frozen=True, slots=True)
class Box:
    """One box, without length and type."""

    kind: bytes
    payload: memoryview

    @property
    def children(self) -> list["Box"]:
        """The boxes in it."""
        return list(read_boxes(self.payload))


def read_boxes(view: memoryview) -> Iterator[Box]:
    """Yield the boxes in a stretch of bytes.

    Raises:
        UnsupportedImage: cut off.
    """
    position, count = 0, 0
    while position < len(view):
        count += 1
        if count > _MOST_BOXES:
            raise UnsupportedImage(f"its file is made of more than {_MOST_BOXES} boxes")
        if position + 8 > len(view):
            raise UnsupportedImage("the file is cut off, or something else follows it")
        size, kind = struct.unpack_from(">L4s", view, position)
        start = position + 8
        if size == 1 and start + 8 <= len(view):
            (size,) = struct.unpack_from(">Q", view, start)
            start += 8
        end = len(view) if size == 0 else position + size
        if not start <= end <= len(view):
            raise UnsupportedImage("the file is cut off, or something else follows it")
        yield Box(kind, view[start:end])
        position = end


def make_box(kind: bytes, *payload: bytes | memoryview) -> bytes:
    """One box."""
    body = b"".join(payload)
    return struct.pack(">L4s", 8 + len(body), kind) + body
