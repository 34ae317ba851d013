"""JPEG files: their segments, frame header and end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scaler.formats.header import Header, Unscalable

SOI, EOI, SOS, COM = 0xD8, 0xD9, 0xDA, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODABLE = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

type Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker segment; `payload` stands without marker and length."""

    marker: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Jpeg:
    """The segments in front of the first scan, and where the picture ends."""

    segments: tuple[Segment, ...]
    frame: Segment
    end: int
    """Offset behind EOI; what follows is not part of the picture itself."""

    @property
    def progressive(self) -> bool:
        """Coded in several passes over the whole picture."""
        return self.frame.marker in _PROGRESSIVE

    @property
    def factors(self) -> tuple[tuple[int, int], ...]:
        """Horizontal and vertical sampling factors of each component."""
        payload = self.frame.payload
        return tuple((payload[7 + 3 * i] >> 4, payload[7 + 3 * i] & 15) for i in range(payload[5]))


def read(data: Buffer) -> Jpeg:
    """Take a JPEG file apart without decoding it.

    Raises:
        Unscalable: it is cut off or damaged.
    """
    segments, frame, scanned, end = [], None, False, 0
    for position, marker, payload in _walk(data):
        if marker == EOI:
            end = position + 2
        elif marker == SOS:
            scanned = True
        elif not scanned:
            segments.append(Segment(marker, bytes(payload)))
            if marker in _FRAMES:
                frame = segments[-1]
    if frame is None or not scanned or not end:
        raise Unscalable("the JPEG is cut off or damaged")
    if len(frame.payload) < 6 or len(frame.payload) < 6 + 3 * frame.payload[5]:
        raise Unscalable("the JPEG's frame header is damaged")
    if not all(h and v for h, v in Jpeg((), frame, 0).factors):
        raise Unscalable("the JPEG's frame header is damaged")
    return Jpeg(tuple(segments), frame, end)


def _walk(data: Buffer) -> Iterator[tuple[int, int, Buffer]]:
    """Yield offset, code and payload of each marker up to EOI; stop early where the file is cut off or damaged."""
    position = 2
    while (match := _NEXT_MARKER.search(data, position)) is not None:
        position = match.start()
        marker = data[position + 1]
        if marker == EOI:
            yield position, marker, b""
            return
        if position + 4 > len(data):
            return
        length = int.from_bytes(data[position + 2 : position + 4])
        if length < 2 or position + 2 + length > len(data):
            return
        yield position, marker, data[position + 4 : position + 2 + length]
        position += 2 + length


def header(data: Buffer) -> Header:
    """Read the header.

    Raises:
        Unscalable: cut off, damaged, or coded in an unusual way.
    """
    jpeg = read(data)
    marker, payload = jpeg.frame.marker, jpeg.frame.payload
    bits, components = payload[0], payload[5]
    if marker not in _DECODABLE or bits != 8:
        raise Unscalable(f"it is a lossless, hierarchical or {bits}-bit JPEG, which is not decoded here")
    if components not in (1, 3, 4):
        raise Unscalable(f"it is a JPEG of {components} components")
    height, width = int.from_bytes(payload[1:3]), int.from_bytes(payload[3:5])
    (h, v), (ch, cv) = jpeg.factors[0], jpeg.factors[-1]
    return Header("JPEG", width, height, components, 8, progressive=jpeg.progressive, chroma=ch * cv / (h * v))
