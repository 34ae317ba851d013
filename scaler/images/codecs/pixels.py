"""Pixels in and out of files: the only module that knows OpenCV."""

from collections.abc import Buffer, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from scaler.images.codecs import stderr_capture
from scaler.images.probe import UnsupportedImage

type Pixels = NDArray[np.integer | np.floating]
"""Height x width, or height x width x channels in OpenCV's order (B, G, R, A)."""

cv2.setNumThreads(1)  # images are worked on side by side; more threads in each only get in each other's way
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what went wrong is said by UnsupportedImage


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
        raise UnsupportedImage("it is damaged, or of a kind that OpenCV does not decode")
    damage = next((said for said in complaints if said.startswith(("Corrupt JPEG", "Premature end"))), None)
    if damage is not None:
        raise UnsupportedImage(f"it is damaged: {damage}")
    return pixels


def upscaled(pixels: Pixels) -> Pixels:
    """Return twice the width and height, interpolated bilinearly."""
    twice: Pixels = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return twice


def upscale_fast(pixels: Pixels) -> Pixels:
    """The same but for a last step up or down; 8 bits take half the time where OpenCV was built with Intel's IPP.

    IPP rounds to the nearest value. OpenCV, which calls that not exact, rounds down on the way, by up to 0.63 step.
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
        raise UnsupportedImage("it is damaged, or of a kind that OpenCV does not decode")
    return list(animation.frames)
