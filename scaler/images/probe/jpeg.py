"""JPEG files (ITU-T T.81, Annex B): their segments, frame header and end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage

SOI, EOI, SOS, APP14, COM = 0xD8, 0xD9, 0xDA, 0xEE, 0xFE
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""Of all processes, and of JPEG-LS (ITU-T T.87)."""
_DECODABLE = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_MOST_SCANS, _MOST_SEGMENTS = 200, 10_000
"""More than any encoder writes; each scan goes over the whole image again."""
_CUT_OFF = "the JPEG is cut off or damaged"
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

type Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker segment; `payload` excludes marker and length."""

    marker: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Frame(Segment):
    """The segment that says what the scans hold."""

    @property
    def progressive(self) -> bool:
        """Coded in several passes over the whole image."""
        return self.marker in _PROGRESSIVE

    @property
    def factors(self) -> tuple[tuple[int, int], ...]:
        """Horizontal and vertical sampling factors of each component."""
        return tuple((self.payload[7 + 3 * i] >> 4, self.payload[7 + 3 * i] & 15) for i in range(self.payload[5]))


@dataclass(frozen=True, slots=True)
class Jpeg:
    """The segments in front of the first scan, and where the image ends."""

    segments: tuple[Segment, ...]
    frame: Frame
    scans: int
    """Offset of the first scan's marker."""
    end: int
    """Offset behind EOI; what follows is not part of the image itself."""


type _Walk = Iterator[tuple[int, int, Buffer]]


def read(data: Buffer) -> Jpeg:
    """Take a JPEG file apart without decoding it.

    Raises:
        UnsupportedImage: it is cut off or damaged.
    """
    walk = _walk(data)
    segments, frame, scans = _start(walk, keep=True)
    count = 1
    for position, marker, _ in walk:
        count += marker == SOS
        if count > _MOST_SCANS:
            raise UnsupportedImage(f"it is a JPEG of more than {_MOST_SCANS} scans")
        if marker == EOI:
            return Jpeg(tuple(segments), frame, scans, position + 2)
    raise UnsupportedImage(_CUT_OFF)


def without_junk(data: Buffer, original: Jpeg) -> bytes | Buffer:
    """The image without bytes between its first segments, which libjpeg would report as damage."""
    head = b"".join(
        bytes((0xFF, segment.marker)) + (len(segment.payload) + 2).to_bytes(2) + segment.payload
        for segment in original.segments
    )
    if len(head) + 2 == original.scans:
        return data[: original.end]
    return b"".join((data[:2], head, data[original.scans : original.end]))


def _start(walk: _Walk, *, keep: bool) -> tuple[list[Segment], Frame, int]:
    """The segments up to the first scan, the frame among them, and the scan's offset.

    Unless they are to be kept, only the frame's payload is copied.
    """
    segments: list[Segment] = []
    for position, marker, payload in walk:
        if marker == SOS:
            return segments, _frame(segments), position
        if len(segments) >= _MOST_SEGMENTS:
            raise UnsupportedImage(f"it is a JPEG of more than {_MOST_SEGMENTS} segments")
        if marker in _FRAMES:
            segments.append(Frame(marker, bytes(payload)))
        else:
            segments.append(Segment(marker, bytes(payload) if keep else b""))
    raise UnsupportedImage(_CUT_OFF)


def _frame(segments: list[Segment]) -> Frame:
    frame = next((segment for segment in reversed(segments) if isinstance(segment, Frame)), None)
    if frame is None:
        raise UnsupportedImage(_CUT_OFF)
    if len(frame.payload) < 6 or len(frame.payload) < 6 + 3 * frame.payload[5]:
        raise UnsupportedImage("the JPEG's frame header is damaged")
    if not all(h and v for h, v in frame.factors):
        raise UnsupportedImage("the JPEG's frame header is damaged")
    return frame


def _walk(data: Buffer) -> _Walk:
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
    """Read the header, up to the first scan; `read` checks whether the scans are complete.

    Raises:
        UnsupportedImage: cut off, damaged, or coded in an unusual way.
    """
    _, frame, _ = _start(_walk(memoryview(data)), keep=False)
    marker, payload = frame.marker, frame.payload
    bits, components = payload[0], payload[5]
    if marker not in _DECODABLE or bits != 8:
        raise UnsupportedImage(
            "it is a lossless or hierarchical JPEG, JPEG-LS, or one of more than 8 bits, none of which is decoded here"
        )
    if components not in (1, 3, 4):
        raise UnsupportedImage(f"it is a JPEG of {components} components")
    height, width = int.from_bytes(payload[1:3]), int.from_bytes(payload[3:5])
    (h, v), (ch, cv) = frame.factors[0], frame.factors[-1]
    return Header(
        "JPEG",
        width,
        height,
        components,
        8,
        progressive=frame.progressive,
        everyday=components != 4,
        chroma=ch * cv / (h * v),
    )
