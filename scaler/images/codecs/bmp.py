"""Windows bitmaps: Pillow's pixels, upscaled, behind the original's own header."""

import struct

import numpy as np

from scaler.images.codecs import pillow, pixels, preview
from scaler.images.codecs.pixels import Pixels
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.bmp import BIT_FIELDS, UNCOMPRESSED, V5, Bmp, read

_FILE_HEADER = 14
_BGRA_MASKS = (0x00FF_0000, 0x0000_FF00, 0x0000_00FF, 0xFF00_0000)
_GREY = np.repeat(np.arange(256, dtype=np.uint8), 4) * np.tile(np.array([1, 1, 1, 0], np.uint8), 256)


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale a BMP: alpha and grey are kept, other palettes become 24 bits; the result is not compressed.

    Raises:
        UnsupportedImage: damaged.
    """
    original = read(data)
    stored: Pixels
    if original.bits == 32 and original.compression == UNCOMPRESSED:  # Pillow drops the fourth byte, which may be alpha
        stored = np.frombuffer(data, np.uint8, original.width * abs(original.height) * 4, original.start)
        stored = stored.reshape(abs(original.height), original.width, 4)
        stored = np.ascontiguousarray(stored if original.height < 0 else stored[::-1])
    else:
        stored = pixels.reversed_colours(next(pillow.frames(data)))
    preview.offer(stored if original.alpha or stored.ndim == 2 else stored[:, :, :3])
    image = pixels.upscaled(stored, alpha=original.alpha)
    return _file(image if original.height < 0 else image[::-1], original, memoryview(data))


def _file(image: Pixels, original: Bmp, data: memoryview) -> bytes:
    """A file with these rows, in the original's row order."""
    height, width = image.shape[:2]
    channels = image.size // (height * width)
    palette = _GREY.tobytes() if channels == 1 else b""
    rows = np.pad(image.reshape(height, -1), ((0, 0), (0, -width * channels % 4)))
    info = bytearray(original.info)
    start = _FILE_HEADER + len(info) + len(palette)
    end = start + rows.nbytes
    if end > 0xFFFF_FFFF:
        raise UnsupportedImage("upscaled, it exceeds the 4 GiB that BMP can hold")
    struct.pack_into("<2l", info, 4, width, height if original.height > 0 else -height)
    struct.pack_into("<H2L", info, 14, 8 * channels, BIT_FIELDS if original.alpha else UNCOMPRESSED, rows.nbytes)
    struct.pack_into("<2L", info, 32, len(palette) // 4, 0)
    if original.alpha:
        struct.pack_into("<4L", info, 40, *_BGRA_MASKS)
    profile = data[:0]
    if len(info) == V5:
        at, size = struct.unpack_from("<2L", info, 112)
        profile = data[_FILE_HEADER + at : _FILE_HEADER + at + size]
        struct.pack_into("<L", info, 112, end - _FILE_HEADER if profile else at)
    head = struct.pack("<2sLHHL", b"BM", end + len(profile), 0, 0, start)
    return b"".join((head, info, palette, rows.data.cast("B"), profile))
