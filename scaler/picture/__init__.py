"""Twice the pixels, and nothing else changed: bytes in, bytes out. The only place that imports OpenCV."""

from collections.abc import Callable

from scaler.formats import Header, Unscalable, describe, read_header
from scaler.picture import apng, avif, awebp, bmp, gif, jp2, jpeg, png, pnm, tiff, webp

__all__ = ["double"]

_STILL: dict[str, Callable[[bytes, int], bytes]] = {
    "AVIF": avif.double,
    "BMP": bmp.double,
    "GIF": gif.double,
    "JPEG": jpeg.double,
    "JPEG 2000": jp2.double,
    "PNG": png.double,
    "PNM": pnm.double,
    "TIFF": tiff.double,
    "WebP": webp.double,
}
_ANIMATED: dict[str, Callable[[bytes, int], bytes]] = {
    "GIF": gif.double,
    "PNG": apng.double,
    "WebP": awebp.double,
}


def double(data: bytes, *, quality: int = 95) -> bytes:
    """Return the picture with twice the width and height, in the same format, with everything else it carries.

    `quality` (1 to 100) is for the formats that lose some when encoding.

    Raises:
        Unscalable: this picture cannot be doubled without losing something.
    """
    header = read_header(data)
    result = (_ANIMATED if header.animated else _STILL)[header.format](data, quality)
    _verify(header, result)
    return result


def _verify(original: Header, result: bytes) -> None:
    """An encoder that fails without saying so must not cost an original."""
    try:
        header = describe(result)
    except Unscalable as fault:
        raise Unscalable(f"the doubled picture came out wrong: {fault.reason}") from fault
    expected = (original.format, 2 * original.width, 2 * original.height, original.frames)
    if (header.format, header.width, header.height, header.frames) != expected:
        raise Unscalable(f"the doubled picture came out as {header.format} of {header.width} x {header.height} pixels")
