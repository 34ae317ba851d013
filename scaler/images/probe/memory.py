"""How much memory it takes to upscale an image, estimated from its header."""

from scaler.images.probe.header import Header

_SMALL_THINGS = 16 << 20
_COPIES = 4
"""Copies of the non-pixel data: read, changed, written, and read back."""


def needed(header: Header) -> int:
    """Bytes that decoding, upscaling and encoding hold at one time, at most.

    First the image and the upscaled one are in memory; then the upscaled one, the encoder's buffers and its result. The
    figures for the encoders were measured with noise, which compresses worst, and rounded up.
    """
    pixels = header.width * header.height
    depth = header.channels * header.bits // 8
    coding = 5 * pixels * depth + int(4 * pixels * _per_pixel(header, depth)) + _encoded(header)
    return max(coding, _verifying(header, pixels, depth)) + _COPIES * header.size + _SMALL_THINGS


def _verifying(header: Header, pixels: int, depth: int) -> int:
    """What the comparison with another library's reading holds: both files, the result, and what is expected of it.

    Pillow's own pixels take four bytes, and are copied.
    """
    if header.everyday:
        return 0
    samples = max(depth, 4) if header.bits == 8 else depth
    frames = header.frames if header.format == "GIF" else 1
    return pixels * (14 * samples + 5 * samples * (frames - 1) + 4 * depth * (frames if header.animated else 1))


def _encoded(header: Header) -> int:
    """A JPEG's result, which grows with the original's size as much as with its pixels."""
    if header.format != "JPEG":
        return 0
    return int(min(1.4 * 4 * header.width * header.height * _samples(header), 12 * header.size))


def _samples(header: Header) -> float:
    return 1 + 2 * header.chroma if header.channels == 3 else header.channels


def _per_pixel(header: Header, depth: int) -> float:
    """Bytes that encoding adds for each pixel of the upscaled image; `depth` is the bytes of one pixel."""
    frames = header.frames if header.animated else 0
    match header.format:
        case "JPEG":
            return 2.2 * _samples(header) if header.progressive else 0.1
        case "PNG":
            return 2.2 * depth + 2 * depth * frames
        case "TIFF":
            return 3 * depth + 2 * depth * (header.frames - 1)
        case "GIF":
            return 110 + 4 * frames
        case "WebP":
            return (45 if header.lossless or header.channels == 4 else 16) + 4 * frames
        case "AVIF":
            return (18 + 38 * header.chroma + (16 if header.channels == 4 else 0)) * header.bits / 8
        case "JPEG 2000":
            return 8.5 * header.channels + 2 * depth
        case _:
            return 2 * depth
