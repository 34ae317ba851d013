"""Windows bitmaps (Microsoft, "Bitmap Storage"; BITMAPV5HEADER): header, colour masks, embedded profile."""

import struct
from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage

SHORT, LONG, V4, V5 = 12, 40, 108, 124
_SIZES = {SHORT, LONG, 52, 56, V4, V5}
UNCOMPRESSED, RLE8, RLE4, BIT_FIELDS = 0, 1, 2, 3
_BGRA = (0x00FF_0000, 0x0000_FF00, 0x0000_00FF)


@dataclass(frozen=True, slots=True)
class Bmp:
    """The headers in front of the pixels."""

    info: bytes
    """The information header, of 40 bytes or more."""
    width: int
    height: int
    """Positive; `top_down` says which row comes first."""
    top_down: bool
    bits: int
    compression: int
    masks: tuple[int, ...]
    """Of red, green, blue and, in headers that have one, alpha."""
    start: int
    """Offset of the first pixel."""

    @property
    def raw(self) -> bool:
        """Stored as four plain bytes a pixel, the fourth of which OpenCV may pass over."""
        fields = self.compression == BIT_FIELDS and self.masks[:3] == _BGRA
        return self.bits == 32 and (self.compression == UNCOMPRESSED or fields)


def read(data: bytes | memoryview) -> Bmp:
    """Read the headers, and check that all pixels are there.

    Raises:
        UnsupportedImage: damaged, cut off, or of an unknown kind.
    """
    try:
        start, size = struct.unpack_from("<2L", data, 10)
        if size not in _SIZES:
            raise UnsupportedImage(f"it is a BMP with a header of {size} bytes, which is not known")
        if size == SHORT:
            width, height, planes, bits = struct.unpack_from("<4H", data, 18)
            info = struct.pack("<LllHH6L", LONG, width, height, planes, bits, 0, 0, 0, 0, 0, 0)
        else:
            info = bytes(data[14 : 14 + size])
            width, height, planes, bits = struct.unpack_from("<2l2H", info, 4)
        (compression,) = struct.unpack_from("<L", info, 16)
        masks = struct.unpack_from("<3L" if len(info) <= 52 else "<4L", data, 54) if compression == BIT_FIELDS else ()
    except struct.error as error:
        raise UnsupportedImage("the BMP is cut off") from error
    if compression not in (UNCOMPRESSED, RLE8, RLE4, BIT_FIELDS) or bits not in (1, 2, 4, 8, 16, 24, 32):
        raise UnsupportedImage(
            f"it is a BMP of {bits} bits and compression {compression}, which OpenCV does not decode"
        )
    rows = abs(height) * ((width * bits + 31) // 32 * 4) if compression in (UNCOMPRESSED, BIT_FIELDS) else 1
    if start + rows > len(data):
        raise UnsupportedImage("the BMP is cut off")
    return Bmp(info, width, abs(height), height < 0, bits, compression, masks, start)


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        UnsupportedImage: damaged, cut off, or of an unknown kind.
    """
    bmp = read(data)
    return Header("BMP", bmp.width, bmp.height, 4 if bmp.bits == 32 else 3, 8)
