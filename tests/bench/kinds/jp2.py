"""JPEG 2000 (ITU-T T.800): codestreams and JP2 files of every depth, tiling, order, channel meaning."""

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from tests.bench import samples
from tests.bench.kinds import Samples, deep, grey, made, ramp, rgb, rgba, scene, truth


def _encoded(image: Samples, **options: Any) -> bytes | None:
    with contextlib.suppress(ValueError, RuntimeError, imagecodecs.Jpeg2kError):
        return bytes(imagecodecs.jpeg2k_encode(image, **options))
    return None


def _pillow(image: Image.Image, **options: Any) -> bytes:
    return samples.saved(image, "JPEG 2000", **options)


def _if_written(image: Image.Image, **options: Any) -> bytes | None:
    with contextlib.suppress(OSError):
        return _pillow(image, **options)
    return None


def kinds() -> Iterator[tuple[Any, ...]]:
    """Every kind of JPEG 2000."""
    for bits in (1, 4, 7, 8, 10, 12, 14, 16):
        for name, image in (("grey", grey()), ("RGB", rgb())):
            values = deep(image) >> (16 - bits) if bits > 8 else image >> (8 - bits)
            data = _encoded(values, bitspersample=bits, codecformat="jp2", reversible=True, level=0)
            yield f"{name}, {bits} bits", data, truth(values, 2**bits - 1)
    for name, image in (("grey and alpha", np.dstack((grey(), ramp()))), ("RGB and alpha", rgba())):
        yield name, _pillow(Image.fromarray(image, "LA" if image.shape[2] == 2 else "RGBA")), truth(image)
        yield (
            f"{name}, 16 bits",
            _encoded(deep(image), codecformat="jp2", reversible=True, level=0),
            truth(deep(image), 65535),
        )
    yield "signed", _encoded(grey().astype(np.int16) - 128, codecformat="jp2", reversible=True, level=0)
    variants: dict[str, dict[str, Any]] = {
        "lossy": {"irreversible": True, "quality_mode": "dB", "quality_layers": [38]},
        "layers": {"quality_layers": [40, 10, 1]},
        "tiles": {"tile_size": (16, 16)},
        "shifted tiles": {"tile_size": (20, 20), "tile_offset": (0, 0)},
        "an image with an offset": {"offset": (3, 5)},
        "one resolution": {"num_resolutions": 1},
        "small blocks": {"codeblock_size": (4, 4), "precinct_size": (32, 32)},
        "no colour transform": {"mct": 0},
        "packet lengths": {"plt": True},
        "a comment": {"comment": "a comment"},
        "a bare codestream": {"no_jp2": True},
    }
    for name, options in variants.items():
        yield name, _if_written(scene(), **options), *([truth(rgb())] if name not in ("lossy", "layers") else [])
    for order in ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL"):
        yield f"order {order}", _pillow(scene(), progression=order), truth(rgb())
    yield "a bare codestream of grey", _pillow(scene().convert("L"), no_jp2=True), truth(grey())
    yield "a bare codestream with alpha", _pillow(Image.fromarray(rgba()), no_jp2=True), truth(rgba())
    yield "cinema", _if_written(scene().resize((64, 64)), cinema_mode="cinema2k-24")
    for name, words in {
        "lossless": "--lossless",
        "Q 60": "--Q 60",
        "subsampled": "--Q 60 --subsample-mode on",
        "tiles": "--lossless --tile-width 16 --tile-height 16",
    }.items():
        yield f"by vips, {name}", made(f"vips jp2ksave IN OUT {words}", ".jp2", rgba() if name == "tiles" else None)
    yield "by ImageMagick", made("convert IN -quality 100 OUT", ".jp2")
    yield "by ImageMagick, a codestream", made("convert IN OUT", ".j2k")
    yield "by ImageMagick, CMYK", made("convert IN -colorspace CMYK OUT", ".jp2")
    yield "high throughput", _htj2k()
    yield from _boxes()
    for side in (1, 2, 17):
        yield f"{side} x {side}", _pillow(scene().crop((0, 0, side, side))), truth(rgb()[:side, :side])


def _htj2k() -> bytes | None:
    with contextlib.suppress(Exception):
        return bytes(imagecodecs.htj2k_encode(rgb()))
    return None


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">L4s", 8 + len(payload), kind) + payload


def _boxes() -> Iterator[tuple[Any, ...]]:
    plain, clear = _pillow(scene()), _pillow(Image.fromarray(rgba()))
    yield "EXIF", _before_stream(plain, _box(b"uuid", b"JpgTiffExif->JP2" + samples.exif().tobytes()[6:])), truth(rgb())
    yield "XML", _before_stream(plain, _box(b"xml ", b"<a/>")), truth(rgb())
    yield "an unknown box", _before_stream(plain, _box(b"abcd", b"xyz")), truth(rgb())
    yield (
        "a geographic box",
        _before_stream(plain, _box(b"uuid", bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03") + b"II*\0")),
    )
    yield (
        "a resolution",
        _in_header(plain, _box(b"res ", _box(b"resc", struct.pack(">4H2B", 300, 1, 300, 1, 2, 2)))),
        truth(rgb()),
    )
    palette = struct.pack(">HB", 256, 3) + b"\7\7\7" + np.repeat(np.arange(256, dtype=np.uint8)[::-1], 3).tobytes()
    mapping = b"".join(struct.pack(">H2B", 0, 1, column) for column in range(3))
    yield "a palette", _in_header(_pillow(scene().convert("L")), _box(b"pclr", palette) + _box(b"cmap", mapping))
    for name, entries in {
        "alpha multiplied": ((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 2, 0)),
        "alpha in front": ((0, 1, 0), (1, 0, 1), (2, 0, 2), (3, 0, 3)),
        "blue first": ((0, 0, 3), (1, 0, 2), (2, 0, 1), (3, 1, 0)),
        "alpha of one colour": ((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 1)),
        "an unknown fourth channel": ((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 65535, 65535)),
    }.items():
        body = struct.pack(">H", len(entries)) + b"".join(struct.pack(">3H", *entry) for entry in entries)
        yield f"channels: {name}", _in_header(_without(clear, b"cdef"), _box(b"cdef", body))
    yield "channels not defined", _without(clear, b"cdef")
    at = plain.index(b"colr")
    for number, name in ((17, "grey of three channels"), (18, "sYCC"), (12, "CMYK"), (24, "e-sYCC")):
        yield f"said to be {name}", plain[: at + 7] + struct.pack(">L", number) + plain[at + 11 :]
    yield "cut off", plain[:-200]
    yield "something behind", plain + b"more"


def _before_stream(data: bytes, box: bytes) -> bytes:
    at = data.index(b"jp2c") - 4
    return data[:at] + box + data[at:]


def _in_header(data: bytes, box: bytes) -> bytes:
    at = data.index(b"jp2h") - 4
    size = int.from_bytes(data[at : at + 4])
    return data[:at] + struct.pack(">L", size + len(box)) + data[at + 4 : at + size] + box + data[at + size :]


def _without(data: bytes, kind: bytes) -> bytes:
    """The same without a box of its header."""
    if kind not in data:
        return data
    at, outer = data.index(kind) - 4, data.index(b"jp2h") - 4
    size = int.from_bytes(data[at : at + 4])
    whole = int.from_bytes(data[outer : outer + 4])
    return data[:outer] + struct.pack(">L", whole - size) + data[outer + 4 : at] + data[at + size :]
