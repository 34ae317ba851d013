"""Animated PNG: each frame's changed part, under the original's own delays."""

import struct
from collections.abc import Iterator

import numpy as np

from scaler.images.codecs import frames, pixels, png
from scaler.images.codecs.pixels import Pixels
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.png import GREY, GREY_ALPHA, RGB, RGB_ALPHA, SIGNATURE, read


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale every frame of an animated PNG, without loss.

    Raises:
        UnsupportedImage: damaged, or of a kind whose frames OpenCV does not decode faithfully.
    """
    original = read(data)
    controls = [chunk.payload for chunk in original.chunks if chunk.kind == b"fcTL"]
    order = [chunk.kind for chunk in original.chunks if chunk.kind in (b"fcTL", b"IDAT")]
    if order[:1] != [b"fcTL"]:
        raise UnsupportedImage("it is an animated PNG with a hidden image in front, which could not be kept")
    if original.depth == 16 or (original.colour in (GREY, GREY_ALPHA) and original.first(b"iCCP") is not None):
        raise UnsupportedImage("it is an animated PNG of 16 bits or with a grey profile, which OpenCV would not keep")
    seen = pixels.decode_frames(data)
    seen = [np.dstack([frame] * 3) if frame.ndim == 2 else frame for frame in seen]
    if len(seen) != len(controls) or len({frame.shape for frame in seen}) != 1:
        raise UnsupportedImage(f"it is damaged: it has {len(seen)} of {len(controls)} frames")
    height, width, channels = seen[0].shape
    colour = RGB_ALPHA if channels == 4 else RGB
    ihdr = struct.pack(">2L5B", 2 * width, 2 * height, 8, colour, 0, 0, 0)
    body = list(_body(seen, controls, colour))
    control = original.first(b"acTL") or b""
    start = (SIGNATURE, png.chunk(b"IHDR", ihdr), png.chunk(b"acTL", control))
    return b"".join((*start, *png.around(original, body, ihdr), memoryview(data)[original.end :]))


def _body(seen: list[Pixels], controls: list[memoryview], colour: int) -> Iterator[bytes]:
    """The chunks of all frames."""
    number = 0
    before = None
    for frame, control in zip(seen, controls, strict=True):
        left, top, right, bottom = frames.dirty_rectangle(before, frame)
        part = np.ascontiguousarray(pixels.upscaled(frame, alpha=colour == RGB_ALPHA)[top:bottom, left:right])
        delay = bytes(control[20:24])
        # Neither disposed of nor blended: the part replaces what was there.
        place = struct.pack(">5L", number, right - left, bottom - top, left, top)
        yield png.chunk(b"fcTL", place + delay + b"\0\0")
        number += 1
        for payload in png.encode(part, colour):
            if before is None:
                yield png.chunk(b"IDAT", payload)
            else:
                yield png.chunk(b"fdAT", struct.pack(">L", number) + bytes(payload))
                number += 1
        before = frame
