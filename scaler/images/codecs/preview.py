"""A thumbnail of the image that is being upscaled, made from the pixels that are decoded anyway."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import cv2
import numpy as np
from loguru import logger
from numpy.typing import NDArray

from scaler.images.probe import UnsupportedImage
from scaler.images.probe.tiff import Tiff

LONGEST_SIDE = 160
# That of a small image is smaller, or it would take a considerable part of the time for upscaling.
_PART, _SMALLEST = 12, 80
_QUALITY = 80
_WHITE = 255

# What undoes each EXIF orientation (TIFF 6.0, Orientation): a flip as of cv2.flip, then a rotation as of cv2.rotate.
_TURNS: dict[int, tuple[int | None, int | None]] = {
    2: (1, None),
    3: (None, cv2.ROTATE_180),
    4: (0, None),
    5: (1, cv2.ROTATE_90_COUNTERCLOCKWISE),
    6: (None, cv2.ROTATE_90_CLOCKWISE),
    7: (1, cv2.ROTATE_90_CLOCKWISE),
    8: (None, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
_EXIF, _NEAR = b"Exif\0\0", 2**14
_TIFF = (b"II*\0", b"MM\0*")
_ORIENTATION = 0x0112


class Collected:
    """The thumbnail of one image.

    Attributes:
        jpeg: empty until pixels were offered.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offered = False
        self.jpeg = b""

    def take(self, pixels: NDArray[Any]) -> None:
        """Make the thumbnail of the first pixels that are offered; later ones are frames, or of a second reader."""
        if self._offered:
            return
        self._offered = True
        try:
            self.jpeg = _jpeg(_upright(_eight_bits(_small(pixels)), self._data))
        except Exception as error:  # noqa: BLE001 - a failed thumbnail must never cost an image
            logger.debug("No thumbnail: {!r}", error)


_current: ContextVar[Collected | None] = ContextVar("thumbnail", default=None)


@contextlib.contextmanager
def collecting(data: bytes) -> Iterator[Collected]:
    """Make a thumbnail of what this thread decodes in the block."""
    collected = Collected(data)
    before = _current.set(collected)
    try:
        yield collected
    finally:
        _current.reset(before)


def offer(pixels: NDArray[Any]) -> None:
    """Decoded pixels, in OpenCV's order of channels; this costs nothing unless a thumbnail is wanted."""
    if (collected := _current.get()) is not None:
        collected.take(pixels)


def _small(pixels: NDArray[Any]) -> NDArray[Any]:
    height, width = pixels.shape[:2]
    longest = max(height, width)
    scale = min(LONGEST_SIDE, max(longest // _PART, _SMALLEST), longest) / longest
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Averaging all pixels of a large image would take longer than everything else; four beside each other suffice.
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)


def _eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey or B, G, R; on white where it is transparent."""
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, posinf=1.0, neginf=0.0).clip(0, 1) * _WHITE
    elif pixels.dtype.itemsize > 1:
        pixels = pixels >> 8 * (pixels.dtype.itemsize - 1)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha = pixels[:, :, 3:].astype(np.float32) / _WHITE
        pixels = pixels[:, :, :3] * alpha + _WHITE * (1 - alpha)
    return pixels.astype(np.uint8, copy=False)


def _upright(pixels: NDArray[np.uint8], data: bytes) -> NDArray[Any]:
    orientation = _orientation(data)
    flip, turn = _TURNS.get(orientation, (None, None))
    flipped: NDArray[Any] = pixels if flip is None else cv2.flip(pixels, flip)
    return flipped if turn is None else cv2.rotate(flipped, turn)


def _orientation(data: bytes) -> int:
    """The orientation in the EXIF block near the start of a file, or in a TIFF."""
    start = data.find(_EXIF, 0, _NEAR)
    block = data[start + len(_EXIF) :][:_NEAR] if start >= 0 else data if data[:4] in _TIFF else b""
    try:
        file = Tiff(block)
        return file.number(file.directory(file.first), _ORIENTATION, 1)
    except UnsupportedImage:
        return 1


def _jpeg(pixels: NDArray[Any]) -> bytes:
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return encoded.tobytes()
