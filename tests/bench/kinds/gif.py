"""GIF (CompuServe 87a and 89a): palettes, interlacing, transparency, disposal, extensions."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.bench import samples
from tests.bench.kinds import HEIGHT, WIDTH, Samples, grey, made, ramp, scene, truth


def _lzw(numbers: Samples, bits: int) -> bytes:
    """Codes that the table never grows from: a clear code comes before it would."""
    size = max(bits, 2)
    codes: list[int] = []
    for at, value in enumerate(numbers.ravel()):
        if at % (2**size - 2) == 0:
            codes.append(1 << size)
        codes.append(int(value))
    codes.append((1 << size) + 1)
    spread = np.array(codes)[:, None] >> np.arange(size + 1) & 1
    body = np.packbits(spread.astype(np.uint8).ravel(), bitorder="little").tobytes()
    parts = (body[at : at + 255] for at in range(0, len(body), 255))
    return bytes((size,)) + b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def _table(bits: int, turn: int = 0) -> tuple[bytes, Samples]:
    values = np.linspace(0, 255, 2**bits).astype(np.uint8)
    colours = np.roll(np.stack((values, values[::-1], values), axis=1), turn, axis=1)
    return colours.tobytes(), colours


def _frame(
    numbers: Samples,
    bits: int,
    place: tuple[int, int] = (0, 0),
    *,
    control: bytes | None = None,
    table: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """An image, in front of it its graphic control."""
    height, width = numbers.shape
    flags = (0x80 | bits - 1 if table else 0) | (0x40 if interlaced else 0)
    head = b"" if control is None else b"\x21\xf9\4" + control + b"\0"
    if interlaced:
        rows = [row for first, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for row in range(first, height, step)]
        numbers = numbers[rows]
    return head + struct.pack("<B4HB", 0x2C, *place, width, height, flags) + table + _lzw(numbers, bits)


def _control(disposal: int, transparent: int | None = None, delay: int = 7) -> bytes:
    return struct.pack("<BHB", disposal << 2 | (transparent is not None), delay, transparent or 0)


def _file(
    *parts: bytes,
    bits: int = 8,
    table: bytes = b"",
    version: bytes = b"GIF89a",
    background: int = 0,
    aspect: int = 0,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> bytes:
    flags = 0x70 | (0x80 | bits - 1 if table else 0)
    return version + struct.pack("<2H3B", *size, flags, background, aspect) + table + b"".join(parts) + b";"


def kinds() -> Iterator[tuple[Any, ...]]:
    """Every kind of GIF."""
    yield from _stills()
    yield from _animations()
    yield from _extensions()
    yield "by Pillow", samples.saved(scene(), "GIF")
    yield "by ImageMagick", made("convert IN -colors 40 OUT", ".gif")
    yield "by vips", made("vips gifsave IN OUT", ".gif")
    yield "animated by ImageMagick", made("convert -delay 10 IN -delay 20 ( IN -flip ) -loop 2 OUT", ".gif")


def _stills() -> Iterator[tuple[Any, ...]]:
    for bits in range(1, 9):
        table, colours = _table(bits)
        numbers = grey() >> (8 - bits)
        yield f"{bits} bits", _file(_frame(numbers, bits), bits=bits, table=table), truth(colours[numbers])
    table, colours = _table(8)
    local, others = _table(8, 1)
    yield "87a", _file(_frame(grey(), 8), table=table, version=b"GIF87a"), truth(colours[grey()])
    yield "interlaced", _file(_frame(grey(), 8, interlaced=True), table=table), truth(colours[grey()])
    yield "its own palette", _file(_frame(grey(), 8, table=local), table=table), truth(others[grey()])
    yield "only its own palette", _file(_frame(grey(), 8, table=local)), truth(others[grey()])
    yield "no palette at all", _file(_frame(grey(), 8))
    key = int(grey()[5, 5])
    shown = np.dstack((colours[grey()], np.where(grey() == key, 0, 255)))
    yield "one colour transparent", _file(_frame(grey(), 8, control=_control(0, key)), table=table), truth(shown)
    mask = np.where(ramp() < 128, 255, grey() // 2)
    shown = np.dstack((colours[mask], np.where(mask == 255, 0, 255)))
    yield "cut out", _file(_frame(mask, 8, control=_control(0, 255)), table=table), truth(shown)
    yield "all transparent", _file(_frame(grey() * 0, 8, control=_control(0, 0)), table=table)
    yield "a frame smaller than the screen", _file(_frame(grey()[5:20, 8:30], 8, (8, 5)), table=table, background=9)
    yield (
        "the same, with transparency",
        _file(_frame(grey()[5:20, 8:30], 8, (8, 5), control=_control(0, 3)), table=table, background=9),
    )
    yield "a frame outside of the screen", _file(_frame(grey(), 8, (8, 5)), table=table)
    yield "pixels that are not square", _file(_frame(grey(), 8), table=table, aspect=49)
    yield "one pixel", _file(_frame(grey()[:1, :1], 8), table=table, size=(1, 1)), truth(colours[grey()[:1, :1]])
    whole = _file(_frame(grey(), 8), table=table)
    yield "something behind", whole + b"and more"
    yield "cut off", whole[:-100]
    yield "without its end", whole[:-1]
    yield "no image", _file(table=table)
    yield "colours beyond the palette", _file(_frame(grey() >> 4, 4), bits=3, table=_table(3)[0])


def _animations() -> Iterator[tuple[Any, ...]]:
    table, _ = _table(8)
    local, _ = _table(8, 1)
    part = grey()[5:20, 8:30] // 2
    for disposal in range(4):
        for key in (None, int(part[2, 2])):
            for first in (None, 0):
                frames = [_frame(grey(), 8, control=_control(disposal, first, 4))]
                frames += [
                    _frame(part, 8, (3 + 5 * n, 4 + n), control=_control(disposal, key, 5 + n)) for n in range(3)
                ]
                more = f"{', first with alpha' if first == 0 else ''}{', transparent' if key is not None else ''}"
                yield f"animated, disposal {disposal}{more}", _file(*frames, table=table)
    mixed = [
        _frame(grey(), 8, control=_control(1)),
        _frame(part, 8, (2, 2), control=_control(3, 9)),
        _frame(part, 8, (9, 9), control=_control(2)),
        _frame(part[:4], 8, (1, 20), control=_control(1)),
    ]
    yield "animated, disposals in turn", _file(*mixed, table=table)
    yield (
        "animated, first frame smaller",
        _file(_frame(part, 8, (3, 3), control=_control(1)), _frame(grey(), 8, control=_control(1)), table=table),
    )
    yield (
        "animated, palettes of their own",
        _file(
            _frame(grey(), 8, control=_control(1), table=local),
            _frame(part, 8, (3, 3), control=_control(1)),
            table=table,
        ),
    )
    yield "animated, without controls", _file(_frame(grey(), 8), _frame(part, 8, (3, 3)), table=table)
    yield (
        "animated, delays of 0",
        _file(
            _frame(grey(), 8, control=_control(1, None, 0)),
            _frame(part, 8, (3, 3), control=_control(1, None, 0)),
            table=table,
        ),
    )
    yield "animated, equal frames", _file(*[_frame(grey(), 8, control=_control(1))] * 3, table=table)
    yield (
        "animated, interlaced",
        _file(
            _frame(grey(), 8, control=_control(1), interlaced=True),
            _frame(part, 8, (3, 3), control=_control(1), interlaced=True),
            table=table,
        ),
    )
    yield (
        "animated, waiting for a key",
        _file(
            _frame(grey(), 8, control=struct.pack("<BHB", 6, 9, 0)),
            _frame(part, 8, (3, 3), control=_control(1)),
            table=table,
        ),
    )


def _extensions() -> Iterator[tuple[Any, ...]]:
    table, colours = _table(8)
    image = _frame(grey(), 8)
    for name, extension in {
        "a comment": b"\x21\xfe\x05hello\0",
        "an empty comment": b"\x21\xfe\0",
        "a loop count": b"\x21\xff\x0bNETSCAPE2.0\3\1\5\0\0",
        "a private extension": b"\x21\xff\x0bMGK8BIM0000\3abc\0",
        "an unknown extension": b"\x21\x77\3abc\0",
    }.items():
        yield f"with {name}", _file(extension, image, table=table), truth(colours[grey()])
    text = b"\x21\x01\x0c" + struct.pack("<4H4B", 0, 0, 20, 8, 8, 8, 1, 0) + b"\2hi\0"
    yield "with text to be drawn", _file(image, text, table=table)
