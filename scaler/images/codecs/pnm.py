"""Portable anymaps: read by numpy, written binary, with the original's own white and comments."""

import math
import re

import numpy as np

from scaler.images.codecs import pixels, preview
from scaler.images.codecs.pixels import Pixels
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.pnm import PLAIN, Pnm, read

_NO_NUMBER = re.compile(rb"[^\d\s]")


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale a PNM. If its white is less than 255, as in black and white, it becomes 255.

    Raises:
        UnsupportedImage: damaged.
    """
    original = read(data)
    stored = samples(data, original)
    preview.offer(pixels.reversed_colours(stored))
    image = pixels.upscaled(stored)
    height, width = image.shape[:2]
    lines = [b"P5" if image.ndim == 2 else b"P6", *original.comments, f"{width} {height}".encode()]
    lines += [str(max(original.top, 255)).encode()]
    return b"\n".join((*lines, image.astype(image.dtype.newbyteorder(">")).data.cast("B")))


def samples(data: bytes, original: Pnm) -> Pixels:
    """The samples (height x width, or height x width x R, G, B), for a white of 255 or more.

    Raises:
        UnsupportedImage: too few, or larger than white.
    """
    body = data[original.start :] if original.kind in PLAIN else data[original.start :][: original.least]
    found: Pixels
    if original.kind in PLAIN and _NO_NUMBER.search(body):
        raise UnsupportedImage("the PNM is damaged, or holds more than one image")
    if original.kind == 1:  # bits, possibly without separators
        found = np.frombuffer(b"".join(body.split()), np.uint8) ^ ord("1")
    elif original.kind in PLAIN:
        found = np.fromstring(body, np.int64, sep=" ")
    elif original.kind == 4:
        bits = np.unpackbits(np.frombuffer(body, np.uint8).reshape(original.height, -1), axis=1)
        found = 1 - bits[:, : original.width]
    else:
        found = np.frombuffer(body, ">u2" if original.top > 255 else np.uint8)
    if found.size != math.prod(original.shape) or found.max() > original.top:
        raise UnsupportedImage("the PNM is damaged: its samples are too few or too many, or exceed its white")
    found = found.reshape(original.shape)
    if original.top < 255:
        return np.rint(found * (255 / original.top)).astype(np.uint8)
    return found.astype(np.uint8 if original.top == 255 else np.uint16)
