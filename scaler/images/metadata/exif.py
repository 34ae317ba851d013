"""EXIF blocks (CIPA DC-008): fields that state a size in pixels are updated; every other byte stays in place."""

import struct
from collections.abc import Iterator
from dataclasses import replace

from scaler.images.metadata.fields import EXIF_DENSITIES, EXIF_PLACES, EXIF_SIDES
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.tiff import EXIF, INTEROPERABILITY, Directory, Field, Tiff

_SHORT, _LONG, _RATIONAL = 3, 4, 5


def upscale_sizes(block: bytes | memoryview, width: int, height: int) -> bytes:
    """Return an EXIF block (from its byte-order mark on) for an image that is now `width` x `height` pixels.

    Nothing moves, so that the thumbnail and the camera maker's notes stay readable. The thumbnail shows the same
    image and keeps its own size. A block too damaged to be read is returned as it is.
    """
    result = bytearray(block)
    try:
        file = Tiff(block)
        for directory in _directories(file):
            for field in upscaled_fields(file, directory, width, height):
                struct.pack_into(file.order + "H", result, field.entry + 2, field.kind)
                result[field.at : field.at + len(field.raw)] = field.raw
    except UnsupportedImage:
        return bytes(block)
    return bytes(result)


def _directories(file: Tiff) -> Iterator[Directory]:
    """The image's own directory, EXIF's in it, and interoperability's in that."""
    directory = file.directory(file.first)
    yield directory
    for tag in (EXIF, INTEROPERABILITY):
        pointer = file.number(directory, tag, 0)
        if not pointer:
            return
        directory = file.directory(pointer)
        yield directory


def upscaled_fields(file: Tiff, directory: Directory, width: int, height: int) -> Iterator[Field]:
    """Yield the fields of a directory that change when the image becomes `width` x `height`."""
    for tags in EXIF_SIDES:
        old = [file.number(directory, tag, 0) for tag in tags]
        turned = old == [height // 2, width // 2]  # by software that states the sides as they are seen
        for tag, side in zip(tags, (height, width) if turned else (width, height), strict=True):
            field = directory.fields.get(tag)
            if field is not None and field.kind in (_SHORT, _LONG) and field.count == 1:
                kind = _LONG if side > 0xFFFF else field.kind
                yield replace(field, kind=kind, raw=struct.pack(file.order + ("L" if kind == _LONG else "H"), side))
    for tag in EXIF_PLACES:
        places = [2 * place for place in file.numbers(directory, tag)]
        field = directory.fields.get(tag)
        if field is not None and field.kind == _SHORT and max(places) <= 0xFFFF:
            yield replace(field, raw=struct.pack(f"{file.order}{field.count}H", *places))
    for tag in EXIF_DENSITIES:
        field = directory.fields.get(tag)
        if field is not None and field.kind == _RATIONAL:
            above, below = struct.unpack_from(file.order + "2L", field.raw)
            above, below = (2 * above, below) if 2 * above <= 0xFFFF_FFFF else (above, max(below // 2, 1))
            yield replace(field, raw=struct.pack(file.order + "2L", above, below))
