"""Pixels in and out of files by OpenCV, and how they are upscaled."""

import re
from collections.abc import Buffer, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scaler.images.codecs import preview, stderr_capture
from scaler.images.probe import UnsupportedImage

type Pixels = NDArray[np.integer | np.floating]
"""Height x width, or height x width x channels in OpenCV's order (B, G, R, A)."""

_TILE, _MANY = 128, 1e9

cv2.setNumThreads(1)  # images are processed in parallel; more threads per image would only compete
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # UnsupportedImage reports failures


def decode(data: Buffer) -> Pixels:
    """Decode the first image in `data` as it is stored: all channels, full depth, not rotated.

    Raises:
        UnsupportedImage: OpenCV cannot, or its decoder found the data damaged.
    """
    with stderr_capture.capture() as complaints:
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            raise UnsupportedImage(f"OpenCV cannot decode it: {error.err}") from error
    if pixels is None:
        raise UnsupportedImage("OpenCV does not decode it: it is damaged, or stored in an unusual way")
    damage = next((said for said in complaints if said.startswith(("Corrupt JPEG", "Premature end"))), None)
    if damage is not None and not _is_padding(damage, data):
        raise UnsupportedImage(f"it is damaged: {damage}")
    preview.offer(pixels)
    return pixels


def _is_padding(damage: str, data: Buffer) -> bool:
    """Whether libjpeg only missed the end of a whole scan, which some cameras pad."""
    found = re.search(r": (\d+) extraneous bytes before marker 0xd9", damage)
    filling = bytes(memoryview(data)[-2 - int(found[1]) : -2]) if found else b""
    return len(set(filling)) == 1


def upscaled(pixels: Pixels, *, alpha: bool = False) -> Pixels:
    """Return twice the width and height, interpolated bilinearly.

    Args:
        alpha: the last channel is transparency that the colours are not multiplied by. Where alpha varies, colours
            are weighted by it, so that hidden colours do not bleed into edges; elsewhere nothing changes.
    """
    twice: Pixels = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    if alpha and pixels.ndim == 3:
        _reweight_edges(pixels, twice)
    return twice


def halved(pixels: Pixels) -> Pixels:
    """Return half the (even) width and height, each four pixels averaged."""
    return cv2.resize(pixels.astype(np.float32), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _reweight_edges(pixels: Pixels, twice: Pixels) -> None:
    """Redo the colours of `twice` where alpha differs between neighbours, tile by tile: most images have few."""
    alpha = np.ascontiguousarray(pixels[:, :, -1])
    if alpha.min() == alpha.max():
        return
    around = np.ones((3, 3), np.uint8)
    edges = (cv2.dilate(alpha, around) != cv2.erode(alpha, around)).astype(np.uint8)
    height, width = edges.shape
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            mixed = edges[top : top + _TILE, left : left + _TILE]
            if mixed.any():
                _reweight(pixels, twice, top, left, mixed)


def _reweight(pixels: Pixels, twice: Pixels, top: int, left: int, mixed: NDArray[np.uint8]) -> None:
    above, before = min(top, 1), min(left, 1)
    rows, columns = (slice(2 * at, 2 * (at + size)) for at, size in zip((top, left), mixed.shape, strict=True))
    part = pixels[top - above : top + _TILE + 1, left - before : left + _TILE + 1]
    target: Any = twice[rows, columns]
    seen = cv2.resize(mixed, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    seen[target[:, :, -1] == 0] = 0

    def enlarged(plane: Any) -> Any:
        plane = cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        return plane[2 * above :, 2 * before :][: 2 * mixed.shape[0], : 2 * mixed.shape[1]]

    *colours, alpha = cv2.split(part)
    depth = cv2.CV_64F if part.dtype.itemsize > 2 else cv2.CV_32F
    weights = np.ascontiguousarray(enlarged(alpha.astype(np.float64 if depth == cv2.CV_64F else np.float32)))
    weights[seen == 0] = _MANY  # unused, but must not overflow
    planes = [cv2.divide(enlarged(cv2.multiply(colour, alpha, dtype=depth)), weights) for colour in colours]
    if target.dtype == np.uint8:
        planes = [cv2.convertScaleAbs(plane) for plane in planes]
    elif target.dtype.kind in "iu":
        planes = [np.rint(plane).astype(target.dtype) for plane in planes]
    planes = [plane.astype(target.dtype, copy=False) for plane in planes]
    cv2.copyTo(cv2.merge([*planes, np.ascontiguousarray(target[:, :, -1])]), seen, target)


def reversed_colours(pixels: Pixels) -> Pixels:
    """R, G, B instead of B, G, R, or the other way round; alpha stays where it is."""
    return np.ascontiguousarray(pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]) if pixels.ndim == 3 else pixels


def upscale_fast(pixels: Pixels) -> Pixels:
    """Like `upscaled`, with an error of one step at most; 8 bits take half the time with Intel's IPP in OpenCV.

    IPP rounds to the nearest value. OpenCV, which calls this "not exact", rounds down on the way, by up to 0.63 step.
    """
    cv2.ipp.setUseIPP_NotExact(True)  # in this thread
    try:
        return upscaled(pixels)
    finally:
        cv2.ipp.setUseIPP_NotExact(False)


def encode(extension: str, pixels: Pixels, parameters: Sequence[int] = ()) -> memoryview:
    """Encode in the format that `extension` names, with OpenCV's `IMWRITE_…` parameters.

    Raises:
        UnsupportedImage: OpenCV does not write such pixels in this format.
    """
    try:
        done, encoded = cv2.imencode(extension, pixels, list(parameters))
    except cv2.error as error:
        raise UnsupportedImage(f"OpenCV cannot encode the upscaled image: {error.err}") from error
    if not done:
        raise UnsupportedImage("OpenCV cannot encode the upscaled image")
    return memoryview(encoded).cast("B")


def decode_frames(data: Buffer) -> list[Pixels]:
    """Decode all frames of an animation, each as the whole image that is seen.

    Raises:
        UnsupportedImage: OpenCV cannot.
    """
    with stderr_capture.capture():
        try:
            done, animation = cv2.imdecodeanimation(np.frombuffer(data, np.uint8))
        except cv2.error as error:
            raise UnsupportedImage(f"OpenCV cannot decode it: {error.err}") from error
    if not done:
        raise UnsupportedImage("OpenCV does not decode it: it is damaged, or stored in an unusual way")
    preview.offer(animation.frames[0])
    return list(animation.frames)
