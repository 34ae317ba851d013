"""Which pictures can be doubled, told from their names and headers alone; decodes nothing and imports no OpenCV."""

from mmap import mmap

from scaler.formats import jpeg, png, tiff, webp
from scaler.formats.header import Header, Unscalable

__all__ = ["EXTENSIONS", "Header", "Unscalable", "describe", "memory_needed", "read_header"]

EXTENSIONS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif"),
        *(".png", ".apng", ".webp", ".avif", ".gif"),
        *(".tif", ".tiff", ".bmp", ".dib"),
        *(".jp2", ".j2k", ".j2c", ".jpc"),
        *(".pbm", ".pgm", ".ppm", ".pnm"),
    }
)
"""Lower-case endings of the names that are taken as pictures."""

LARGEST = {"JPEG": 65_500, "PNG": 1_000_000, "TIFF": 1 << 20, "WebP": 16_383}
"""Pixels a side that each format, or its library, can hold."""


def read_header(data: bytes | memoryview | mmap) -> Header:
    """Read a picture's header; what it is, its content says, whatever its name.

    Raises:
        Unscalable: not a picture, a damaged one, or one that cannot be doubled in its own format.
    """
    header = describe(data)
    largest = LARGEST[header.format]
    if 2 * max(header.width, header.height) > largest:
        raise Unscalable(
            f"doubled, its {header.width} x {header.height} pixels exceed the {largest} a side of {header.format}"
        )
    return header


def describe(data: bytes | memoryview | mmap) -> Header:
    """Read a picture's header, whether or not there is room for twice its size.

    Raises:
        Unscalable: not a picture, a damaged one, or of a kind that is left alone.
    """
    view = memoryview(data)
    start = bytes(view[:16])
    if start.startswith(b"\xff\xd8\xff"):
        header = jpeg.header(view)
    elif start.startswith(png.SIGNATURE):
        header = png.header(view)
    elif start.startswith((b"II*\0", b"MM\0*")):
        header = tiff.header(view)
    elif start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        header = webp.header(view)
    else:
        raise Unscalable("it is not a picture of a known format")
    if header.width < 1 or header.height < 1:
        raise Unscalable(f"its header says {header.width} x {header.height} pixels")
    return header


def memory_needed(header: Header) -> int:
    """Bytes that decoding, doubling and encoding hold at one time, at most."""
    pixels = header.width * header.height
    return 8 * pixels * header.channels * header.bits // 8 + (32 << 20)
