"""Which images can be upscaled, decided from their headers; nothing is decoded, and OpenCV is not imported."""

import re
from collections.abc import Callable
from dataclasses import replace
from mmap import mmap

from scaler.images.probe import avif, bmp, gif, jp2, jpeg, png, pnm, tiff, webp
from scaler.images.probe.header import Header, UnsupportedImage
from scaler.images.probe.memory import needed as memory_needed

__all__ = ["Header", "UnsupportedImage", "describe", "memory_needed", "read_header"]

LARGEST = {
    "AVIF": 65_536,
    "BMP": 1 << 20,
    "GIF": 65_535,
    "JPEG": 65_500,
    "JPEG 2000": 1 << 20,
    "PNG": 1_000_000,
    "PNM": 1 << 20,
    "TIFF": 1 << 20,
    "WebP": 16_383,
}
"""Pixels a side that each format, or its library, can hold."""

_LONGEST_BRANDS = 256

_READERS: tuple[tuple[re.Pattern[bytes], Callable[[memoryview], Header]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), jpeg.header),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), png.header),
    (re.compile(rb"GIF8[79]a"), gif.header),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), webp.header),
    (re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"), tiff.header),
    (re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL), bmp.header),
    (re.compile(rb"P[1-6]\s"), pnm.header),
    (re.compile(rb"....ftyp(?:.{4})*?(?:avif|avis)", re.DOTALL), avif.header),
    (re.compile(re.escape(jp2.SIGNATURE) + rb"|" + jp2.CODESTREAM), jp2.header),
)
_FOREIGN = (
    (rb"$", "it is empty"),
    (rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", "it is a HEIC image, which OpenCV does not read"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "it is a JPEG XL image, which OpenCV does not read"),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|IIRO|IIU\0|\0MRM|FOVb", "it is a camera raw image"),
    (rb"....ftyp", "it is a video, or an image of a kind that OpenCV does not read"),
    (rb"\s*(?:<\?xml.*?)?<svg[\s>]", "it is an SVG drawing, which has no pixels to upscale"),
    (rb"8BPS", "it is a Photoshop document"),
    (rb"%PDF-", "it is a PDF document"),
    (rb"P7\n|P[Ff]\s", "it is a PAM or PFM image, which is not supported"),
    (rb"\s*<(?:!doctype html|html)", "it is an HTML page, not an image"),
)


def _foreign(start: bytes) -> str:
    """Why a file with this beginning is skipped."""
    named = (reason for kind, reason in _FOREIGN if re.match(kind, start, re.DOTALL | re.IGNORECASE))
    return next(named, "it is not an image of a known format")


def read_header(data: bytes | memoryview | mmap) -> Header:
    """Read an image's header. The content decides the format, not the name.

    Raises:
        UnsupportedImage: not an image, a damaged one, or one that cannot be upscaled in its own format.
    """
    header = describe(data)
    largest = LARGEST[header.format]
    if 2 * max(header.width, header.height) > largest:
        raise UnsupportedImage(
            f"upscaled, its {header.width} x {header.height} pixels exceed the {largest} a side of {header.format}"
        )
    return header


def describe(data: bytes | memoryview | mmap) -> Header:
    """Read an image's header, whatever its size.

    Raises:
        UnsupportedImage: not an image, a damaged one, or of a kind that is skipped.
    """
    view = memoryview(data)
    start = bytes(view[:16])
    if start[4:8] == b"ftyp":  # all brands: the first may be another one
        start = bytes(view[: min(int.from_bytes(start[:4]), _LONGEST_BRANDS)])
    reader = next((reader for starts, reader in _READERS if starts.match(start)), None)
    if reader is None:
        raise UnsupportedImage(_foreign(bytes(view[:512])))
    header = replace(reader(view), size=len(view))
    if header.width < 1 or header.height < 1:
        raise UnsupportedImage(f"its header says {header.width} x {header.height} pixels")
    return header
