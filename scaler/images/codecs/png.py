"""PNG: new pixels between the original's own chunks."""

import struct
import zlib

import cv2
import numpy as np

from scaler.images.codecs import pixels
from scaler.images.codecs.pixels import Pixels
from scaler.images.metadata import exif, xmp
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.png import GREY, GREY_ALPHA, PALETTE, RGB, RGB_ALPHA, SIGNATURE, Chunk, Png, read

_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 2, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP)
_IMAGE = {b"PLTE", b"tRNS", b"IDAT"}
_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale a PNG: same depth, alpha kept, palettes turned into their colours.

    Raises:
        UnsupportedImage: damaged, or with content that would be wrong in an upscaled copy.
    """
    original = read(data)
    if original.first(b"caBX") is not None:
        raise UnsupportedImage("it carries signed content credentials, which a changed image would break")
    stored = decode(data, original)
    image = pixels.upscaled(stored, alpha=stored.shape[2:] == (4,))
    del stored
    height, width = image.shape[:2]
    colour = _colour(image, original)
    body = [chunk(b"IDAT", payload) for payload in encode(image, colour)]
    del image
    ihdr = struct.pack(">2L5B", width, height, 16 if original.depth == 16 else 8, colour, 0, 0, 0)
    return b"".join((SIGNATURE, chunk(b"IHDR", ihdr), *around(original, body, ihdr), memoryview(data)[original.end :]))


def decode(data: bytes, original: Png) -> Pixels:
    """Decode the (first) image, including the transparency of grey images, which OpenCV ignores."""
    image = pixels.decode(data)
    key = original.first(b"tRNS")
    if key is None or original.colour == PALETTE or (image.ndim == 3 and image.shape[2] == 4):
        return image
    top = 0xFFFF if original.depth == 16 else 0xFF
    scale = top // (2**original.depth - 1)
    colour = [int.from_bytes(key[at : at + 2]) * scale for at in range(0, len(key), 2)][::-1]
    hidden = image == colour[0] if image.ndim == 2 else np.all(image == colour, axis=2)
    alpha = np.where(hidden, 0, top).astype(image.dtype)
    return np.dstack((image, image, image, alpha) if image.ndim == 2 else (image, alpha))


def _colour(image: Pixels, original: Png) -> int:
    """Colour type in which these pixels are written."""
    if image.ndim == 2:
        return GREY
    if image.shape[2] == 3:
        return RGB
    return GREY_ALPHA if original.colour in (GREY, GREY_ALPHA) else RGB_ALPHA


def encode(image: Pixels, colour: int) -> list[bytes | memoryview]:
    """Encode; return the payloads of IDAT chunks."""
    if colour == GREY_ALPHA:  # which OpenCV cannot write
        return [_deflated(image[:, :, ::3])]
    encoded = pixels.encode(".png", image, _FAST)
    return [found.payload for found in read(encoded).chunks if found.kind == b"IDAT"]


def _deflated(image: Pixels) -> bytes:
    rows = np.ascontiguousarray(image.astype(image.dtype.newbyteorder(">")))
    rows = rows.view(np.uint8).reshape(len(rows), -1)
    lines = np.full((len(rows), 1 + rows.shape[1]), 2, np.uint8)  # 2: each row is the difference to the one above
    lines[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    return zlib.compress(memoryview(lines), 1)


def chunk(kind: bytes, payload: bytes | memoryview) -> bytes:
    """One chunk with length and checksum."""
    checksum = zlib.crc32(payload, zlib.crc32(kind))
    return b"".join((struct.pack(">L", len(payload)), kind, payload, struct.pack(">L", checksum)))


def around(original: Png, body: list[bytes], ihdr: bytes) -> list[bytes | memoryview]:
    """The original's chunks with the new image in place of the old one, and the end."""
    parts: list[bytes | memoryview] = []
    done = False
    for old in original.chunks:
        if old.kind == b"IDAT":
            parts += [] if done else body
            done = True
        elif (kept := _kept(old, original, ihdr)) is not None:
            parts.append(chunk(old.kind, kept))
    return [*parts, chunk(b"IEND", b"")]


def _kept(old: Chunk, original: Png, ihdr: bytes) -> bytes | memoryview | None:
    """Payload of a chunk in the upscaled image; None if the new pixels make it pointless."""
    width, height, depth, colour = struct.unpack_from(">2L2B", ihdr)
    same = (depth, colour) == (original.depth, original.colour)
    if old.kind in _ANIMATION or old.kind == b"tRNS":
        return None
    if old.kind in (b"PLTE", b"hIST"):
        return None if original.colour == PALETTE else old.payload
    if old.kind == b"sBIT":
        return old.payload if same else None
    if old.kind == b"bKGD":
        return old.payload if same else _background(old.payload, original, colour)
    if old.kind == b"eXIf":
        return exif.upscale_sizes(old.payload, width, height)
    if old.kind == b"iTXt" and old.payload[: len(_XMP)] == _XMP:
        return _XMP + xmp.upscale_sizes(old.payload[len(_XMP) :])
    return old.payload


def _background(payload: memoryview, original: Png, colour: int) -> bytes | None:
    """The background colour for another depth or colour type."""
    if original.colour == PALETTE:
        palette = original.first(b"PLTE") or b""
        samples = list(palette[3 * payload[0] : 3 * payload[0] + 3])
    else:
        scale = 255 // (2**original.depth - 1) if original.depth < 8 else 1
        samples = [int.from_bytes(payload[at : at + 2]) * scale for at in range(0, len(payload), 2)]
    if len(samples) != (1 if colour in (GREY, GREY_ALPHA) else 3):
        return None
    return struct.pack(f">{len(samples)}H", *samples)
