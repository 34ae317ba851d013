"""The few colours that stand best for the many of an upscaled palette image."""

import numpy as np
from numpy.typing import NDArray

from scaler.images.codecs import pillow
from scaler.images.codecs.pillow import Bytes

_ROUNDS = 8
_CELLS = 1 << 15
_AT_ONCE = 1 << 12

type Floats = NDArray[np.float32]


def reduced(image: Bytes, limit: int) -> tuple[Bytes, Bytes]:
    """Choose up to `limit` colours for an image (height x width x 3).

    Returns:
        The number of a colour for each pixel (height x width), and the colours (n x 3).
    """
    packed = image.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    unique, pixels, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack((unique >> 16, unique >> 8 & 0xFF, unique & 0xFF), axis=1).astype(np.float32)
    if len(colours) <= limit:
        chosen, numbers = colours, np.arange(len(colours), dtype=np.uint8)
    else:
        chosen = _settled(colours, counts.astype(np.float32), pillow.reduced(image, limit).astype(np.float32))
        numbers = _nearest(colours, chosen)
    return numbers[pixels].reshape(image.shape[:2]), np.rint(chosen).astype(np.uint8)


def _settled(colours: Floats, weights: Floats, chosen: Floats) -> Floats:
    """Move each chosen colour into the middle of those that it stands for, again and again."""
    cell = _cells(colours)
    weight = np.bincount(cell, weights)
    means = _means(colours, weights, cell, weight).astype(np.float32)
    for _ in range(_ROUNDS):
        numbers = _nearest(means, chosen)
        total = np.bincount(numbers, weight, len(chosen))
        moved = _means(means, weight, numbers, total)
        chosen = np.where(total[:, None] > 0, moved, chosen).astype(np.float32)
    return chosen


def _cells(colours: Floats) -> NDArray[np.intp]:
    """Put colours that are nearly the same together, as nearly as keeps their number small."""
    cell: NDArray[np.intp]
    for bits in range(4):
        packed = (colours.astype(np.uint32) >> bits) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        cells, cell = np.unique(packed, return_inverse=True)
        if len(cells) <= _CELLS:
            break
    return cell


def _means(
    colours: Floats, weights: NDArray[np.floating], groups: NDArray[np.integer], total: NDArray[np.floating]
) -> NDArray[np.float64]:
    sums = [np.bincount(groups, weights * colours[:, channel], len(total)) for channel in range(3)]
    means: NDArray[np.float64] = np.stack(sums, axis=1) / np.maximum(total, 1)[:, None]
    return means


def _nearest(colours: Floats, chosen: Floats) -> Bytes:
    """The number of the chosen colour that is nearest to each."""
    squares = (chosen**2).sum(axis=1)
    parts = [
        (squares - 2 * (colours[at : at + _AT_ONCE] @ chosen.T)).argmin(axis=1).astype(np.uint8)
        for at in range(0, len(colours), _AT_ONCE)
    ]
    return np.concatenate(parts)
