"""PNG files (W3C Portable Network Graphics, third edition): their chunks, checksums and header."""

import struct
import zlib
from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 3, GREY_ALPHA: 2, RGB_ALPHA: 4}
_DEPTHS = {GREY: {1, 2, 4, 8, 16}, RGB: {8, 16}, PALETTE: {1, 2, 4, 8}, GREY_ALPHA: {8, 16}, RGB_ALPHA: {8, 16}}

_MANY_CHUNKS, _SMALL_CHUNK = 10_000, 4096
"""Each chunk takes memory, however small it is; there may be more in a large file."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk, without length and checksum."""

    kind: bytes
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Png:
    """A PNG file taken apart."""

    width: int
    height: int
    depth: int
    colour: int
    chunks: tuple[Chunk, ...]
    """All but IHDR and IEND, in their order."""
    end: int
    """Offset behind IEND."""

    def first(self, kind: bytes) -> memoryview | None:
        """Payload of the first chunk of this kind."""
        return next((chunk.payload for chunk in self.chunks if chunk.kind == kind), None)


def read(data: bytes | memoryview) -> Png:
    """Take a PNG file apart without decoding it; its checksums are checked.

    Raises:
        UnsupportedImage: it is cut off or damaged.
    """
    found, end = _chunks(memoryview(data))
    start = found[0].payload
    if found[0].kind == b"CgBI":
        raise UnsupportedImage("it is a PNG of Apple's own kind (CgBI), which other programs do not read")
    if found[0].kind != b"IHDR" or len(start) != 13 or start[8] not in _DEPTHS.get(start[9], ()):
        raise UnsupportedImage("the PNG's header is damaged")
    width, height = int.from_bytes(start[:4]), int.from_bytes(start[4:8])
    return Png(width, height, start[8], start[9], tuple(found[1:-1]), end)


def _chunks(view: memoryview) -> tuple[list[Chunk], int]:
    found, position = [], len(SIGNATURE)
    while position + 12 <= len(view):
        end = position + 12 + int.from_bytes(view[position : position + 4])
        if end > len(view):
            break
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise UnsupportedImage("the PNG is damaged: a checksum is wrong")
        found.append(Chunk(bytes(view[position + 4 : position + 8]), view[position + 8 : end - 4]))
        if len(found) > _MANY_CHUNKS + len(view) // _SMALL_CHUNK:
            raise UnsupportedImage(f"it is a PNG of more than {_MANY_CHUNKS} chunks, most of them very small")
        if found[-1].kind == b"IEND":
            return found, end
        position = end
    raise UnsupportedImage("the PNG is cut off")


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        UnsupportedImage: cut off or damaged.
    """
    png = read(data)
    channels = CHANNELS[png.colour]
    if channels == 2 or png.first(b"tRNS") is not None:
        channels = 4  # as OpenCV decodes them
    control = png.first(b"acTL")
    frames = 1
    if control is not None:
        parts = [chunk.payload for chunk in png.chunks if chunk.kind == b"fcTL"]
        frames = len(parts)
        for part in parts:
            width, height, left, top = struct.unpack_from(">4L", part.tobytes().ljust(20, b"\xff"), 4)
            if left + width > png.width or top + height > png.height:
                raise UnsupportedImage("it is an animated PNG with a frame outside of its canvas")
        if frames != int.from_bytes(control[:4]) or not frames:
            raise UnsupportedImage("the animated PNG is damaged: its frames are not as many as it says")
    everyday = png.depth == 8 and control is None and (png.first(b"tRNS") is None or png.colour == PALETTE)
    bits, animated = max(png.depth, 8), control is not None
    return Header("PNG", png.width, png.height, channels, bits, frames, animated, everyday=everyday)
