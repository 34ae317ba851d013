"""AVIF: new images with the original's description, in a new file."""

import struct
from collections.abc import Sequence

import imagecodecs
import numpy as np

from scaler.images.codecs import pixels
from scaler.images.codecs.pixels import Pixels
from scaler.images.metadata import exif, xmp
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.avif import ALPHA, IDENTITY, XMP_TYPE, Avif, Item, coding, colours, is_lossless, matrix, read
from scaler.images.probe.isobmff import Box, make_box

_SIZE_AND_CODING = {b"ispe", b"pixi", b"av1C"}
_TURNS = {b"irot", b"imir"}
_CHROMA = {(2, 2): "YUV420", (2, 1): "YUV422", (1, 1): "YUV444"}
_SPEED = 9
"""Of the encoder, from 0 to 10: second fastest, with larger files and equally accurate colours."""
_FINER = 4
"""Extra quality that 4:2:2 and 4:4:4 need at this speed to match libheif (in vips, ImageMagick)."""
_FINE = 6
"""Bits kept below the whole number until the last rounding."""
_LEAN = (34, -20, 27, 0)
"""What is added to B, G, R and A, in those bits: 0.3 of a step of both chroma planes; nothing to grey."""

type Association = tuple[bytes, bool]
"""A property box, and whether a reader must understand it."""


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale a still AVIF: depth, alpha, colour description, turns and metadata kept, lossless where it seems to be.

    Raises:
        UnsupportedImage: damaged.
    """
    original = read(data)
    bits, _, subsampling = coding(original)
    lossless = is_lossless(original)
    stored = pixels.decode(_plain(original))
    alpha = original.alpha is not None
    image = _balanced(stored) if bits == 8 and not lossless else pixels.upscaled(stored, alpha=alpha)
    del stored
    height, width = image.shape[:2]
    encoded = read(_encoded(image, bits, _CHROMA[subsampling], quality, lossless=lossless))
    del image
    colour = _described(encoded.primary, [*_descriptions(original, encoded)])
    images = [(colour, encoded.data(encoded.primary))]
    if encoded.alpha is not None:
        turns = [(_boxed(box), True) for box in original.primary.properties if box.kind in _TURNS]
        images.append((_described(encoded.alpha, turns), encoded.data(encoded.alpha)))
    metadata = []
    if original.exif is not None:
        metadata.append((b"Exif\0" + b"\0", _exif(original.data(original.exif), width, height)))
    if original.xmp is not None:
        metadata.append((b"mime\0" + XMP_TYPE + b"\0", xmp.upscale_sizes(original.data(original.xmp))))
    return _file(images, metadata)


def _encoded(image: Pixels, bits: int, chroma: str, quality: int, *, lossless: bool) -> bytes:
    try:
        encoded = imagecodecs.avif_encode(
            pixels.reversed_colours(image),
            100 if lossless else quality if chroma == "YUV420" else max(quality, min(quality + _FINER, 99)),
            speed=_SPEED,
            bitspersample=bits,
            pixelformat="YUV400" if image.ndim == 2 else "YUV444" if lossless else chroma,
            matrix=IDENTITY if lossless and image.ndim == 3 else None,
            numthreads=1,
        )
    except (imagecodecs.AvifError, ValueError) as error:
        raise UnsupportedImage(f"imagecodecs cannot encode the upscaled image: {error}") from error
    return bytes(encoded)


def _balanced(image: Pixels) -> Pixels:
    """Upscale 8-bit colours, compensating for the shift that follows.

    libavif's conversion to brightness and chroma rounds the chroma down, which would take a little red and blue away
    at each saving.
    """
    fine = pixels.upscaled(image.astype(np.int16) << _FINE, alpha=image.shape[2:] == (4,)).view(np.int16)
    fine += np.array(_LEAN[: image.shape[2]] if image.ndim == 3 else 0, np.int16) + (1 << _FINE - 1)
    fine >>= _FINE
    np.clip(fine, 0, 255, out=fine)
    return fine.astype(np.uint8)


def _plain(original: Avif) -> bytes | memoryview:
    """The file without its metadata: OpenCV ignores files whose metadata is far from the start."""
    if original.primary.kind == b"grid":
        return original.file
    images = []
    for item in (original.primary, original.alpha):
        if item is not None:
            kept = [box for box in item.properties if box.kind not in _TURNS and not _profile(box)]
            images.append(([(_boxed(box), box.kind in item.essential) for box in kept], original.data(item)))
    return _file(images, [])


def _profile(box: Box) -> bool:
    return box.kind == b"colr" and matrix(box.payload) is None


def _boxed(box: Box) -> bytes:
    return make_box(box.kind, box.payload)


def _descriptions(original: Avif, encoded: Avif) -> list[Association]:
    """The original's image properties except size and coding; the colour matrix is the encoder's."""
    found: list[Association] = []
    new = next((colour for colour in colours(encoded) if matrix(colour) is not None), None)
    stated = False
    for box in original.primary.properties:
        if box.kind in _SIZE_AND_CODING:
            continue
        body = _boxed(box)
        if box.kind == b"colr" and new is not None and matrix(box.payload) is not None:
            body, stated = make_box(b"colr", box.payload[:8], new[8:]), True
        found.append((body, box.kind in original.primary.essential))
    if not stated and new is not None:
        unspecified = struct.pack(">2H", 2, 2)
        found.append((make_box(b"colr", b"nclx", unspecified, new[8:]), False))
    return found


def _described(item: Item, more: Sequence[Association]) -> list[Association]:
    kept = [box for box in item.properties if box.kind in _SIZE_AND_CODING]
    auxiliary = [(make_box(b"auxC", b"\0\0\0\0", ALPHA), True)] if item.property(b"auxC") is not None else []
    return [*((_boxed(box), box.kind == b"av1C") for box in kept), *auxiliary, *more]


def _exif(block: bytes, width: int, height: int) -> bytes:
    """An Exif item: the offset of the byte-order mark, what precedes it, and the block."""
    start = 4 + int.from_bytes(block[:4])
    return block[:start] + exif.upscale_sizes(block[start:], width, height)


def _file(
    images: Sequence[tuple[list[Association], bytes]], metadata: Sequence[tuple[bytes, bytes | memoryview]]
) -> bytes:
    """A file of an image and perhaps its alpha (their properties and data), and metadata (their types and data)."""
    kinds = [b"av01\0" for _ in images] + [kind for kind, _ in metadata]
    data = [body for _, body in images] + [body for _, body in metadata]
    brand = make_box(b"ftyp", b"avif\0\0\0\0avifmif1miaf")
    meta = _meta(kinds, [properties for properties, _ in images], data, 0)
    meta = _meta(kinds, [properties for properties, _ in images], data, len(brand) + len(meta) + 8)
    return b"".join((brand, meta, make_box(b"mdat", *data)))


def _meta(
    kinds: Sequence[bytes], described: Sequence[list[Association]], data: Sequence[bytes | memoryview], at: int
) -> bytes:
    """The description of all items, whose data is contiguous from `at`."""
    infos, places = [], []
    for number, (kind, body) in enumerate(zip(kinds, data, strict=True), 1):
        infos.append(make_box(b"infe", struct.pack(">4B2H", 2, 0, 0, 0, number, 0), kind))
        places.append(struct.pack(">3H2L", number, 0, 1, at, len(body)))
        at += len(body)
    count = struct.pack(">H", len(kinds))
    return make_box(
        b"meta",
        bytes(4),
        make_box(b"hdlr", bytes(8), b"pict", bytes(13)),
        make_box(b"pitm", bytes(4), b"\0\1"),
        make_box(b"iloc", bytes(4), b"\x44\0", count, *places),
        make_box(b"iinf", bytes(4), count, *infos),
        *_references(kinds, len(described)),
        _properties(described),
    )


def _references(kinds: Sequence[bytes], images: int) -> list[bytes]:
    found = [make_box(b"auxl", struct.pack(">3H", 2, 1, 1))] if images == 2 else []
    found += [make_box(b"cdsc", struct.pack(">3H", number, 1, 1)) for number in range(images + 1, len(kinds) + 1)]
    return [make_box(b"iref", bytes(4), *found)] if found else []


def _properties(described: Sequence[list[Association]]) -> bytes:
    bodies: list[bytes] = []
    associations = []
    for number, properties in enumerate(described, 1):
        associations.append(struct.pack(">HB", number, len(properties)))
        for body, essential in properties:
            bodies.append(body)
            associations.append(bytes((len(bodies) | (0x80 if essential else 0),)))
    together = make_box(b"ipma", bytes(4), struct.pack(">L", len(described)), *associations)
    return make_box(b"iprp", make_box(b"ipco", *bodies), together)
