"""Portable anymaps: written binary, with the original's own white and comments."""

import numpy as np

from scaler.images.codecs import pixels
from scaler.images.probe.pnm import read


def upscale(data: bytes, quality: int) -> bytes:
    """Double a PNM. Black and white becomes grey, since there is grey between the two.

    Raises:
        UnsupportedImage: damaged.
    """
    original = read(data)
    image = pixels.upscaled(pixels.decode(data))
    height, width = image.shape[:2]
    top = 255 if original.top == 1 else original.top
    lines = [b"P5" if image.ndim == 2 else b"P6", *original.comments, f"{width} {height}".encode(), str(top).encode()]
    if image.ndim == 3:
        image = image[:, :, ::-1]
    if image.dtype == np.uint16:
        image = image.astype(">u2")
    return b"\n".join((*lines, np.ascontiguousarray(image).data.cast("B")))
