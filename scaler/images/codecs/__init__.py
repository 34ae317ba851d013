"""Doubles width and height and changes nothing else: bytes in, bytes out. The only place that imports OpenCV."""

from collections.abc import Callable

from scaler.images.codecs import (
    avif,
    bmp,
    gif,
    independent,
    jp2,
    jpeg,
    png,
    png_animation,
    pnm,
    preview,
    tiff,
    webp,
    webp_animation,
)
from scaler.images.probe import Header, UnsupportedImage, describe, read_header

__all__ = ["upscale", "upscale_with_thumbnail"]

_STILL: dict[str, Callable[[bytes, int], bytes]] = {
    "AVIF": avif.upscale,
    "BMP": bmp.upscale,
    "GIF": gif.upscale,
    "JPEG": jpeg.upscale,
    "JPEG 2000": jp2.upscale,
    "PNG": png.upscale,
    "PNM": pnm.upscale,
    "TIFF": tiff.upscale,
    "WebP": webp.upscale,
}
_ANIMATED: dict[str, Callable[[bytes, int], bytes]] = {
    "GIF": gif.upscale,
    "PNG": png_animation.upscale,
    "WebP": webp_animation.upscale,
}


def upscale(data: bytes, *, quality: int = 95) -> bytes:
    """Return the image with twice the width and height, in the same format, with everything else it carries.

    `quality` (1 to 100) is for lossy formats.

    Raises:
        UnsupportedImage: this image cannot be upscaled without losing something.
    """
    header = read_header(data)
    result = (_ANIMATED if header.animated else _STILL)[header.format](data, quality)
    _verify(header, result)
    if not header.everyday:
        independent.verify(header, data, result, quality)
    return result


def upscale_with_thumbnail(data: bytes, *, quality: int = 95) -> tuple[bytes, bytes]:
    """The same, and a thumbnail of it as JPEG; empty if none could be made.

    Raises:
        UnsupportedImage: as `upscale`.
    """
    with preview.collecting(data) as collected:
        return upscale(data, quality=quality), collected.jpeg


def _verify(original: Header, result: bytes) -> None:
    """A silent encoder failure must not cost an original."""
    try:
        header = describe(result)
    except UnsupportedImage as fault:
        raise UnsupportedImage(f"the upscaled image is wrong: {fault.reason}") from fault
    expected = (original.format, 2 * original.width, 2 * original.height, original.frames)
    if (header.format, header.width, header.height, header.frames) != expected:
        raise UnsupportedImage(f"the upscaled image is {header.format} of {header.width} x {header.height} pixels")
