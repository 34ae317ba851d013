"""WebP (RFC 9649): lossy and lossless, alpha, metadata, animation with every way of blending and disposing."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tests.bench import samples
from tests.bench.kinds import Samples, grey, made, rgb, rgba, scene, truth

_LOSSLESS: dict[str, object] = {"lossless": True, "exact": True}


def chunk(kind: bytes, payload: bytes) -> bytes:
    """One chunk with its padding."""
    return kind + struct.pack("<L", len(payload)) + payload + b"\0" * (len(payload) & 1)


def _file(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _three(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _extended(flags: int, width: int, height: int) -> bytes:
    return chunk(b"VP8X", bytes((flags, 0, 0, 0)) + _three(width - 1) + _three(height - 1))


def _saved(image: Samples, **options: object) -> bytes:
    return samples.saved(Image.fromarray(image), "WebP", **options)


def _image_chunks(data: bytes) -> bytes:
    """What stands in a still image's file but for VP8X."""
    return data[30:] if data[12:16] == b"VP8X" else data[12:]


def kinds() -> Iterator[tuple[Any, ...]]:
    """Every kind of WebP."""
    yield "lossless", _saved(rgb(), **_LOSSLESS), truth(rgb())
    yield "lossless with alpha", _saved(rgba(), **_LOSSLESS), truth(rgba())
    yield "lossless without hidden colours", _saved(rgba(), lossless=True)
    yield "lossless grey", _saved(np.dstack([grey()] * 3), **_LOSSLESS), truth(grey())
    few = np.asarray(scene().quantize(9).convert("RGB"))
    yield "lossless of few colours", _saved(few, **_LOSSLESS), truth(few)
    for quality in (1, 30, 75, 100):
        yield f"quality {quality}", _saved(rgb(), quality=quality)
        yield f"quality {quality} with alpha", _saved(rgba(), quality=quality)
    yield "rough alpha", _saved(rgba(), quality=90, alpha_quality=10)
    for name, options in {
        "sharp conversion": "-sharp_yuv -q 80",
        "segments and partitions": "-q 80 -segments 4 -partition_limit 50",
        "near lossless": "-near_lossless 40",
        "raw alpha": "-q 80 -alpha_method 0",
        "filtered alpha": "-q 80 -alpha_filter best",
        "jpeg-like": "-q 80 -jpeg_like",
    }.items():
        yield f"by cwebp, {name}", made(f"cwebp -quiet {options} IN -o OUT", ".webp", rgba())
    for name, options in {
        "lossy": "--Q 80",
        "lossless": "--lossless",
        "near lossless": "--near-lossless --Q 60",
    }.items():
        yield f"by vips, {name}", made(f"vips webpsave IN OUT {options}", ".webp", rgba())
    yield from _metadata()
    yield from _animations()


def _metadata() -> Iterator[tuple[Any, ...]]:
    variants: dict[str, dict[str, Any]] = {
        "EXIF": {"exif": samples.exif(3)},
        "XMP": {"xmp": samples.packet()},
        "a profile": {"icc_profile": samples.profile()},
    }
    for name, options in variants.items():
        yield f"lossy with {name}", _saved(rgb(), quality=90, **options)
        yield f"lossless with {name}", _saved(rgb(), **_LOSSLESS, **options), truth(rgb())
    height, width = rgb().shape[:2]
    still = _image_chunks(_saved(rgb(), quality=90))
    clear = _image_chunks(_saved(rgba(), **_LOSSLESS))
    yield "extended, without a use", _file(_extended(0, width, height), still)
    yield "extended, alpha said and not there", _file(_extended(0x10, width, height), still)
    yield "extended, lossless alpha not said", _file(_extended(0, width, height), clear)
    yield "extended, of another size", _file(_extended(0, width + 1, height), still)
    yield "an unknown chunk", _file(_extended(0, width, height), still, chunk(b"abcd", b"xyz"))
    whole = _saved(rgb(), quality=90)
    yield "something behind", whole + b"more"
    yield "cut off", whole[:-30]
    for side in (1, 2, 17):
        yield f"{side} x {side}", _saved(rgb()[:side, :side], **_LOSSLESS), truth(rgb()[:side, :side])


def _animations() -> Iterator[tuple[Any, ...]]:
    height, width = rgb().shape[:2]
    part = rgba()[4:24, 10:30] // 2
    variants: dict[str, dict[str, Any]] = {"lossless": _LOSSLESS, "lossy": {"quality": 90}}
    for name, options in variants.items():
        for dispose in (0, 1):
            for blend in (0, 2):
                frames = [
                    _frame(rgb(), (0, 0), dispose | blend, options),
                    _frame(part, (4, 2), dispose | blend, options),
                    _frame(part, (16, 12), dispose | blend, options),
                ]
                yield f"animated, {name}, disposal {dispose}, blending {blend}", _animated(width, height, *frames)
    mixed = [
        _frame(rgb(), (0, 0), 2, {"quality": 90}),
        _frame(part, (4, 2), 0, _LOSSLESS),
        _frame(part, (8, 2), 1, {"quality": 90}),
    ]
    yield "animated, lossy and lossless", _animated(width, height, *mixed)
    yield (
        "animated on a coloured background",
        _animated(
            width,
            height,
            _frame(part, (4, 2), 1, _LOSSLESS),
            _frame(part, (10, 8), 1, _LOSSLESS),
            background=b"\x20\x40\x80\xff",
        ),
    )
    yield "animation of one frame", _animated(width, height, _frame(rgb(), (0, 0), 0, _LOSSLESS))
    yield "animated, equal frames", _animated(width, height, *[_frame(rgb(), (0, 0), 0, _LOSSLESS)] * 3)
    yield (
        "animated, a frame outside",
        _animated(width, height, _frame(rgb(), (0, 0), 0, _LOSSLESS), _frame(rgb(), (8, 8), 0, _LOSSLESS)),
    )
    first, *others = samples.moving()
    yield (
        "animated by Pillow",
        samples.saved(
            first,
            "WebP",
            save_all=True,
            append_images=others,
            duration=[30, 60, 90],
            minimize_size=True,
            allow_mixed=True,
        ),
    )
    yield "animated by ImageMagick", made("convert -delay 10 IN ( IN -flip ) OUT", ".webp")


def _frame(image: Samples, place: tuple[int, int], flags: int, options: dict[str, object]) -> bytes:
    height, width = image.shape[:2]
    head = b"".join(_three(value) for value in (place[0] // 2, place[1] // 2, width - 1, height - 1, 70))
    return chunk(b"ANMF", head + bytes((flags,)) + _image_chunks(_saved(image, **options)))


def _animated(width: int, height: int, *frames: bytes, background: bytes = bytes(4)) -> bytes:
    return _file(_extended(0x12, width, height), chunk(b"ANIM", background + struct.pack("<H", 2)), *frames)
