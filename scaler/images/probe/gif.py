"""GIF files (CompuServe GIF89a): their frames, and the extensions around them."""

import struct
from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_CONTROL, _PLAIN_TEXT = 0xF9, 0x01
_MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of the file."""

    control: bytes
    """The four bytes of its graphic control: flags, delay, transparent colour; may be empty."""
    data: memoryview
    """Compressed pixels, with their code size and block lengths."""


@dataclass(frozen=True, slots=True)
class Gif:
    """A GIF taken apart."""

    width: int
    height: int
    aspect: int
    frames: tuple[Frame, ...]
    parts: tuple[memoryview | Frame, ...]
    """Frames and whole extensions in their order; the frames' controls are in the frames."""
    end: int


def read(data: bytes | memoryview) -> Gif:
    """Take a GIF apart without decoding it.

    Raises:
        UnsupportedImage: cut off, damaged, or with text to be drawn by the viewer.
    """
    view = memoryview(data)
    try:
        width, height, flags, _, aspect = struct.unpack_from("<HHBBB", view, 6)
        at = 13 + _table_size(flags)
        control, parts = b"", list[memoryview | Frame]()
        while view[at] != _TRAILER:
            start, at = at, _end(view, at)
            if view[start] == _IMAGE:
                left, top, across, down = struct.unpack_from("<4H", view, start + 1)
                if left + across > width or top + down > height:
                    raise UnsupportedImage("it is a GIF with a frame outside of its screen")
                inner = start + 10 + _table_size(view[start + 9])
                parts.append(Frame(control, view[inner:at]))
                control = b""
            elif view[start + 1] == _CONTROL:
                control = bytes(view[start + 3 : start + 7])
            elif view[start + 1] == _PLAIN_TEXT:
                raise UnsupportedImage("it is a GIF with text for the viewer to draw, which could not be kept")
            else:
                parts.append(view[start:at])
            if len(parts) > _MOST_PARTS:
                raise UnsupportedImage(f"it is a GIF of more than {_MOST_PARTS} frames and extensions")
    except (IndexError, struct.error) as error:
        raise UnsupportedImage("the GIF is cut off or damaged") from error
    frames = tuple(part for part in parts if isinstance(part, Frame))
    if not frames:
        raise UnsupportedImage("the GIF has no image")
    return Gif(width, height, aspect, frames, tuple(parts), at + 1)


def _table_size(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end(view: memoryview, at: int) -> int:
    """Offset behind the block that starts at `at`."""
    if view[at] == _IMAGE:
        at += 11 + _table_size(view[at + 9])
    elif view[at] == _EXTENSION:
        at += 2
    else:
        raise UnsupportedImage("the GIF is damaged")
    while length := view[at]:
        at += 1 + length
    return at + 1


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        UnsupportedImage: cut off, damaged, or with text to be drawn by the viewer.
    """
    gif = read(data)
    return Header("GIF", gif.width, gif.height, 4, 8, len(gif.frames), len(gif.frames) > 1)
