"""GIF: upscales composited frames, with a new palette for each."""

import struct

import numpy as np
from numpy.typing import NDArray

from scaler.images.codecs import frames, pillow, pixels
from scaler.images.codecs.pillow import Bytes
from scaler.images.metadata import xmp
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.gif import Frame, Gif, read

_KEPT, _CLEARED = 1 << 2, 2 << 2
"""What is done with a frame when the next one comes."""
_OPAQUE = 128


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale a GIF: every frame, delay, loop count, comment; transparent pixels stay fully transparent.

    Raises:
        UnsupportedImage: damaged.
    """
    original = read(data)
    seen = list(pillow.frames(data, "RGBA", len(original.frames)))
    if any(frame.shape[:2] != (original.height, original.width) for frame in seen):
        raise UnsupportedImage("it is a GIF whose frames exceed its own size")
    clear = any((frame[:, :, 3] < _OPAQUE).any() for frame in seen)
    written, before = [], None
    for old, frame in zip(original.frames, seen, strict=True):
        # If any frame has transparent pixels, each frame starts on a clear canvas; otherwise it repaints what changed.
        part = frames.dirty_rectangle(None if clear else before, frame)
        written.append(_frame(frame, part, old.control, clear=clear))
        before = frame
    return _file(original, written, memoryview(data)[original.end :])


def _frame(seen: Bytes, part: tuple[int, int, int, int], control: bytes, *, clear: bool) -> bytes:
    """An upscaled frame's part with its control."""
    left, top, right, bottom = part
    image, opaque = _upscaled(seen) if clear else (pixels.upscaled(seen[:, :, :3]), None)
    numbers, colours = pillow.reduced(np.ascontiguousarray(image[top:bottom, left:right]), 255 if clear else 256)
    hidden = len(colours)
    if opaque is not None:
        numbers[~opaque[top:bottom, left:right]] = hidden
    compressed = _compressed(numbers)
    size = max(hidden + int(clear) - 1, 1).bit_length()
    flags = (_CLEARED if clear else _KEPT) | (control[0] & 2 if control else 0) | int(clear)
    delay = control[1:3] or bytes(2)
    return b"".join(
        (
            struct.pack("<4B", 0x21, 0xF9, 4, flags) + delay + bytes((hidden & 0xFF if clear else 0, 0)),
            struct.pack("<B4HB", 0x2C, left, top, right - left, bottom - top, 0x80 | size - 1),
            colours.tobytes().ljust(3 << size, b"\0"),
            compressed,
        )
    )


def _upscaled(seen: Bytes) -> tuple[Bytes, NDArray[np.bool]]:
    """Colours, without bleeding from transparent pixels, and which pixels are opaque."""
    alpha = np.where(seen[:, :, 3:] < _OPAQUE, 0, 1).astype(np.float32)
    weights = pixels.upscaled(alpha)[:, :, None]
    colours = pixels.upscaled(seen[:, :, :3] * alpha) / np.maximum(weights, 1 / 256)
    return np.rint(colours).astype(np.uint8), weights[:, :, 0] >= 0.5


def _compressed(numbers: Bytes) -> memoryview:
    """Colour numbers as GIF compresses them, by Pillow."""
    encoded = pillow.encode("GIF", numbers, "P", optimize=False, interlace=0)
    return read(encoded).frames[0].data


def _file(original: Gif, written: list[bytes], appended: memoryview) -> bytes:
    """A file of these frames between the original's extensions."""
    screen = struct.pack("<6s2H3B", b"GIF89a", 2 * original.width, 2 * original.height, 0x70, 0, original.aspect)
    frame = iter(written)
    parts = [next(frame) if isinstance(part, Frame) else _extension(part) for part in original.parts]
    return b"".join((screen, *parts, b"\x3b", appended))


def _extension(part: memoryview) -> bytes | memoryview:
    """An extension in the upscaled file; an XMP packet is stored unescaped, followed by the magic trailer."""
    return xmp.upscale_sizes(part) if bytes(part[3:14]) == b"XMP DataXMP" else part
