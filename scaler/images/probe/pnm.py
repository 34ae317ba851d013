"""Portable anymaps (Netpbm's pbm(5), pgm(5) and ppm(5)): plain or binary."""

import re
from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage

_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_START = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})")
_TOP = re.compile(_GAP + rb"(\d{1,5})")
_COMMENT = re.compile(rb"#[^\n\r]*")
_LONGEST_HEADER = 1 << 16


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
    if kind not in (1, 4):
        limit = _TOP.match(text, end)
        if limit is None or not 0 < int(limit[1]) <= 0xFFFF:
            raise UnsupportedImage("the PNM's header is damaged")
        end, top = limit.end(), int(limit[1])
        if top < 255:
            raise UnsupportedImage(f"it is a PNM whose white is {top}, and OpenCV would read it as 255")
    if kind >= 4:
        row = (width + 7) // 8 if kind == 4 else width * (3 if kind == 6 else 1) * (2 if top > 255 else 1)
        missing = end + 1 + row * height - len(data)
        if missing > 0:
            raise UnsupportedImage("the PNM is cut off")
        if missing < 0 and bytes(data[missing:][:16]).strip():
            raise UnsupportedImage("the PNM holds more than one image")
    return Pnm(kind, width, height, top, tuple(_COMMENT.findall(text, 0, end)), end + 1)


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        UnsupportedImage: damaged, cut off, or several images in one file.
    """
    pnm = read(data)
    return Header("PNM", pnm.width, pnm.height, 3 if pnm.kind in (3, 6) else 1, 16 if pnm.top > 255 else 8)
