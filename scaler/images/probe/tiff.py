"""TIFF files (TIFF 6.0), and EXIF blocks, which are built the same way: directories of tagged fields."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage

# Types of fields: bytes of one item, and of the units in it that have a byte order.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_NUMBERS = {1: "B", 3: "H", 4: "L", 6: "b", 7: "B", 8: "h", 9: "l", 11: "f", 12: "d", 13: "L"}

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS = 256, 257, 258, 259, 262, 273
SAMPLES, STRIP_COUNTS, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = (
    277,
    279,
    322,
    323,
    324,
    325,
)
PLANES, COLOUR_MAP, EXTRA_SAMPLES, SAMPLE_FORMAT, SUB_DIRECTORIES = 284, 320, 338, 339, 330
EXIF, GPS, INTEROPERABILITY, MAKER_NOTE, DNG_VERSION = 34665, 34853, 40965, 37500, 50706

STRAIGHT_ALPHA = 2
"""The extra sample that is transparency, with colours not multiplied by it."""

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6

_GEOGRAPHIC = {33550, 33922, 34264}
_STACKED = {32997, 33628, 33629, 34412, 50838, 50839}
"""Tags of volumes, MetaMorph, Zeiss and ImageJ, which hold further images that other readers do not see."""
_SELF_CONTAINED_NOTES = (b"OLYMPUS\0", b"OM SYSTEM\0", b"FUJIFILM", b"Apple iOS\0")
_NIKON, _NIKON_HEADER, _NIKON_PREVIEW, _PREVIEW_AT, _PREVIEW_LENGTH = b"Nikon\0\x02", 10, 0x0011, 0x0201, 0x0202
_MOST_PAGES, _MOST_FIELDS, _MOST_STRIPS, _LARGEST_TILE = 1000, 50_000, 1 << 16, 1 << 22
_JPEG, _READABLE_COMPRESSIONS = 7, {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000, 50001}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a directory; `raw` holds its items in the file's byte order, `at` is where they are."""

    tag: int
    kind: int
    count: int
    raw: bytes | memoryview
    entry: int
    at: int


@dataclass(frozen=True, slots=True)
class Directory:
    """Fields by tag, and the offsets of the directory and of the next one (0: none)."""

    fields: dict[int, Field]
    at: int
    next: int


