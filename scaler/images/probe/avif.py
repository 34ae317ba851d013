"""AVIF (AV1 Image File Format 1.1 on ISO/IEC 23008-12, HEIF; AV1 Bitstream, 5.5): its items and their descriptions."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from scaler.images.probe.header import Header, UnsupportedImage
from scaler.images.probe.isobmff import Box, read_boxes

ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
XMP_TYPE = b"application/rdf+xml"
_DAMAGED = "the AVIF is damaged"
_MOST_EXTENTS, _SEQUENCE_HEADER, _START = 10_000, 1, 256
IDENTITY = 0
"""The matrix of colours that are stored without conversion, as in lossless files."""


@dataclass(slots=True)
class Item:
    """An image or a block of metadata in the file."""

    kind: bytes
    content_type: bytes = b""
    parts: list[tuple[int, int, int]] = field(default_factory=list)
    """Where its data is: 0 for the file or 1 for the `idat` box, offset, length (0: all)."""
    properties: list[Box] = field(default_factory=list)
    essential: set[bytes] = field(default_factory=set)
    references: dict[bytes, list[int]] = field(default_factory=dict)

    def property(self, kind: bytes) -> memoryview | None:
        """Payload of its first property of this kind."""
        return next((box.payload for box in self.properties if box.kind == kind), None)


@dataclass(frozen=True, slots=True)
class Avif:
    """A still AVIF taken apart."""

    file: memoryview
    idat: memoryview
    primary: Item
    coded: Item
    """The primary item, or the first tile of a grid."""
    alpha: Item | None
    exif: Item | None
    xmp: Item | None

    def data(self, item: Item) -> bytes:
        """An item's data.

        Raises:
            UnsupportedImage: they are outside of the file.
        """
        return b"".join(self.parts(item))

    def parts(self, item: Item) -> list[memoryview]:
        """The same, as the pieces in which they are stored."""
        found = []
        for where, at, length in item.parts:
            source = self.idat if where else self.file
            part = source[at : at + length] if length else source[at:]
            if at > len(source) or len(part) < length:
                raise UnsupportedImage("the AVIF is cut off")
            found.append(part)
        return found


def read(data: bytes | memoryview) -> Avif:
    """Take a still AVIF apart without decoding it.

    Raises:
        UnsupportedImage: cut off, damaged, an animation, or with content that could not be kept.
    """
    view = memoryview(data)
    top = {box.kind: box for box in read_boxes(view)}
    if b"moov" in top:
        raise UnsupportedImage("it is an animated AVIF, whose loop count and metadata OpenCV's writer would not keep")
    try:
        meta = {box.kind: box.payload for box in read_boxes(top[b"meta"].payload[4:])}
        items = _items(meta)
        primary = _Cursor(meta[b"pitm"])
        avif = _sorted(items, primary.take(4 if primary.version() else 2), view, meta.get(b"idat", view[:0]))
    except (IndexError, KeyError) as error:
        raise UnsupportedImage(_DAMAGED) from error
    if sum(length or len(view) for item in items.values() for _, _, length in item.parts) > len(view):
        raise UnsupportedImage("the AVIF is damaged: its items take more than the file")
    for item in items.values():
        avif.parts(item)
    return avif


def _sorted(items: dict[int, Item], first: int, file: memoryview, idat: memoryview) -> Avif:
    """Determine what each item is for; skip a file with items that would be lost."""
    primary = items[first]
    if primary.kind not in (b"av01", b"grid"):
        raise UnsupportedImage("it is an AVIF composed of several images, which could not be kept")
    alpha = exif = xmp = None
    tiles = {number for item in items.values() for number in item.references.get(b"dimg", ())}
    for number, item in items.items():
        if first in item.references.get(b"auxl", ()) and bytes(item.property(b"auxC") or b"")[4:] == ALPHA:
            alpha = item
        elif item.kind == b"Exif":
            exif = item
        elif item.kind == b"mime" and item.content_type == XMP_TYPE:
            xmp = item
        elif number != first and number not in tiles:
            raise UnsupportedImage(
                "it is an AVIF with further images (gain map, depth, thumbnail) that could not be kept"
            )
    if primary.references.get(b"prem"):
        raise UnsupportedImage("it is an AVIF with colours multiplied by alpha, which OpenCV would not keep")
    if primary.property(b"clap") is not None:
        raise UnsupportedImage("it is a cropped AVIF, whose crop could not be kept")
    coded = primary if primary.kind == b"av01" else items[primary.references[b"dimg"][0]]
    return Avif(file, idat, primary, coded, alpha, exif, xmp)


class _Cursor:
    """Reads the integers of a box one after the other."""

    def __init__(self, view: memoryview) -> None:
        self.view, self.at = view, 0

    def take(self, size: int) -> int:
        start, self.at = self.at, self.at + size
        if self.at > len(self.view):
            raise UnsupportedImage(_DAMAGED)
        return int.from_bytes(self.view[start : self.at])

    def version(self) -> int:
        """Read version and flags, which come first in most boxes."""
        return self.take(4) >> 24


def _items(meta: dict[bytes, memoryview]) -> dict[int, Item]:
    items = dict(_infos(meta[b"iinf"]))
    for number, parts in _locations(meta[b"iloc"]):
        items[number].parts = parts
    properties = {box.kind: box for box in read_boxes(meta[b"iprp"])}
    every = properties[b"ipco"].children
    for number, index, essential in _associations(properties[b"ipma"].payload):
        if index:
            items[number].properties.append(every[index - 1])
            if essential:
                items[number].essential.add(every[index - 1].kind)
    references = meta.get(b"iref", memoryview(bytes(4)))
    for box in read_boxes(references[4:]):
        cursor, size = _Cursor(box.payload), 4 if references[0] else 2
        item = items[cursor.take(size)]
        item.references.setdefault(box.kind, []).extend(cursor.take(size) for _ in range(cursor.take(2)))
    return items


def _infos(payload: memoryview) -> Iterator[tuple[int, Item]]:
    for box in read_boxes(payload[8 if payload[0] else 6 :]):
        cursor = _Cursor(box.payload)
        version = cursor.version()
        if box.kind != b"infe" or version not in (2, 3):
            raise UnsupportedImage(_DAMAGED)
        number = cursor.take(2 if version == 2 else 4)
        kind, _, rest = bytes(box.payload[cursor.at + 2 :]).partition(b"\0")
        yield number, Item(kind[:4], rest.partition(b"\0")[0] if kind[:4] == b"mime" else b"")


def _locations(payload: memoryview) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
    cursor = _Cursor(payload)
    version, sizes, found = cursor.version(), cursor.take(2), 0
    wide = 4 if version == 2 else 2
    for _ in range(cursor.take(wide)):
        number, where = cursor.take(wide), cursor.take(2) & 15 if version else 0
        if where > 1:
            raise UnsupportedImage("it is an AVIF of items made from others, which could not be kept")
        cursor.take(2)  # which file: this one
        base, count = cursor.take(sizes >> 4 & 15), cursor.take(2)
        found += count
        if found > _MOST_EXTENTS:
            raise UnsupportedImage(f"it is an AVIF of more than {_MOST_EXTENTS} parts")
        parts = []
        for _ in range(count):
            cursor.take(sizes & 15 if version else 0)
            parts.append((where, base + cursor.take(sizes >> 12), cursor.take(sizes >> 8 & 15)))
        yield number, parts


def _associations(payload: memoryview) -> Iterator[tuple[int, int, bool]]:
    cursor = _Cursor(payload)
    size, wide = 4 if cursor.version() else 2, 1 + (payload[3] & 1)
    for _ in range(cursor.take(4)):
        number = cursor.take(size)
        for _ in range(cursor.take(1)):
            value, top = cursor.take(wide), 0x80 << 8 * (wide - 1)
            yield number, value & (top - 1), bool(value & top)


def coding(avif: Avif) -> tuple[int, bool, tuple[int, int]]:
    """Bits of a sample, whether it is grey only, and the chroma's subsampling across and down.

    Raises:
        UnsupportedImage: the file does not say.
    """
    configuration = avif.coded.property(b"av1C")
    if configuration is None or len(configuration) < 4:
        raise UnsupportedImage(_DAMAGED)
    flags = configuration[2]
    bits = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    return bits, bool(flags & 0x10), (2 if flags & 8 else 1, 2 if flags & 4 else 1)


def _check_sizes(avif: Avif) -> None:
    """Libraries disagree about images coded at a different size than the file states."""
    for item in (avif.coded, avif.alpha):
        if item is not None and item.kind == b"av01":
            stated = item.property(b"ispe") or avif.primary.property(b"ispe")
            if stated is None or len(stated) < 12:
                raise UnsupportedImage("the AVIF is damaged: it does not say its size")
            if coded_size(b"".join(part[:_START] for part in avif.parts(item))) not in (
                None,
                struct.unpack_from(">2L", stated, 4),
            ):
                raise UnsupportedImage("the AVIF is damaged: its image has another size than the file says")


def coded_size(stream: bytes) -> tuple[int, int] | None:
    """Width and height in the sequence header of an AV1 stream (AV1 specification, 5.5); None if it is not found.

    A sequence header with timing, which a still image has no use for, is not read.
    """
    view, kind = _Cursor(memoryview(stream)), 0
    while kind != _SEQUENCE_HEADER:
        if view.at >= len(stream):
            return None
        head, size = view.take(1), 0
        kind = head >> 3 & 15
        view.take(head >> 2 & 1)
        for shift in range(0, 56 if head & 2 else 0, 7):
            size |= (byte := view.take(1)) << shift & 0x7F << shift
            if byte < 0x80:
                break
        body, view.at = stream[view.at :][:64], view.at + size
    bits = iter(f"{int.from_bytes(body.ljust(64)):0512b}")

    def take(count: int) -> int:
        return int("0" + "".join(next(bits) for _ in range(count)), 2)

    take(4)
    if take(1):  # a still image alone
        take(5)
    else:
        if take(1):
            return None
        delays = take(1)
        for _ in range(take(5) + 1):
            take(12)
            take(1 if take(5) > 7 else 0)
            take(4 if delays and take(1) else 0)
    across, down = take(4) + 1, take(4) + 1
    return take(across) + 1, take(down) + 1


def is_lossless(avif: Avif) -> bool:
    """Whether colours seem to be stored as they are."""
    return next((m for p in colours(avif) if (m := matrix(p)) is not None), None) == IDENTITY


def colours(avif: Avif) -> list[memoryview]:
    """Payloads of the boxes that describe the image's colours."""
    return [box.payload for box in avif.primary.properties if box.kind == b"colr"]


def matrix(colour: memoryview) -> int | None:
    """The number of a colour box's matrix; None for an ICC profile."""
    return int.from_bytes(colour[8:10]) if bytes(colour[:4]) == b"nclx" else None


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        UnsupportedImage: cut off, damaged, an animation, or with content that could not be kept.
    """
    avif = read(data)
    _check_sizes(avif)
    bits, grey, (across, down) = coding(avif)
    channels = 4 if avif.alpha is not None else 1 if grey else 3
    width, height = struct.unpack_from(">2L", avif.primary.property(b"ispe") or bytes(12), 4)
    chroma = 0 if grey else 1 / (across * down)
    depth, lossless = 8 if bits == 8 else 16, is_lossless(avif)
    return Header("AVIF", width, height, channels, depth, lossless=lossless, chroma=chroma)
