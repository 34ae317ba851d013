"""JPEG 2000: a new codestream in the original's own boxes."""

import struct

import cv2

from scaler.images.codecs import pixels
from scaler.images.metadata import exif, xmp
from scaler.images.probe.isobmff import Box, make_box, read_boxes
from scaler.images.probe.jp2 import read

_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_LOSSLESS = (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale a JPEG 2000, without loss; a bare codestream stays bare.

    Raises:
        UnsupportedImage: damaged, or of a kind that cannot be kept.
    """
    original = read(data)
    image = pixels.upscaled(pixels.decode(data), alpha=original.straight_alpha)
    height, width = image.shape[:2]
    encoded = pixels.encode(".jp2", image, _LOSSLESS)
    del image
    stream = next(box.payload for box in read_boxes(encoded) if box.kind == b"jp2c")
    if not original.boxes:
        return bytes(stream)
    return b"".join(make_box(box.kind, *_payload(box, stream, width, height)) for box in original.boxes)


def _payload(box: Box, stream: memoryview, width: int, height: int) -> tuple[bytes | memoryview, ...]:
    """A box's payload in the upscaled file."""
    if box.kind == b"jp2c":
        return (stream,)
    if box.kind == b"jp2h":
        return tuple(make_box(inner.kind, *_payload(inner, stream, width, height)) for inner in box.children)
    if box.kind == b"ihdr":
        return struct.pack(">2L", height, width), box.payload[8:]
    if box.kind == b"uuid" and bytes(box.payload[:16]) == _EXIF:
        return _EXIF, exif.upscale_sizes(box.payload[16:], width, height)
    if box.kind == b"uuid" and bytes(box.payload[:16]) == _XMP:
        return _XMP, xmp.upscale_sizes(box.payload[16:])
    return (box.payload,)