class Tiff:
    """A TIFF structure in memory, read and never changed."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.data = memoryview(data)
        start = bytes(self.data[:4])
        if start not in (b"II*\0", b"MM\0*"):
            big = start in (b"II+\0", b"MM\0+")
            raise UnsupportedImage("it is a BigTIFF, which is not supported" if big else "the TIFF is damaged")
        self.order = "<" if start[:2] == b"II" else ">"
        self._unread, self._fields = len(data), 0
        self._followed: set[bytes] = set()

    @property
    def first(self) -> int:
        """The offset of the first directory."""
        return int(struct.unpack(self.order + "L", bytes(self.data[4:8]).ljust(4, b"\0"))[0])

    def directory(self, offset: int) -> Directory:
        """Read the directory at `offset`.

        Raises:
            UnsupportedImage: it, or what it points to, is outside of the file.
        """
        try:
            (count,) = struct.unpack_from(self.order + "H", self.data, offset)
            self._fields += count
            if self._fields > _MOST_FIELDS:
                raise UnsupportedImage(f"it is a TIFF with more than {_MOST_FIELDS} fields")
            fields = (self._field(offset + 2 + 12 * i) for i in range(count))
            found = {field.tag: field for field in fields if field is not None}
            (following,) = struct.unpack_from(self.order + "L", self.data, offset + 2 + 12 * count)
        except struct.error as error:
            raise UnsupportedImage("the TIFF is cut off or damaged") from error
        return Directory(found, offset, following)

    def _field(self, entry: int) -> Field | None:
        tag, kind, count = struct.unpack_from(self.order + "HHL", self.data, entry)
        size = SIZES.get(kind, 0) * count
        if not size:
            return None
        at = entry + 8 if size <= 4 else struct.unpack_from(self.order + "L", self.data, entry + 8)[0]
        self._spend(size if size > 4 else 0)
        raw = self.data[at : at + size]
        if len(raw) < size:
            raise UnsupportedImage("the TIFF is cut off or damaged")
        return Field(tag, kind, count, raw, entry, at)

    def _spend(self, size: int) -> None:
        """Overlapping fields could otherwise expand to many times the file's size."""
        self._unread -= size
        if self._unread < 0:
            raise UnsupportedImage("the TIFF is damaged: its fields take more than the file")

    def pages(self) -> Iterator[Directory]:
        """Yield the chain of directories, each once."""
        offset = self.first
        seen: set[int] = set()
        while offset:
            if offset in seen:
                raise UnsupportedImage("the TIFF's pages form a ring")
            seen.add(offset)
            if len(seen) > _MOST_PAGES:
                raise UnsupportedImage(f"it is a TIFF with more than {_MOST_PAGES} pages")
            directory = self.directory(offset)
            self._followed = set()
            yield directory
            offset = directory.next

    def pointer(self, field: Field) -> int:
        """The offset of the directory in a field; each is followed only once, since fields may point back.

        Raises:
            UnsupportedImage: it is not a pointer, or was followed before.
        """
        if field.kind not in (4, 13) or field.count != 1 or bytes(field.raw) in self._followed:
            raise UnsupportedImage("the TIFF is damaged: its directories form a ring")
        self._followed.add(bytes(field.raw))
        return int(struct.unpack(self.order + "L", field.raw)[0])

    def numbers(self, directory: Directory, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The whole numbers of a field, or `default` where it is missing."""
        field = directory.fields.get(tag)
        if field is None or field.kind not in _NUMBERS:
            return default
        return struct.unpack(f"{self.order}{field.count}{_NUMBERS[field.kind]}", field.raw)

    def straight_alpha(self, page: Directory) -> bool:
        """Whether the fourth sample is transparency that colours are not multiplied by.

        Readers also assume so if RGB has an undeclared fourth sample, against the specification.
        """
        four = self.number(page, PHOTOMETRIC, -1) == RGB and self.number(page, SAMPLES, 1) == 4
        return four and self.number(page, EXTRA_SAMPLES, STRAIGHT_ALPHA) == STRAIGHT_ALPHA

    def number(self, directory: Directory, tag: int, default: int) -> int:
        """The first number of a field."""
        return (self.numbers(directory, tag) or (default,))[0]


def header(data: bytes | memoryview) -> Header:
    """Read the header of the first page, checking all of them.

    Raises:
        UnsupportedImage: cut off, damaged, or of a kind that cannot be kept.
    """
    file = Tiff(data)
    pages = [_page(file, directory) for directory in file.pages()]
    if not pages:
        raise UnsupportedImage("the TIFF has no page")
    largest = max(pages, key=lambda page: page.width * page.height * page.channels * page.bits)
    return Header("TIFF", largest.width, largest.height, largest.channels, largest.bits, len(pages))


def _page(file: Tiff, page: Directory) -> Header:
    if DNG_VERSION in page.fields:
        raise UnsupportedImage("it is a camera raw image (DNG)")
    if SUB_DIRECTORIES in page.fields:
        raise UnsupportedImage("it is a TIFF with images inside its pages, which could not be kept")
    if _GEOGRAPHIC & page.fields.keys():
        raise UnsupportedImage("it is a georeferenced TIFF, whose coordinates would no longer fit")
    if _STACKED & page.fields.keys():
        raise UnsupportedImage("it is a microscope's TIFF, with images or data that could not be kept")
    if file.number(page, COMPRESSION, 1) not in _READABLE_COMPRESSIONS:
        raise UnsupportedImage(
            f"it is a TIFF with compression {file.number(page, COMPRESSION, 1)}, which is not supported"
        )
    _check_data(file, page)
    _check_tiles(file, page)
    _check_notes(file, page)
    channels, bits = _samples(file, page)
    return Header("TIFF", file.number(page, WIDTH, 0), file.number(page, HEIGHT, 0), channels, bits)


def _check_data(file: Tiff, page: Directory) -> None:
    for offsets, counts in ((STRIP_OFFSETS, STRIP_COUNTS), (TILE_OFFSETS, TILE_COUNTS)):
        if max((page.fields[tag].count for tag in (offsets, counts) if tag in page.fields), default=0) > _MOST_STRIPS:
            raise UnsupportedImage(f"it is a TIFF with more than {_MOST_STRIPS} strips or tiles")
        ends = map(sum, zip(file.numbers(page, offsets), file.numbers(page, counts), strict=False))
        if max(ends, default=0) > len(file.data):
            raise UnsupportedImage("the TIFF is cut off")


def _check_tiles(file: Tiff, page: Directory) -> None:
    """A decoder takes memory for a whole tile, and time for each strip."""
    tile = file.number(page, TILE_WIDTH, 0) * file.number(page, TILE_HEIGHT, 0)
    image = file.number(page, WIDTH, 0) * file.number(page, HEIGHT, 0)
    if tile > max(_LARGEST_TILE, 2 * image):
        raise UnsupportedImage("it is a TIFF whose tiles are larger than the image")


def _check_notes(file: Tiff, page: Directory) -> None:
    """Camera makers' notes mostly hold offsets from the start of the file, which break when they are moved."""
    pointer = file.number(page, EXIF, 0)
    note = file.directory(pointer).fields.get(MAKER_NOTE) if pointer else None
    if note is not None and not _is_self_contained(bytes(note.raw)):
        raise UnsupportedImage("it is a TIFF with a camera maker's notes, which would break when moved")


def _is_self_contained(note: bytes) -> bool:
    """Whether notes count their offsets from their own start, and hold all that they point to."""
    if not note.startswith(_NIKON):
        return note.startswith(_SELF_CONTAINED_NOTES)
    try:
        # A TIFF structure, in which another directory may lead to a preview.
        inner = Tiff(note[_NIKON_HEADER:])
        directory = inner.directory(inner.first)
        if pointer := inner.number(directory, _NIKON_PREVIEW, 0):
            preview = inner.directory(pointer)
            end = inner.number(preview, _PREVIEW_AT, 0) + inner.number(preview, _PREVIEW_LENGTH, 0)
            return end <= len(inner.data)
    except UnsupportedImage:
        return False
    return True


def _samples(file: Tiff, page: Directory) -> tuple[int, int]:
    """Channels and bits as decoded."""
    bits = max(file.numbers(page, BITS, (1,)))
    samples = file.number(page, SAMPLES, 1)
    kind = file.number(page, SAMPLE_FORMAT, 1)
    photometric = file.number(page, PHOTOMETRIC, -1)
    known = {MIN_IS_WHITE: {1}, MIN_IS_BLACK: {1}, RGB: {3, 4}, PALETTE: {1}, CMYK: {4}, YCBCR: {3}}
    if samples not in known.get(photometric, ()):
        raise UnsupportedImage(
            f"it is a TIFF with {samples} sample{'s' * (samples != 1)} and colour model {photometric}, which could not"
            " be kept"
        )
    if photometric == YCBCR and file.number(page, COMPRESSION, 1) != _JPEG:
        raise UnsupportedImage("it is a TIFF of YCbCr that is not compressed as JPEG, which tifffile does not convert")
    depths = {1: {1, 2, 4, 8, 16}, 3: {32, 64}}
    if bits not in depths.get(kind, ()):
        names = {1: "unsigned", 2: "signed", 3: "floating-point"}
        raise UnsupportedImage(
            f"it is a TIFF with {bits}-bit {names.get(kind, 'unusual')} samples, which could not be kept"
        )
    return (3 if photometric == PALETTE else samples), max(bits, 8)
