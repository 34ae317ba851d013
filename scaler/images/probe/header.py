"""What an image's header says, and the error for images that are skipped."""

from dataclasses import dataclass


class UnsupportedImage(Exception):
    """This image is skipped; `reason` is one sentence that says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Header:
    """An image as its header describes it, before anything is decoded.

    `width` and `height` are in pixels as stored (before any EXIF rotation), `channels` and `bits` (of one sample) as
    OpenCV decodes them, `frames` counts pages or, where it is `animated`, frames.
    """

    format: str
    width: int
    height: int
    channels: int
    bits: int
    frames: int = 1
    animated: bool = False
    lossless: bool = False
    progressive: bool = False
    everyday: bool = False
    """A common kind whose reader is proven, so no second library needs to confirm it."""
    chroma: float = 1.0
    """Share of the full resolution at which each colour-difference plane is coded (4:2:0 is 0.25)."""
    size: int = 0
    """Bytes of the whole file."""
