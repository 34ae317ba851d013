"""Windows bitmaps (Microsoft, "Bitmap Storage"; BITMAPV5HEADER): the headers in front of the pixels."""

import struct
from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage

UNCOMPRESSED, BIT_FIELDS, V5 = 0, 3, 124
_SIZES = {40, 52, 56, 108, V5}
_OS2_SIZES = {12, 16, 64}


@dataclass(frozen=True, slots=True)
class Bmp:
    """The headers."""

    info: bytes
    """The information header, of 40 bytes or more."""
    start: int
    """Offset of the first pixel."""
    width: int
    height: int
    """Negative if the first row is the top one."""
    bits: int
    compression: int

    @property
    def alpha(self) -> bool:
        """Whether a mask says where transparency is stored."""
        return self.compression == BIT_FIELDS and any(self.info[52:56])


def read(data: bytes | memoryview) -> Bmp:
    """Read the headers, and check that all pixels are there.

    Raises:
        UnsupportedImage: damaged, cut off, or of an unknown kind.
    """
    try:
        start, size = struct.unpack_from("<2L", data, 10)
        if size in _OS2_SIZES:
            raise UnsupportedImage("it is a BMP with an OS/2 header, which is not supported")
        if size not in _SIZES:
            raise UnsupportedImage(f"it is a BMP with a header of {size} bytes, which is not known")
        width, height, _, bits, compression = struct.unpack_from("<2l2HL", data, 18)
        info = struct.unpack_from(f"{size}s", data, 14)[0]
    except struct.error as error:
        raise UnsupportedImage("the BMP is cut off") from error
    if compression > BIT_FIELDS or bits not in (1, 4, 8, 16, 24, 32):
        raise UnsupportedImage(f"it is a BMP of {bits} bits and compression {compression}, which Pillow does not read")
    rows = abs(height) * ((width * bits + 31) // 32 * 4) if compression in (UNCOMPRESSED, BIT_FIELDS) else 1
    if start + rows > len(data):
        raise UnsupportedImage("the BMP is cut off")
    return Bmp(info, start, width, height, bits, compression)


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        UnsupportedImage: damaged, cut off, or of an unknown kind.
    """
    bmp = read(data)
    return Header("BMP", bmp.width, abs(bmp.height), 4 if bmp.bits == 32 else 3, 8)
