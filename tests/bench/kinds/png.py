"""PNG (W3C, third edition): all colour types, depths, filters, interlacing, transparency, colour spaces, animation."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import PngImagePlugin

from tests.bench import samples
from tests.bench.kinds import Samples, deep, grey, made, ramp, rgb, rgba, scene, truth

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row of each pass, and the steps across and down."""


def chunk(kind: bytes, payload: bytes = b"") -> bytes:
    """One chunk."""
    return struct.pack(">L", len(payload)) + kind + payload + struct.pack(">L", zlib.crc32(kind + payload))


def _lines(image: Samples, depth: int) -> bytes:
    """Rows as bytes, each behind its filter: all five in turn."""
    if depth < 8:
        spread = np.unpackbits(image[:, :, None], axis=2)[:, :, 8 - depth :]
        rows = np.packbits(spread.reshape(len(image), -1), axis=1)
    else:
        rows = (
            np.ascontiguousarray(image.astype(">u2") if depth == 16 else image).view(np.uint8).reshape(len(image), -1)
        )
    step = max(1, (image.shape[2] if image.ndim == 3 else 1) * depth // 8)
    before, found = np.zeros(rows.shape[1], np.uint8), bytearray()
    for number, row in enumerate(rows):
        found += bytes((number % 5,)) + _filtered(row, before, step, number % 5)
        before = row
    return bytes(found)


def _filtered(row: Samples, above: Samples, step: int, kind: int) -> bytes:
    left, corner = np.zeros_like(row), np.zeros_like(row)
    left[step:], corner[step:] = row[:-step], above[:-step]
    if kind == 4:
        a, b, c = (plane.astype(np.int16) for plane in (left, above, corner))
        far = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
        guess = np.where((far[0] <= far[1]) & (far[0] <= far[2]), a, np.where(far[1] <= far[2], b, c))
    else:
        guess = (np.zeros_like(row), left, above, (left.astype(np.int16) + above) // 2)[kind]
    return bytes((row - guess).astype(np.uint8))


def _data(image: Samples, depth: int, *, interlaced: bool = False) -> bytes:
    if not interlaced:
        return zlib.compress(_lines(image, depth))
    passes = (image[top::down, left::across] for left, top, across, down in _ADAM7)
    return zlib.compress(b"".join(_lines(part, depth) for part in passes if part.size))


def file(
    image: Samples, depth: int, colour: int, *chunks: bytes, interlaced: bool = False, behind: bytes = b""
) -> bytes:
    """A whole file, with chunks before and behind its image."""
    start = struct.pack(">2L5B", image.shape[1], image.shape[0], depth, colour, 0, 0, int(interlaced))
    body = _data(image, depth, interlaced=interlaced)
    parts = (body[: len(body) // 2], body[len(body) // 2 :])
    idat = b"".join(chunk(b"IDAT", part) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + b"".join(chunks) + idat + behind + chunk(b"IEND")


def _palette(depth: int) -> tuple[bytes, Samples]:
    values = np.linspace(0, 255, 2**depth).astype(np.uint8)
    colours = np.stack((values, values[::-1], np.roll(values, 3)), axis=1)
    return chunk(b"PLTE", colours.tobytes()), colours


def kinds() -> Iterator[tuple[Any, ...]]:
    """Every kind of PNG."""
    for interlaced in (False, True):
        for name, data, *shown in _plain(interlaced):
            yield (f"{name}, interlaced" if interlaced else name), data, *shown
    yield from _colour_spaces()
    yield from _small()
    yield from _animations()
    yield "by vips, palette of 4 bits", made("vips pngsave IN OUT --palette --bitdepth 4", ".png")
    yield "by ImageMagick, 16 bits and alpha", made("convert IN -depth 16 PNG64:OUT", ".png", rgba())


def _plain(interlaced: bool) -> Iterator[tuple[Any, ...]]:
    wide_alpha = deep(np.dstack((grey(), ramp())))
    for depth in (1, 2, 4, 8, 16):
        top = 2**depth - 1
        image = deep(grey()) if depth == 16 else grey() >> (8 - depth)
        yield f"grey, {depth} bits", file(image, depth, GREY, interlaced=interlaced), truth(image, top)
        key = int(image[5, 5])
        shown = truth(np.dstack((image, np.where(image == key, 0, top))), top)
        transparency = chunk(b"tRNS", struct.pack(">H", key))
        yield (
            f"grey, {depth} bits, one value transparent",
            file(image, depth, GREY, transparency, interlaced=interlaced),
            shown,
        )
    for depth in (1, 2, 4, 8):
        palette, colours = _palette(depth)
        image = grey() >> (8 - depth)
        data = file(image, depth, PALETTE, palette, interlaced=interlaced)
        yield f"palette, {depth} bits", data, truth(colours[image])
        alphas = np.resize(np.array([0, 100, 255], np.uint8), 2**depth)
        data = file(image, depth, PALETTE, palette, chunk(b"tRNS", alphas.tobytes()), interlaced=interlaced)
        yield f"palette, {depth} bits, with alpha", data, truth(np.dstack((colours[image], alphas[image])))
    for depth, image in ((8, rgb()), (16, deep(rgb()))):
        yield f"RGB, {depth} bits", file(image, depth, RGB, interlaced=interlaced), truth(image, 2**depth - 1)
        key = image[5, 5]
        hidden = np.all(image == key, axis=2)
        shown = truth(np.dstack((image, np.where(hidden, 0, 2**depth - 1))), 2**depth - 1)
        transparency = chunk(b"tRNS", struct.pack(">3H", *map(int, key)))
        yield (
            f"RGB, {depth} bits, one colour transparent",
            file(image, depth, RGB, transparency, interlaced=interlaced),
            shown,
        )
    for depth, image in ((8, np.dstack((grey(), ramp()))), (16, wide_alpha)):
        yield (
            f"grey and alpha, {depth} bits",
            file(image, depth, GREY_ALPHA, interlaced=interlaced),
            truth(image, 2**depth - 1),
        )
    for depth, image in ((8, rgba()), (16, deep(rgba()))):
        yield (
            f"RGB and alpha, {depth} bits",
            file(image, depth, RGB_ALPHA, interlaced=interlaced),
            truth(image, 2**depth - 1),
        )


def _colour_spaces() -> Iterator[tuple[Any, ...]]:
    profile = chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(samples.profile()))
    chromaticities = chunk(b"cHRM", struct.pack(">8L", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
    for name, chunks in {
        "gamma of 1": (chunk(b"gAMA", struct.pack(">L", 100_000)),),
        "gamma and primaries": (chromaticities, chunk(b"gAMA", struct.pack(">L", 45_455))),
        "sRGB": (chunk(b"sRGB", b"\0"),),
        "a profile": (profile,),
        "coding-independent code points of HDR": (chunk(b"cICP", bytes((9, 16, 0, 1))),),
        "significant bits": (chunk(b"sBIT", bytes((5, 6, 5))),),
        "a background": (chunk(b"bKGD", struct.pack(">3H", 10, 20, 30)),),
        "a suggested palette": (chunk(b"PLTE", bytes(range(96))), chunk(b"hIST", bytes(64))),
        "sizes and a date": (
            chunk(b"pHYs", struct.pack(">2LB", 11_811, 11_811, 1)),
            chunk(b"tIME", struct.pack(">H5B", 2020, 1, 2, 3, 4, 5)),
        ),
        "a grid of stereo": (chunk(b"sTER", b"\0"),),
    }.items():
        yield f"RGB with {name}", file(rgb(), 8, RGB, *chunks), truth(rgb())
    text = chunk(b"tEXt", b"Title\0A title") + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"words " * 90))
    yield "text", file(rgb(), 8, RGB, text, chunk(b"iTXt", b"Author\0\0\0de\0Autor\0J\xc3\xb6rg")), truth(rgb())
    yield "text behind the image", file(rgb(), 8, RGB, behind=text), truth(rgb())
    yield "EXIF", file(rgb(), 8, RGB, chunk(b"eXIf", samples.exif(6).tobytes()[6:]))
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", samples.packet().decode(), zip=True)
    yield "compressed XMP", samples.saved(scene(), "PNG", pnginfo=info)
    yield "Apple's own kind", b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", bytes(4)) + file(rgba(), 8, RGB_ALPHA)[8:]


def _small() -> Iterator[tuple[Any, ...]]:
    for width, height in ((1, 1), (1, 9), (9, 1), (2, 3)):
        image = rgb()[:height, :width]
        for interlaced in (False, True):
            name = f"{width} x {height}{', interlaced' if interlaced else ''}"
            yield name, file(image, 8, RGB, interlaced=interlaced), truth(image)
    whole = file(rgb(), 8, RGB)
    yield "something behind", whole + b"PK\3\4 and more"
    yield "cut off", whole[:-200]
    yield "a wrong checksum", whole[:-20] + b"\0\0" + whole[-18:]
    yield (
        "without pixels",
        whole[:16]
        + bytes(4)
        + whole[20:29]
        + struct.pack(">L", zlib.crc32(whole[12:16] + bytes(4) + whole[20:29]))
        + whole[33:],
    )


def _frame(
    number: int, part: Samples, place: tuple[int, int], dispose: int, blend: int, colour: int, depth: int
) -> bytes:
    height, width = part.shape[:2]
    control = struct.pack(">5L2H2B", number, width, height, *place, 1 + number, 25, dispose, blend)
    return chunk(b"fcTL", control)


def _animation(
    parts: list[tuple[Samples, tuple[int, int], int, int]],
    colour: int,
    depth: int = 8,
    *more: bytes,
    hidden: bool = False,
) -> bytes:
    first = parts[0][0]
    start = struct.pack(">2L5B", first.shape[1], first.shape[0], depth, colour, 0, 0, 0)
    found = [chunk(b"IHDR", start), chunk(b"acTL", struct.pack(">2L", len(parts), 3)), *more]
    if hidden:
        found.append(chunk(b"IDAT", _data(first, depth)))
    number = 0
    for index, (part, place, dispose, blend) in enumerate(parts):
        found.append(_frame(number, part, place, dispose, blend, colour, depth))
        number += 1
        if index or hidden:
            found.append(chunk(b"fdAT", struct.pack(">L", number) + _data(part, depth)))
            number += 1
        else:
            found.append(chunk(b"IDAT", _data(part, depth)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(found) + chunk(b"IEND")


def _animations() -> Iterator[tuple[Any, ...]]:
    for name, image, colour in (
        ("RGB", rgb(), RGB),
        ("RGB and alpha", rgba(), RGB_ALPHA),
        ("grey", grey(), GREY),
        ("grey and alpha", np.dstack((grey(), ramp())), GREY_ALPHA),
    ):
        small = image[5:20, 8:30] // 2
        for dispose in (0, 1, 2):
            for blend in (0, 1):
                parts = [
                    (image, (0, 0), dispose, 0),
                    (small, (3, 4), dispose, blend),
                    (small[:7], (11, 9), dispose, blend),
                ]
                yield f"animated, {name}, disposal {dispose}, blending {blend}", _animation(parts, colour)
    palette, _ = _palette(8)
    parts = [(grey(), (0, 0), 0, 0), (grey()[:9, :9], (2, 3), 0, 0)]
    yield "animated palette", _animation(parts, PALETTE, 8, palette)
    yield "animated palette with alpha", _animation(parts, PALETTE, 8, palette, chunk(b"tRNS", bytes(range(256))))
    yield (
        "animated, grey with one value transparent",
        _animation(parts, GREY, 8, chunk(b"tRNS", struct.pack(">H", int(grey()[5, 5])))),
    )
    yield "animated, 16 bits", _animation([(deep(rgb()), (0, 0), 0, 0), (deep(rgb())[::-1], (0, 0), 0, 0)], RGB, 16)
    yield (
        "animated, with a hidden image in front",
        _animation([(rgb(), (0, 0), 0, 0), (rgb()[::-1], (0, 0), 0, 0)], RGB, hidden=True),
    )
    yield "animation of one frame", _animation([(rgb(), (0, 0), 0, 0)], RGB)
    yield "animation of equal frames", _animation([(rgb(), (0, 0), 0, 0)] * 3, RGB)
    first, *others = samples.moving(clear=True)
    yield "animated by Pillow", samples.saved(first, "PNG", save_all=True, append_images=others, duration=[10, 20, 30])
    file_ = io.BytesIO()
    first.save(file_, "PNG", save_all=True, append_images=others, blend=1, disposal=1)
    yield "animated by Pillow, blended", file_.getvalue()
