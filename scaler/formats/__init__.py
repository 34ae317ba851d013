"""Which pictures can be doubled, told from their names and headers alone; decodes nothing and imports no OpenCV."""

from mmap import mmap

from scaler.formats import jpeg, png
from scaler.formats.header import Header, Unscalable

__all__ = ["EXTENSIONS", "Header", "Unscalable", "memory_needed", "read_header"]

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


def read_header(data: bytes | memoryview | mmap) -> Header:
    """Read a picture's header; what it is, its content says, whatever its name.

    Raises:
        Unscalable: not a picture, a damaged one, or one that cannot be doubled in its own format.
    """
    view = memoryview(data)
    start = bytes(view[:16])
    if start.startswith(b"\xff\xd8\xff"):
        return jpeg.header(view)
    if start.startswith(png.SIGNATURE):
        return png.header(view)
    raise Unscalable("it is not a picture of a known format")


def memory_needed(header: Header) -> int:
    """Bytes that decoding, doubling and encoding hold at one time, at most."""
    pixels = header.width * header.height
    return 8 * pixels * header.channels * header.bits // 8 + (32 << 20)
