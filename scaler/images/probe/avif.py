"""AVIF (AV1 Image File Format 1.1 on ISO/IEC 23008-12, HEIF): the items in the file, and what describes them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from scaler.images.probe.header import Header, UnsupportedImage
from scaler.images.probe.isobmff import Box, read_boxes

ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
XMP_TYPE = b"application/rdf+xml"
_IDENTITY = 0
"""The matrix of colours that are stored as they are, as lossless files do."""


@dataclass(slots=True)
class Item:
    """An image or a block of metadata in the file."""

    kind: bytes
    content_type: bytes = b""
    parts: list[tuple[int, int, int]] = field(default_factory=list)
    """Where its data stand: 0 for the file or 1 for the `idat` box, offset, length (0: all)."""
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
    alpha: Item | None
    exif: Item | None
    xmp: Item | None

    def data(self, item: Item) -> bytes:
        """An item's data.

        Raises:
            UnsupportedImage: they lie outside of the file.
        """
        found = []
        for where, at, length in item.parts:
            source = self.idat if where else self.file
            part = source[at : at + length] if length else source[at:]
            if at > len(source) or len(part) < length:
                raise UnsupportedImage("the AVIF is cut off")
            found.append(part)
        return b"".join(found)


def read(data: bytes | memoryview) -> Avif:
    """Take a still AVIF apart without decoding it.

    Raises:
        UnsupportedImage: cut off, damaged, an animation, or with content that could not be kept.
    """
    view = memoryview(data)
    try:
        top = {box.kind: box for box in read_boxes(view)}
        if b"moov" in top:
            raise UnsupportedImage(
                "it is an animated AVIF, whose loop count and metadata OpenCV's writer would not keep"
            )
        if b"meta" not in top:
            raise UnsupportedImage("the AVIF is damaged: it has no image")
        meta = {box.kind: box for box in read_boxes(top[b"meta"].payload[4:])}
        items = _items(meta)
        idat = meta[b"idat"].payload if b"idat" in meta else view[:0]
        avif = _sorted(items, _integer(meta[b"pitm"].payload, 4, 2 if meta[b"pitm"].payload[0] == 0 else 4), view, idat)
        if sum(length or len(view) for item in items.values() for _, _, length in item.parts) > len(view):
            raise UnsupportedImage("the AVIF is damaged: its items take more than the file")
        for item in items.values():
            avif.data(item)
    except (struct.error, IndexError, KeyError) as error:
        raise UnsupportedImage("the AVIF is damaged") from error
    return avif


def _sorted(items: dict[int, Item], first: int, file: memoryview, idat: memoryview) -> Avif:
    """Tell what each item is for; refuse those that would be lost."""
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
    return Avif(file, idat, primary, alpha, exif, xmp)


def _items(meta: dict[bytes, Box]) -> dict[int, Item]:
    items = dict(_infos(meta[b"iinf"].payload))
    for number, parts in _locations(meta[b"iloc"].payload):
        items[number].parts = parts
    properties = {box.kind: box for box in meta[b"iprp"].children}
    every = properties[b"ipco"].children
    for number, index, essential in _associations(properties[b"ipma"].payload):
        if index:
            items[number].properties.append(every[index - 1])
            if essential:
                items[number].essential.add(every[index - 1].kind)
    if b"iref" in meta:
        wide = meta[b"iref"].payload[0]
        size = 4 if wide else 2
        for box in read_boxes(meta[b"iref"].payload[4:]):
            count = _integer(box.payload, size, 2)
            targets = [_integer(box.payload, size + 2 + size * i, size) for i in range(count)]
            items[_integer(box.payload, 0, size)].references.setdefault(box.kind, []).extend(targets)
    return items


def _integer(view: memoryview, at: int, size: int) -> int:
    if at + size > len(view):
        raise UnsupportedImage("the AVIF is damaged")
    return int.from_bytes(view[at : at + size])


def _infos(payload: memoryview) -> Iterator[tuple[int, Item]]:
    for box in read_boxes(payload[6 if payload[0] == 0 else 8 :]):
        version = box.payload[0]
        if box.kind != b"infe" or version not in (2, 3):
            raise UnsupportedImage("the AVIF is damaged")
        size = 2 if version == 2 else 4
        kind = bytes(box.payload[6 + size : 10 + size])
        _, *types = bytes(box.payload[10 + size :]).split(b"\0")
        yield _integer(box.payload, 4, size), Item(kind, types[0] if kind == b"mime" and types else b"")


def _locations(payload: memoryview) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
    version = payload[0]
    offset_size, length_size = payload[4] >> 4, payload[4] & 15
    base_size, index_size = payload[5] >> 4, payload[5] & 15 if version else 0
    wide = 4 if version == 2 else 2
    count, at = _integer(payload, 6, wide), 6 + wide
    for _ in range(count):
        number, at = _integer(payload, at, wide), at + wide
        where, at = (_integer(payload, at, 2) & 15, at + 2) if version else (0, at)
        at += 2
        base, at = _integer(payload, at, base_size), at + base_size
        extents, at = _integer(payload, at, 2), at + 2
        if extents > len(payload):
            raise UnsupportedImage("the AVIF is damaged")
        parts = []
        for _ in range(extents):
            at += index_size
            offset, length = _integer(payload, at, offset_size), _integer(payload, at + offset_size, length_size)
            parts.append((where, base + offset, length))
            at += offset_size + length_size
        if where > 1:
            raise UnsupportedImage("it is an AVIF of items made from others, which could not be kept")
        yield number, parts


def _associations(payload: memoryview) -> Iterator[tuple[int, int, bool]]:
    size = 2 if payload[0] == 0 else 4
    wide = payload[3] & 1
    at = 8
    for _ in range(_integer(payload, 4, 4)):
        number, count = _integer(payload, at, size), _integer(payload, at + size, 1)
        at += size + 1
        for _ in range(count):
            value = _integer(payload, at, 1 + wide)
            at += 1 + wide
            top = 0x8000 if wide else 0x80
            yield number, value & (top - 1), bool(value & top)


def coding(avif: Avif) -> tuple[int, bool, tuple[int, int]]:
    """Bits of a sample, whether it is grey only, and the chroma's subsampling across and down.

    Raises:
        UnsupportedImage: the file does not say.
    """
    configurations = [avif.primary.property(b"av1C")]
    if avif.primary.kind == b"grid":
        top = {box.kind: box for box in read_boxes(avif.file)}
        meta = {box.kind: box for box in read_boxes(top[b"meta"].payload[4:])}
        properties = {box.kind: box for box in meta[b"iprp"].children}
        configurations = [box.payload for box in properties[b"ipco"].children if box.kind == b"av1C"]
    configuration = next((c for c in configurations if c is not None and len(c) >= 4), None)
    if configuration is None:
        raise UnsupportedImage("the AVIF is damaged")
    flags = configuration[2]
    bits = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    return bits, bool(flags & 0x10), (2 if flags & 8 else 1, 2 if flags & 4 else 1)


def is_lossless(avif: Avif) -> bool:
    """Whether colours seem to be stored as they are."""
    return next((m for p in colours(avif) if (m := matrix(p)) is not None), None) == _IDENTITY


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
    extent = avif.primary.property(b"ispe")
    if extent is None or len(extent) < 12:
        raise UnsupportedImage("the AVIF is damaged: it does not say its size")
    bits, grey, (across, down) = coding(avif)
    channels = 4 if avif.alpha is not None else 1 if grey else 3
    width, height = struct.unpack_from(">2L", extent, 4)
    chroma = 0 if grey else 1 / (across * down)
    depth, lossless = 8 if bits == 8 else 16, is_lossless(avif)
    return Header("AVIF", width, height, channels, depth, lossless=lossless, chroma=chroma)
