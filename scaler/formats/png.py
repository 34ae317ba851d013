"""PNG files: their chunks, checksums and header."""

import zlib
from dataclasses import dataclass

from scaler.formats.header import Header, Unscalable, checked

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 1_000_000
"""Pixels a side: libpng's limit."""

_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk, without length and checksum."""

    kind: bytes
    payload: memoryview


def chunks(data: bytes | memoryview) -> tuple[Chunk, ...]:
    """Take a PNG file apart.

    Raises:
        Unscalable: it is cut off or a checksum is wrong.
    """
    view, found, position = memoryview(data), [], 8
    while position + 12 <= len(view):
        length = int.from_bytes(view[position : position + 4])
        body = view[position + 4 : position + 8 + length]
        checksum = view[position + 8 + length : position + 12 + length]
        if len(checksum) < 4:
            break
        if zlib.crc32(body) != int.from_bytes(checksum):
            raise Unscalable("the PNG is damaged: a checksum is wrong")
        found.append(Chunk(bytes(body[:4]), body[4:]))
        if found[-1].kind == b"IEND":
            return tuple(found)
        position += 12 + length
    raise Unscalable("the PNG is cut off")


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        Unscalable: cut off, damaged or too large.
    """
    found = chunks(data)
    if found[0].kind != b"IHDR" or len(found[0].payload) != 13:
        raise Unscalable("the PNG's header is damaged")
    ihdr = found[0].payload
    width, height = int.from_bytes(ihdr[:4]), int.from_bytes(ihdr[4:8])
    transparent = any(chunk.kind == b"tRNS" for chunk in found)
    channels = 4 if transparent else _CHANNELS.get(ihdr[9], 4)
    return checked(Header("PNG", width, height, channels, 16 if ihdr[8] == 16 else 8), LARGEST)
