"""TIFF: new strips, page by page, under the original's own fields."""

import struct
from collections.abc import Iterator

import cv2

from scaler.images.codecs import pixels
from scaler.images.metadata import exif, xmp
from scaler.images.probe import UnsupportedImage, tiff
from scaler.images.probe.tiff import Directory, Field, Tiff

_XMP = 700
_COMPRESSIONS = {
    1: cv2.IMWRITE_TIFF_COMPRESSION_NONE,
    8: cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE,
    32773: cv2.IMWRITE_TIFF_COMPRESSION_PACKBITS,
    32946: cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE,
}
# Fields that describe how the old pixels were stored: sizes, samples, compression, strips, tiles, palette, JPEG tables,
# fax options, subsampling, black and white points of YCbCr.
_STORAGE = {
    *(256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292, 293),
    *(301, 317, 320, 321, 322, 323, 324, 325, 326, 327, 328, 339, 340, 341, 347, 529, 530, 531, 532),
    *range(512, 522),
}
_DIRECTORIES = (tiff.EXIF, tiff.GPS, tiff.INTEROPERABILITY)


def upscale(data: bytes, quality: int) -> bytes:
    """Double every page of a TIFF: same depth, alpha, colour model, tags; stored as it was compressed, or LZW.

    Raises:
        UnsupportedImage: damaged.
    """
    original = Tiff(data)
    writer = _Writer()
    for page in original.pages():
        alpha = original.straight_alpha(page)
        image = pixels.upscaled(pixels.decode(_single(data, original, page)), alpha=alpha)
        compression = _COMPRESSIONS.get(original.number(page, tiff.COMPRESSION, 1), cv2.IMWRITE_TIFF_COMPRESSION_LZW)
        height, width = image.shape[:2]
        encoded = pixels.encode(".tif", image, (cv2.IMWRITE_TIFF_COMPRESSION, compression))
        del image
        writer.page(Tiff(encoded), original, page, width, height)
        del encoded
    return writer.file()


def _single(data: bytes, original: Tiff, page: Directory) -> bytes | bytearray:
    """The file with this page first, such that OpenCV gives its samples as they are stored.

    Left alone, it turns the page upright, multiplies colours by alpha, and turns inverted grey and CMYK into others.
    """
    changes = {tiff.ORIENTATION: 1, tiff.EXTRA_SAMPLES: 0}
    photometric = original.number(page, tiff.PHOTOMETRIC, -1)
    if photometric in (tiff.MIN_IS_WHITE, tiff.CMYK):
        changes[tiff.PHOTOMETRIC] = tiff.MIN_IS_BLACK if photometric == tiff.MIN_IS_WHITE else tiff.RGB
    fields = [(page.fields[tag], value) for tag, value in changes.items() if tag in page.fields]
    fields = [(field, value) for field, value in fields if original.number(page, field.tag, value) != value]
    if original.first == page.at and not fields:
        return data
    copy = bytearray(data)
    struct.pack_into(original.order + "L", copy, 4, page.at)
    for field, value in fields:
        struct.pack_into(original.order + "H", copy, field.at, value)
    return copy


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
        photometric = original.number(page, tiff.PHOTOMETRIC, -1)
        if photometric in (tiff.MIN_IS_WHITE, tiff.CMYK):
            fields[tiff.PHOTOMETRIC] = (3, 1, struct.pack("<H", photometric))
        for field in _updated(original, page, width, height).values():
            if field.tag not in _STORAGE:
                fields[field.tag] = self._copied(original, field, width, height)
        at, link = self._directory(fields)
        self.parts[self.link] = struct.pack("<L", at)
        self.link = link

    def _copied(self, original: Tiff, field: Field, width: int, height: int) -> tuple[int, int, bytes]:
        if field.tag in _DIRECTORIES:
            pointer = original.pointer(field)
            below = _updated(original, original.directory(pointer), width, height)
            fields = {tag: self._copied(original, inner, width, height) for tag, inner in below.items()}
            return 4, 1, struct.pack("<L", self._directory(fields)[0])
        if field.tag == _XMP:
            packet = xmp.double_sizes(field.raw)
            return field.kind, len(packet) // tiff.SIZES[field.kind], packet
        return field.kind, field.count, _little(field, original.order)

    def _directory(self, fields: dict[int, tuple[int, int, bytes]]) -> tuple[int, int]:
        """Append a directory; return its offset, and the part that holds the link to the next."""
        entries = []
        for tag, (kind, count, raw) in sorted(fields.items()):
            value = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<L", self._append(raw))
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
    return directory.fields | {field.tag: field for field in exif.doubled_fields(original, directory, width, height)}


def _little(field: Field, order: str) -> bytes:
    """A field's items in little-endian order."""
    size = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}.get(field.kind, 1)
    if order == "<" or size == 1:
        return field.raw
    return b"".join(field.raw[at : at + size][::-1] for at in range(0, len(field.raw), size))
