"""WebP: OpenCV's new image chunks between the original's own."""

import struct

import cv2

from scaler.images.codecs import pixels
from scaler.images.metadata import exif, xmp
from scaler.images.probe.webp import ALPHA_FLAG, Chunk, chunks

_IMAGE = {b"VP8 ", b"VP8L", b"ALPH"}
_EXIF_PREFIX = b"Exif\0\0"


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale a WebP: lossless stays lossless, alpha and metadata are kept.

    Raises:
        UnsupportedImage: damaged.
    """
    original, end = chunks(data)
    stored = pixels.decode(memoryview(data)[:end])
    image = pixels.upscaled(stored, alpha=stored.shape[2] == 4)
    del stored
    height, width = image.shape[:2]
    lossless = any(chunk.kind == b"VP8L" for chunk in original)
    encoded = pixels.encode(".webp", image, parameters(lossless=lossless, quality=quality))
    del image
    return file(_assembled(original, image_chunks(encoded), width, height), memoryview(data)[end:])


def image_chunks(encoded: memoryview) -> list[Chunk]:
    """The chunks that hold the image itself."""
    return [chunk for chunk in chunks(encoded)[0] if chunk.kind in _IMAGE]


def parameters(*, lossless: bool, quality: int) -> tuple[int, int]:
    """OpenCV's parameters for one image."""
    if lossless:  # including colours under transparent pixels
        return cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR
    return cv2.IMWRITE_WEBP_QUALITY, quality


def _assembled(original: tuple[Chunk, ...], new: list[Chunk], width: int, height: int) -> list[bytes]:
    """All chunks of the new file; a plain one stays plain."""
    parts: list[bytes] = []
    done = False
    for old in original:
        if old.kind in _IMAGE:
            parts += [] if done else [make_chunk(chunk.kind, chunk.payload) for chunk in new]
            done = True
        elif old.kind == b"VP8X":
            parts.append(make_chunk(b"VP8X", extended(old.payload, width, height, new)))
        else:
            parts.append(make_chunk(old.kind, kept(old, width, height)))
    if original[0].kind != b"VP8X" and len(new) > 1:
        parts.insert(0, make_chunk(b"VP8X", extended(memoryview(bytes(10)), width, height, new)))
    return parts


def extended(old: memoryview, width: int, height: int, new: list[Chunk]) -> bytes:
    """The payload of VP8X for the new size."""
    flags = old[0]
    if any(chunk.kind == b"ALPH" for chunk in new):
        flags |= ALPHA_FLAG
    return bytes((flags,)) + bytes(old[1:4]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def kept(old: Chunk, width: int, height: int) -> bytes | memoryview:
    """Payload of a chunk of metadata in the upscaled image."""
    if old.kind == b"EXIF":
        prefix = _EXIF_PREFIX if old.payload[: len(_EXIF_PREFIX)] == _EXIF_PREFIX else b""
        return prefix + exif.upscale_sizes(old.payload[len(prefix) :], width, height)
    if old.kind == b"XMP ":
        return xmp.upscale_sizes(old.payload)
    return old.payload


def make_chunk(kind: bytes, payload: bytes | memoryview) -> bytes:
    """One chunk with length and padding."""
    return b"".join((kind, struct.pack("<L", len(payload)), payload, b"\0" * (len(payload) & 1)))


def file(parts: list[bytes], appended: memoryview) -> bytes:
    """A whole file of these chunks, and what followed the original."""
    return b"".join((b"RIFF", struct.pack("<L", 4 + sum(map(len, parts))), b"WEBP", *parts, appended))
