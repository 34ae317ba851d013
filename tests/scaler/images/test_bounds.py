"""Small files that would take memory or time without bound: each is skipped from its header."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from scaler.images.metadata import exif, xmp
from scaler.images.probe import UnsupportedImage, jpeg, read_header
from scaler.images.probe.isobmff import make_box
from tests.bench import samples


def _field(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHLL", tag, kind, count, value)


def _directory(*fields: bytes, following: int = 0) -> bytes:
    return struct.pack("<H", len(fields)) + b"".join(fields) + struct.pack("<L", following)


def _page(*more: bytes, following: int = 0) -> bytes:
    plain = [_field(256, 3, 1, 4), _field(257, 3, 1, 4), _field(258, 3, 1, 8), _field(259, 3, 1, 1)]
    plain += [_field(262, 3, 1, 1), _field(273, 4, 1, 8), _field(277, 3, 1, 1), _field(279, 4, 1, 16)]
    return _directory(*plain, *more, following=following)


def _tiff(*parts: bytes) -> bytes:
    return b"II*\0" + struct.pack("<L", 24) + bytes(16) + b"".join(parts)


def _fields_of_the_whole_file() -> bytes:
    fields = (_field(60_000 + number, 7, 900, 0) for number in range(60))
    return _tiff(_page(*fields))


def _many_pages() -> bytes:
    size = len(_page())
    return _tiff(*(_page(following=24 + size * (number + 1)) for number in range(1001)), _page())


def _ring_of_pages() -> bytes:
    return _tiff(_page(following=24))


def _huge_tiles() -> bytes:
    return _tiff(_page(_field(322, 4, 1, 1 << 30), _field(323, 4, 1, 1 << 30)))


def _gif_frame(left: int, width: int) -> bytes:
    return struct.pack("<B4HB", 0x2C, left, 0, width, 8, 0) + b"\2\1\0\0"


def _gif(*frames: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<2H3B", 8, 8, 0x80, 0, 0) + bytes(6) + b"".join(frames) + b";"


def _chunk(kind: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">L", len(payload)) + kind + payload + struct.pack(">L", zlib.crc32(kind + payload))


def _png(*chunks: bytes) -> bytes:
    start = _chunk(b"IHDR", struct.pack(">2L5B", 8, 8, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(chunks) + _chunk(b"IDAT") + _chunk(b"IEND")


def _webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"VP8X" + struct.pack("<LL", 10, 2) + bytes(6) + b"".join(chunks)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _avif(iloc: bytes) -> bytes:
    infe = make_box(b"infe", struct.pack(">4B2H", 2, 0, 0, 0, 1, 0), b"av01\0")
    pitm = make_box(b"pitm", bytes(4), b"\0\1")
    iinf = make_box(b"iinf", bytes(4), struct.pack(">H", 1), infe)
    iprp = make_box(b"iprp", make_box(b"ipco"), make_box(b"ipma", bytes(4), bytes(4)))
    meta = make_box(b"meta", bytes(4), pitm, iinf, make_box(b"iloc", bytes(4), iloc), iprp)
    return make_box(b"ftyp", b"avif\0\0\0\0avif") + meta


def _extents_of_the_whole_file() -> bytes:
    return _avif(b"\x44\0" + struct.pack(">4H", 1, 1, 0, 500) + struct.pack(">LL", 0, 0) * 500)


def _extents_of_no_bytes() -> bytes:
    return _avif(b"\0\0" + struct.pack(">4H", 1, 1, 0, 0xFFFF))


def _tiny_tiles() -> bytes:
    data = bytearray(samples.plain("JPEG 2000"))
    at = data.index(b"\xff\x4f\xff\x51")
    struct.pack_into(">2L", data, at + 24, 1, 1)
    return bytes(data)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "TIFF fields that overlap": (_fields_of_the_whole_file, "fields take more than the file"),
    "TIFF pages": (_many_pages, "more than 1000 pages"),
    "TIFF ring": (_ring_of_pages, "form a ring"),
    "TIFF tiles": (_huge_tiles, "tiles are larger"),
    "GIF frame outside": (lambda: _gif(_gif_frame(60_000, 5_000)), "outside of its screen"),
    "GIF frames": (lambda: _gif(*[_gif_frame(0, 8)] * 10_001), "more than 10000 frames"),
    "PNG chunks": (lambda: _png(*[_chunk(b"prVt")] * 10_100), "more than 10000 chunks"),
    "APNG frame outside": (
        lambda: _png(_chunk(b"acTL", struct.pack(">2L", 1, 0)), _chunk(b"fcTL", struct.pack(">5L", 0, 9, 9, 0, 0))),
        "outside of its canvas",
    ),
    "APNG frames": (lambda: _png(_chunk(b"acTL", struct.pack(">2L", 1, 0))), "not as many"),
    "WebP chunks": (lambda: _webp(*[b"prVt\0\0\0\0"] * 10_001), "more than 10000 chunks"),
    "AVIF extents that overlap": (_extents_of_the_whole_file, "take more than the file"),
    "AVIF extents of nothing": (_extents_of_no_bytes, "more than 10000 parts"),
    "JPEG 2000 tiles": (_tiny_tiles, "very small tiles"),
    "JPEG segments": (lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 10_001, "more than 10000 segments"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_skipped_from_the_header(name: str) -> None:
    make, reason = BOMBS[name]
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedImage, match=reason):
            read_header(data)
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_scans_beyond_number() -> None:
    data = samples.saved(samples.scene(), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    with pytest.raises(UnsupportedImage, match="more than 200 scans"):
        jpeg.read(data[:at] + data[at:-2] * 201 + data[-2:])


def test_the_time_for_xmp_grows_no_faster_than_the_packet() -> None:
    """Properties of which each could be followed by a value until the end: minutes, if it was looked for so far."""
    packet = b"<x " + b"tiff:ImageWidth " * 20_000 + b"<exif:SubjectArea " * 20_000
    assert xmp.upscale_sizes(packet) == packet


def test_a_number_beyond_reason_stays() -> None:
    for number in (b"1" * 30, b"0." + b"3" * 30):
        packet = b'<x tiff:ImageWidth="' + number + b'"/>'
        assert xmp.upscale_sizes(packet) == packet


def test_exif_that_points_at_itself() -> None:
    block = b"II*\0" + struct.pack("<L", 8) + _directory(_field(34665, 4, 1, 8), _field(40965, 4, 1, 8))
    assert exif.upscale_sizes(block, 10, 10) == block
