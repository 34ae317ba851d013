"""Windows bitmaps: new rows behind the original's own header."""

import struct

import numpy as np

from scaler.images.codecs import pixels
from scaler.images.codecs.pixels import Pixels
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.bmp import LONG, UNCOMPRESSED, V5, Bmp, read

_FILE_HEADER = 14
_GREY = b"".join(bytes((value, value, value, 0)) for value in range(256))


def upscale(data: bytes, quality: int) -> bytes:
    """Double a BMP: 32 bits keep all four bytes, grey palettes stay grey, others become 24 bits; not compressed.

    Raises:
        UnsupportedImage: damaged.
    """
    original = read(data)
    stored = _stored(data, original) if original.raw else pixels.decode(data)
    image = pixels.upscaled(stored, alpha=any(original.masks[3:]))
    return _file(image if original.top_down else image[::-1], original, memoryview(data))


def _stored(data: bytes, original: Bmp) -> Pixels:
    """All four bytes of each pixel, rows from the top down."""
    size = original.width * original.height * 4
    rows = np.frombuffer(data, np.uint8, size, original.start).reshape(original.height, original.width, 4)
    return rows if original.top_down else np.ascontiguousarray(rows[::-1])


def _file(image: Pixels, original: Bmp, data: memoryview) -> bytes:
    height, width = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    palette = _GREY if channels == 1 else b""
    body = _rows(image)
    info = bytearray(original.info)
    compression = original.compression if original.raw else UNCOMPRESSED
    masks = data[54:66] if compression and len(info) == LONG else data[:0]  # behind the header, in longer ones in it
    start = _FILE_HEADER + len(info) + len(masks) + len(palette)
    end = start + body.nbytes
    if end > 0xFFFF_FFFF:
        raise UnsupportedImage("upscaled, it exceeds the 4 GiB that BMP can hold")
    profile = _profile(original, data)
    struct.pack_into("<2l", info, 4, width, -height if original.top_down else height)
    struct.pack_into("<H2L", info, 14, 8 * channels, compression, body.nbytes)
    struct.pack_into("<2L", info, 32, len(palette) // 4, 0)
    if profile:
        struct.pack_into("<L", info, 112, end - _FILE_HEADER)
    head = struct.pack("<2sLHHL", b"BM", end + len(profile), 0, 0, start)
    return b"".join((head, info, masks, palette, body.data.cast("B"), profile))


def _rows(image: Pixels) -> Pixels:
    """Rows filled up to multiples of four bytes."""
    rows = image.reshape(len(image), -1)
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))))


def _profile(original: Bmp, data: memoryview) -> memoryview:
    if len(original.info) < V5:
        return data[:0]
    at, size = struct.unpack_from("<2L", original.info, 112)
    return data[_FILE_HEADER + at : _FILE_HEADER + at + size]
