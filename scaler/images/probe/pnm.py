"""Portable anymaps (Netpbm's pbm(5), pgm(5) and ppm(5)): plain or binary."""

import math
import re
from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage

_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_START = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})")
_TOP = re.compile(_GAP + rb"(\d{1,5})")
_COMMENT = re.compile(rb"#[^\n\r]*")
_LONGEST_HEADER = 1 << 16
PLAIN, BITMAPS = (1, 2, 3), (1, 4)
"""Kinds whose samples are written as text, and kinds whose samples are bits."""


@dataclass(frozen=True, slots=True)
class Pnm:
    """The text in front of the pixels."""

    kind: int
    """The digit of the magic number."""
    width: int
    height: int
    top: int
    """The value of white."""
    comments: tuple[bytes, ...]
    start: int
    """Offset of the first pixel."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height x width, or height x width x 3."""
        return (self.height, self.width, 3)[: 3 if self.kind in (3, 6) else 2]

    @property
    def least(self) -> int:
        """Bytes of the pixels; a lower bound for plain formats."""
        if self.kind == 4:
            return self.height * ((self.width + 7) // 8)
        return math.prod(self.shape) * (2 if self.kind in (2, 3) or self.top > 255 else 1)


def read(data: bytes | memoryview) -> Pnm:
    """Read the text in front of the pixels, and check that all pixels are there.

    Raises:
        UnsupportedImage: damaged, cut off, or several images in one file.
    """
    text = bytes(data[:_LONGEST_HEADER])
    start = _START.match(text)
    if start is None:
        raise UnsupportedImage("the PNM's header is damaged")
    kind, width, height = (int(group) for group in start.groups())
    end, top = start.end(), 1
    if kind not in BITMAPS:
        limit = _TOP.match(text, end)
        if limit is None or not 0 < int(limit[1]) <= 0xFFFF:
            raise UnsupportedImage("the PNM's header is damaged")
        end, top = limit.end(), int(limit[1])
    pnm = Pnm(kind, width, height, top, tuple(_COMMENT.findall(text, 0, end)), end + 1)
    end = pnm.start + pnm.least
    if end > len(data) + (kind in PLAIN):  # the last separator is optional
        raise UnsupportedImage("the PNM is cut off")
    if kind not in PLAIN and bytes(data[end : end + 16]).strip():
        raise UnsupportedImage(
            "it is a PNM with a second image or something else after its first, which could not be kept"
        )
    return pnm


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        UnsupportedImage: damaged, cut off, or several images in one file.
    """
    pnm = read(data)
    return Header("PNM", pnm.width, pnm.height, 3 if pnm.kind in (3, 6) else 1, 16 if pnm.top > 255 else 8)
