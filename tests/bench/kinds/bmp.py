"""Windows and OS/2 bitmaps: Microsoft's "Bitmap Storage", OS/2 1.x and 2.x headers, run lengths, masks."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.bench import samples
from tests.bench.kinds import HEIGHT, WIDTH, Samples, grey, rgb, rgba, truth

_DPI = 11_811
_565, _555, _444 = (0xF800, 0x07E0, 0x001F), (0x7C00, 0x03E0, 0x001F), (0x0F00, 0x00F0, 0x000F)
_BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def _info(
    size: int, bits: int, compression: int = 0, colours: int = 0, masks: tuple[int, ...] = (), top: bool = False
) -> bytes:
    """A header of this size, and the masks in it or behind it."""
    height = -HEIGHT if top else HEIGHT
    if size == 12:
        return struct.pack("<L4H", size, WIDTH, HEIGHT, 1, bits)
    head = struct.pack("<L2l2HL", size, WIDTH, height, 1, bits, compression)
    head += struct.pack("<L2l2L", 0, _DPI, _DPI, colours, 0)
    head = head[:size] if size < 40 else head
    if size == 64:
        return head + bytes(24)
    inner = struct.pack(f"<{len(masks)}L", *masks)
    return head + inner if size == 40 else (head + inner).ljust(size, b"\0")


def _file(info: bytes, body: bytes, palette: bytes = b"", gap: int = 0, behind: bytes = b"") -> bytes:
    start = 14 + len(info) + len(palette) + gap
    return (
        struct.pack("<2sL4xL", b"BM", start + len(body) + len(behind), start)
        + info
        + palette
        + bytes(gap)
        + body
        + behind
    )


def _rows(image: Samples, top: bool = False) -> bytes:
    """Rows of bytes from the bottom up, each filled to a multiple of four."""
    lines = np.ascontiguousarray(image).view(np.uint8).reshape(len(image), -1)
    lines = np.pad(lines, ((0, 0), (0, -lines.shape[1] % 4)))
    return (lines if top else lines[::-1]).tobytes()


def _packed(numbers: Samples, bits: int) -> bytes:
    """Colour numbers of less than a byte."""
    spread = np.unpackbits(numbers[:, :, None].astype(np.uint8), axis=2)[:, :, 8 - bits :]
    return _rows(np.packbits(spread.reshape(len(numbers), -1), axis=1))


def _palette(numbers: int, entry: int, *, coloured: bool = True) -> tuple[bytes, Samples]:
    """Colours, as they are stored in `entry` bytes each, and as R, G, B."""
    values = np.linspace(0, 255, numbers).astype(np.uint8)
    colours = np.stack((values, values[::-1] if coloured else values, values), axis=1)
    if coloured:
        colours[:, 2] = np.roll(values, numbers // 3)
    stored = np.zeros((numbers, entry), np.uint8)
    stored[:, :3] = colours[:, ::-1]
    return stored.tobytes(), colours


def _masked(image: Samples, masks: tuple[int, ...]) -> tuple[Samples, Samples]:
    """Pixels packed into words by masks, and what they show."""
    words, shown = np.zeros(image.shape[:2], np.uint64), []
    for channel, mask in enumerate(masks):
        shift, top = (mask & -mask).bit_length() - 1, mask >> ((mask & -mask).bit_length() - 1)
        level = np.rint(image[:, :, channel] / 255.0 * top).astype(np.uint64)
        words |= level << np.uint64(shift)
        shown.append(level / top)
    return words, truth(np.dstack(shown), 1)


def _indexed(bits: int) -> Samples:
    return (grey() >> (8 - bits)).astype(np.uint8)


def _run_lengths(numbers: Samples, bits: int, *, over: int = 0, skip: bool = False) -> bytes:
    """RLE8 or RLE4: runs, a literal stretch where neighbours differ, `over` pixels past the width."""
    found = bytearray()
    for row in numbers[::-1]:
        at = 0
        while at < len(row):
            end = at
            while end < len(row) and row[end] == row[at] and end - at < 255:
                end += 1
            if end - at >= 2 or len(row) - at < 3:
                found += bytes((end - at, int(row[at]) * (1 if bits == 8 else 0x11)))
                at = end
                continue
            stretch = row[at : at + min(len(row) - at, 7 if bits == 8 else 8)]
            body = bytes(stretch) if bits == 8 else _nibbles(stretch)
            found += bytes((0, len(stretch))) + body + b"\0" * (len(body) & 1)
            at += len(stretch)
        found += bytes((over, 0)) if over else b""
        found += b"\0\0"
    return bytes(found + (b"\0\2\0\0" if skip else b"") + b"\0\1")


def _nibbles(row: Samples) -> bytes:
    padded = np.append(row, np.zeros(len(row) & 1, np.uint8)).reshape(-1, 2)
    return bytes((padded[:, 0] << 4 | padded[:, 1]).astype(np.uint8))


def kinds() -> Iterator[tuple[Any, ...]]:
    """Every kind of bitmap."""
    yield from _palettes()
    yield from _direct()
    yield from _by_masks()
    yield from _compressed()
    yield from _unusual()


def _palettes() -> Iterator[tuple[Any, ...]]:
    for size, name in ((12, "OS/2 1.x"), (40, "Windows 3"), (64, "OS/2 2.x"), (108, "V4"), (124, "V5")):
        for bits in (1, 4, 8):
            palette, colours = _palette(2**bits, 3 if size == 12 else 4)
            numbers = _indexed(bits)
            yield (
                f"{name}, {bits} bits",
                _file(_info(size, bits), _packed(numbers, bits), palette),
                truth(colours[numbers]),
            )
    numbers = _indexed(2)
    palette, colours = _palette(4, 4)
    yield "2 bits", _file(_info(40, 2), _packed(numbers, 2), palette), truth(colours[numbers])
    palette, colours = _palette(256, 4, coloured=False)
    yield "grey palette", _file(_info(40, 8), _rows(grey()), palette), truth(grey())
    palette, colours = _palette(20, 4)
    numbers = grey() // 13
    yield "palette of 20", _file(_info(40, 8, colours=20), _rows(numbers), palette), truth(colours[numbers])
    body = _packed(_indexed(1), 1)
    yield "1 bit, white first", _file(_info(40, 1), body, b"\xff\xff\xff\0\0\0\0\0"), truth(1 - _indexed(1), 1)
    palette, colours = _palette(256, 4)
    yield "8 bits from the top", _file(_info(40, 8, top=True), _rows(grey(), top=True), palette), truth(colours[grey()])


def _direct() -> Iterator[tuple[Any, ...]]:
    blue_first = rgb()[:, :, ::-1]
    for size, name in (
        (12, "OS/2 1.x"),
        (16, "OS/2 2.x, short"),
        (40, "Windows 3"),
        (52, "V2"),
        (56, "V3"),
        (64, "OS/2 2.x"),
        (108, "V4"),
        (124, "V5"),
    ):
        yield f"{name}, 24 bits", _file(_info(size, 24), _rows(blue_first)), truth(rgb())
    yield "24 bits from the top", _file(_info(40, 24, top=True), _rows(blue_first, top=True)), truth(rgb())
    yield "24 bits with a gap", _file(_info(40, 24), _rows(blue_first), gap=10), truth(rgb())
    palette, _ = _palette(256, 4)
    yield "24 bits with a palette", _file(_info(40, 24, colours=256), _rows(blue_first), palette), truth(rgb())
    four = np.dstack((blue_first, np.zeros((HEIGHT, WIDTH), np.uint8)))
    yield "32 bits, fourth byte 0", _file(_info(40, 32), _rows(four)), truth(rgb())
    four[:, :, 3] = 255
    yield "32 bits, fourth byte 255", _file(_info(40, 32), _rows(four)), truth(rgb())
    word = (
        (rgb()[:, :, 0] >> 3).astype(np.uint16) << 10
        | (rgb()[:, :, 1] >> 3).astype(np.uint16) << 5
        | rgb()[:, :, 2] >> 3
    )
    yield "16 bits", _file(_info(40, 16), _rows(word.astype("<u2"))), truth(rgb() >> 3, 31)
    profile = samples.profile()
    body = _rows(blue_first)
    info = bytearray(_info(124, 24))
    struct.pack_into("<L", info, 56, 0x4D424544)
    struct.pack_into("<2L", info, 112, 124 + len(body), len(profile))
    yield "V5 with a profile", _file(bytes(info), body, behind=profile), truth(rgb())
    struct.pack_into("<L", info, 56, 0x4C494E4B)
    yield (
        "V5 with a linked profile",
        _file(bytes(info), body, behind=b"C:\\profile.icm\0".ljust(len(profile), b"\0")),
        truth(rgb()),
    )


def _by_masks() -> Iterator[tuple[Any, ...]]:
    for name, masks in (
        ("565", _565),
        ("555", _555),
        ("444", _444),
        ("blue first 565", _565[::-1]),
        ("4444", (*_444, 0xF000)),
        ("1555", (*_555, 0x8000)),
    ):
        for size in (40, 56, 108, 124) if len(masks) == 3 else (56, 108, 124):
            words, shown = _masked(rgba(), masks)
            yield (
                f"masks {name}, header of {size}",
                _file(_info(size, 16, 3, masks=masks), _rows(words.astype("<u2"))),
                shown,
            )
    for name, masks in (
        ("BGRX", _BGRA[:3]),
        ("RGBX", _BGRA[2::-1]),
        ("XBGR", (0xFF000000, 0xFF0000, 0xFF00)),
        ("10 bits", (0x3FF00000, 0xFFC00, 0x3FF)),
        ("BGRA", _BGRA),
        ("RGBA", (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
        ("ABGR", (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    ):
        for size in (40, 52, 108, 124) if len(masks) == 3 else (56, 108, 124):
            words, shown = _masked(rgba(), masks)
            yield (
                f"masks {name}, header of {size}",
                _file(_info(size, 32, 3, masks=masks), _rows(words.astype("<u4"))),
                shown,
            )
    words, shown = _masked(np.dstack((rgb(), np.zeros((HEIGHT, WIDTH)))), _BGRA)
    yield "alpha of 0 everywhere", _file(_info(108, 32, 3, masks=_BGRA), _rows(words.astype("<u4")))
    words, shown = _masked(rgba(), _BGRA)
    yield "masks as a sixth compression", _file(_info(40, 32, 6, masks=_BGRA), _rows(words.astype("<u4"))), shown


def _compressed() -> Iterator[tuple[Any, ...]]:
    for bits, compression in ((8, 1), (4, 2)):
        palette, colours = _palette(2**bits, 4)
        numbers = _indexed(bits) // 5 * 5
        for name, options in (("", {}), (" past the width", {"over": 4}), (" with a jump", {"skip": True})):
            body = _run_lengths(numbers, bits, **options)
            yield f"RLE{bits}{name}", _file(_info(40, bits, compression), body, palette), truth(colours[numbers])
        body = _run_lengths(numbers, bits)[: -2 * HEIGHT]
        yield f"RLE{bits} cut off", _file(_info(40, bits, compression), body, palette)
    palette, colours = _palette(256, 4)
    body = _run_lengths(_indexed(8), 8)
    yield "RLE8 in OS/2 2.x", _file(_info(64, 8, 1), body, palette), truth(colours[_indexed(8)])
    yield "Huffman of OS/2 2.x", _file(_info(64, 1, 3), bytes(200), _palette(2, 4)[0])
    yield "RLE24 of OS/2 2.x", _file(_info(64, 24, 4), bytes(200))
    yield "a JPEG inside", _file(_info(40, 0, 4), samples.plain("JPEG"))
    yield "a PNG inside", _file(_info(40, 0, 5), samples.plain("PNG"))


def _unusual() -> Iterator[tuple[Any, ...]]:
    yield "64 bits", _file(_info(40, 64), bytes(8 * WIDTH * HEIGHT))
    yield "cut off", _file(_info(40, 24), _rows(rgb()))[:-100]
    yield "array of OS/2", b"BA" + bytes(12) + _file(_info(12, 24), _rows(rgb()))
