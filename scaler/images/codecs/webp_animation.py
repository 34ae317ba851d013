"""Animated WebP: each frame's changed part, under the original's own delays."""

import numpy as np

from scaler.images.codecs import frames, pixels, webp
from scaler.images.codecs.pixels import Pixels
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.webp import chunks, inner

_FRAME_HEADER = 16
_NOT_BLENDED = 2


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale every frame of an animated WebP, lossless ones without loss.

    Raises:
        UnsupportedImage: damaged.
    """
    original, end = chunks(data)
    old = [chunk.payload for chunk in original if chunk.kind == b"ANMF"]
    seen = pixels.decode_frames(data)
    if len(seen) != len(old):
        raise UnsupportedImage(f"it is damaged: it has {len(seen)} of {len(old)} frames")
    height, width = (2 * side for side in seen[0].shape[:2])
    new: list[bytes] = []
    before = None
    for payload, frame in zip(old, seen, strict=True):
        new.append(_frame(payload, frame, frames.dirty_rectangle(before, frame), quality))
        before = frame
    body = iter(new)
    parts: list[bytes] = []
    for chunk in original:
        if chunk.kind == b"ANMF":
            parts.append(webp.make_chunk(chunk.kind, next(body)))
        elif chunk.kind == b"VP8X":
            parts.append(webp.make_chunk(chunk.kind, webp.extended(chunk.payload, width, height, [])))
        else:
            parts.append(webp.make_chunk(chunk.kind, webp.kept(chunk, width, height)))
    return webp.file(parts, memoryview(data)[end:])


def _frame(old: memoryview, frame: Pixels, part: tuple[int, int, int, int], quality: int) -> bytes:
    """The payload of ANMF for the changed part of a frame."""
    left, top, right, bottom = part
    lossless = any(chunk.kind == b"VP8L" for chunk in inner(old[_FRAME_HEADER:]))
    image = np.ascontiguousarray(pixels.upscaled(frame, alpha=frame.shape[2] == 4)[top:bottom, left:right])
    encoded = pixels.encode(".webp", image, webp.parameters(lossless=lossless, quality=quality))
    sides = (left // 2, top // 2, right - left - 1, bottom - top - 1)
    place = b"".join(side.to_bytes(3, "little") for side in sides)
    chunks = (webp.make_chunk(chunk.kind, chunk.payload) for chunk in webp.image_chunks(encoded))
    return b"".join((place, old[12:15], bytes((_NOT_BLENDED,)), *chunks))
