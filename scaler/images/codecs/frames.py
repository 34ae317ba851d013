"""Frames of animations, each as the whole image that is seen."""

import numpy as np

from scaler.images.codecs.pixels import Pixels


def dirty_rectangle(before: Pixels | None, now: Pixels) -> tuple[int, int, int, int]:
    """The part of the upscaled frame that differs from the one before: left, top, right, bottom, all even."""
    height, width = now.shape[:2]
    if before is None:
        return 0, 0, 2 * width, 2 * height
    differs = np.any(before != now, axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return 0, 0, 2, 2
    # Interpolation spreads each pixel one pixel beyond its edges.
    left, top = max(2 * int(columns[0]) - 2, 0), max(2 * int(rows[0]) - 2, 0)
    return left, top, min(2 * int(columns[-1]) + 4, 2 * width), min(2 * int(rows[-1]) + 4, 2 * height)
