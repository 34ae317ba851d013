"""TIFF: tifffile's samples, upscaled, in new strips under each page's own fields."""

import io
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
import tifffile

from scaler.images.codecs import pixels, preview
from scaler.images.codecs.pixels import Pixels
from scaler.images.metadata import exif, xmp
from scaler.images.probe import UnsupportedImage, tiff
from scaler.images.probe.tiff import Directory, Field, Tiff

_XMP = 700
_COMPRESSIONS = {1: "none", 8: "adobe_deflate", 32773: "packbits", 32946: "adobe_deflate"}
_PHOTOMETRICS = {tiff.MIN_IS_WHITE: "miniswhite", tiff.MIN_IS_BLACK: "minisblack", tiff.CMYK: "separated"}
_STRIP = 1 << 18
"""Bytes of a strip, about."""
# Fields that describe how the old pixels were stored: sizes, samples, compression, strips, tiles, palette, JPEG tables,
# fax options, subsampling, black and white points of YCbCr.
_STORAGE = {
    *(256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292, 293),
    *(301, 317, 320, 321, 322, 323, 324, 325, 326, 327, 328, 339, 340, 341, 347, 529, 530, 531, 532),
    *range(512, 522),
}
_DIRECTORIES = (tiff.EXIF, tiff.GPS, tiff.INTEROPERABILITY)


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale every page of a TIFF: same depth, alpha, colour model, tags; stored as it was compressed, or LZW.

    Raises:
        UnsupportedImage: damaged.
    """
    original = Tiff(data)
    writer = _Writer()
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            for number, page in enumerate(original.pages()):
                stored = shown(file.pages[number].asarray(maxworkers=1), original, page)
                if original.number(page, tiff.PHOTOMETRIC, -1) != tiff.CMYK:
                    preview.offer(pixels.reversed_colours(stored))
                image = pixels.upscaled(stored, alpha=original.straight_alpha(page))
                height, width = image.shape[:2]
                encoded = _encoded(image, original, page)
                del image
                writer.page(Tiff(encoded), original, page, width, height)
                del encoded
    except UnsupportedImage:
        raise
    except Exception as error:  # decoders raise arbitrary exceptions
        raise UnsupportedImage(f"tifffile cannot read it: {error}") from error
    return writer.file()


def shown(samples: Pixels, original: Tiff, page: Directory) -> Pixels:
    """Decoded samples as height x width (x channels), of 8 bits at least; a palette's are its colours."""
    if original.number(page, tiff.PLANES, 1) == 2 and samples.ndim == 3:
        samples = np.moveaxis(samples, 0, 2)
    colours = np.array(original.numbers(page, tiff.COLOUR_MAP)).reshape(3, -1).T
    if original.number(page, tiff.PHOTOMETRIC, -1) == tiff.PALETTE:
        # Some writers store bytes, against the specification, as libtiff also handles.
        return (colours >> (8 if colours.max() > 0xFF else 0)).astype(np.uint8)[samples.astype(np.intp)]
    bits = original.number(page, tiff.BITS, 1)
    if bits < 8:
        samples = samples.astype(np.uint8) * (255 // (2**bits - 1))
    return np.ascontiguousarray(samples)


def _encoded(image: Pixels, original: Tiff, page: Directory) -> memoryview:
    """A TIFF of one page."""
    photometric = _PHOTOMETRICS.get(original.number(page, tiff.PHOTOMETRIC, -1), "rgb")
    compression = _COMPRESSIONS.get(original.number(page, tiff.COMPRESSION, 1), "lzw")
    predictor = None if compression in ("none", "packbits") else 3 if image.dtype.kind == "f" else 2
    return memoryview(
        imagecodecs.tiff_encode(
            image,
            photometric=photometric,
            compression=compression,
            rowsperstrip=max(1, _STRIP // image[0].nbytes),
            predictor=predictor,
        )
    )


class _Writer:
    """A little-endian TIFF that grows page by page."""

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = [b"II*\0", b"\0\0\0\0"]
        self.length = 8
        self.link = 1  # the part that will point to the next page

    def page(self, encoded: Tiff, original: Tiff, page: Directory, width: int, height: int) -> None:
        """Append the only page of `encoded` under the fields of the original page."""
        new = next(encoded.pages())
        fields = {tag: (field.kind, field.count, field.raw) for tag, field in new.fields.items() if tag in _STORAGE}
        offsets = [self._append(strip) for strip in _strips(encoded, new)]
        fields[tiff.STRIP_OFFSETS] = (4, len(offsets), struct.pack(f"<{len(offsets)}L", *offsets))
        for field in _updated(original, page, width, height).values():
            if field.tag not in _STORAGE:
                fields[field.tag] = self._copied(original, field, width, height)
        at, link = self._directory(fields)
        self.parts[self.link] = struct.pack("<L", at)
        self.link = link

    def _copied(self, original: Tiff, field: Field, width: int, height: int) -> tuple[int, int, bytes | memoryview]:
        if field.tag in _DIRECTORIES:
            pointer = original.pointer(field)
            below = _updated(original, original.directory(pointer), width, height)
            fields = {tag: self._copied(original, inner, width, height) for tag, inner in below.items()}
            return 4, 1, struct.pack("<L", self._directory(fields)[0])
        if field.tag == _XMP:
            packet = xmp.upscale_sizes(field.raw)
            return field.kind, len(packet) // tiff.SIZES[field.kind], packet
        return field.kind, field.count, _little(field, original.order)

    def _directory(self, fields: dict[int, tuple[int, int, bytes | memoryview]]) -> tuple[int, int]:
        """Append a directory; return its offset, and the part that holds the link to the next."""
        entries = []
        for tag, (kind, count, raw) in sorted(fields.items()):
            value = bytes(raw).ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<L", self._append(raw))
            entries.append(struct.pack("<HHL", tag, kind, count) + value)
        at = self._append(struct.pack("<H", len(entries)) + b"".join(entries))
        self._append(b"\0\0\0\0")
        return at, len(self.parts) - 1

    def _append(self, part: bytes | memoryview) -> int:
        """Append at an even offset, which is returned."""
        if self.length & 1:
            self.parts.append(b"\0")
            self.length += 1
        at = self.length
        self.parts.append(part)
        self.length += len(part)
        return at

    def file(self) -> bytes:
        if self.length > 0xFFFF_FFFF:
            raise UnsupportedImage("upscaled, it exceeds the 4 GiB that TIFF can hold")
        return b"".join(self.parts)


def _strips(encoded: Tiff, page: Directory) -> Iterator[memoryview]:
    places = zip(encoded.numbers(page, tiff.STRIP_OFFSETS), encoded.numbers(page, tiff.STRIP_COUNTS), strict=True)
    view = memoryview(encoded.data)
    return (view[at : at + count] for at, count in places)


def _updated(original: Tiff, directory: Directory, width: int, height: int) -> dict[int, Field]:
    """A directory's fields, those that state pixels upscaled."""
    return directory.fields | {field.tag: field for field in exif.upscaled_fields(original, directory, width, height)}


def _little(field: Field, order: str) -> bytes | memoryview:
    """A field's items in little-endian order."""
    size = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}.get(field.kind, 1)
    if order == "<" or size == 1:
        return field.raw
    return b"".join(bytes(field.raw[at : at + size])[::-1] for at in range(0, len(field.raw), size))
