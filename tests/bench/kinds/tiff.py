"""TIFF 6.0, its technical notes and common private extensions: samples, colour models, layouts, compressions, pages."""

import contextlib
import io
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from tests.bench import samples
from tests.bench.kinds import Samples, deep, grey, made, ramp, rgb, rgba, scene, truth

_DEPTHS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float16", "float32", "float64")


def _written(image: Samples, **options: Any) -> bytes | None:
    """By tifffile, page by page if there are several."""
    file = io.BytesIO()
    whole = {name: options.pop(name) for name in ("bigtiff", "byteorder", "ome", "imagej") if name in options}
    with contextlib.suppress(Exception):  # whatever its encoders raise where they cannot
        with tifffile.TiffWriter(file, **whole) as writer:
            writer.write(image, metadata=None, **options)
        return file.getvalue()
    return None


def kinds() -> Iterator[tuple[Any, ...]]:
    """Every kind of TIFF."""
    yield from _layouts()
    yield from _depths()
    yield from _few_bits()
    yield from _models()
    yield from _compressions()
    yield from _alphas()
    yield from _pages()
    yield from _by_programs()


def _layouts() -> Iterator[tuple[Any, ...]]:
    for depth, image in (("8", rgb()), ("16", deep(rgb()))):
        shown = truth(image, 255 if depth == "8" else 65535)
        for order in ("<", ">"):
            for planes in ("contig", "separate"):
                for name, layout in (("one strip", {}), ("strips", {"rowsperstrip": 4}), ("tiles", {"tile": (16, 16)})):
                    stored = np.moveaxis(image, 2, 0) if planes == "separate" else image
                    options = {"photometric": "rgb", "planarconfig": planes, "byteorder": order, **layout}
                    yield f"RGB, {depth} bits, {order}, {planes}, {name}", _written(stored, **options), shown
    yield "BigTIFF", _written(rgb(), photometric="rgb", bigtiff=True), truth(rgb())


def _depths() -> Iterator[tuple[Any, ...]]:
    for name in _DEPTHS:
        kind = np.dtype(name)
        scale = 1 / 255 if kind.kind == "f" else np.iinfo(kind).max // 255 if kind.itemsize > 1 else 0.49
        for model, image, photometric in (("grey", grey(), "minisblack"), ("RGB", rgb(), "rgb")):
            values = (image if name == "uint8" else image.astype(np.float64) * scale).astype(kind)
            for order in ("<", ">"):
                yield f"{model}, {name}, {order}", _written(values, photometric=photometric, byteorder=order)
            yield (
                f"{model}, {name}, predicted",
                _written(values, photometric=photometric, compression="zlib", predictor=True),
            )
    yield "complex", _written(grey() * (1 + 1j), photometric="minisblack")
    negative = (rgb() / 100.0 - 1).astype(np.float32)
    negative[0, 0], negative[0, 1] = np.nan, np.inf
    yield "floating-point with infinities", _written(negative, photometric="rgb")


def _raw(entries: Mapping[int, tuple[int, tuple[int, ...]]], body: bytes) -> bytes:
    """A file of one strip, by hand: fields of type and values."""
    tags = dict(entries) | {273: (4, (8,)), 279: (4, (len(body),))}
    count, at = len(tags), 8 + len(body) + (len(body) & 1)
    extra_at, entries_, extra = at + 2 + 12 * count + 4, b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        raw = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'L'}", *values)
        if len(raw) > 4:
            entries_ += struct.pack("<2H2L", tag, kind, len(values), extra_at + len(extra))
            extra += raw
        else:
            entries_ += struct.pack("<2HL", tag, kind, len(values)) + raw.ljust(4, b"\0")
    return (
        b"II*\0"
        + struct.pack("<L", at)
        + body
        + b"\0" * (len(body) & 1)
        + struct.pack("<H", count)
        + entries_
        + bytes(4)
        + extra
    )


def _bits(image: Samples, bits: int) -> bytes:
    """Rows of samples of so many bits, from the highest down."""
    spread = image.reshape(len(image), -1)[:, :, None].astype(np.int64) >> np.arange(bits)[::-1] & 1
    return np.packbits(spread.reshape(len(image), -1).astype(np.uint8), axis=1).tobytes()


def _few_bits() -> Iterator[tuple[Any, ...]]:
    height, width = grey().shape
    base: dict[int, tuple[int, tuple[int, ...]]] = {256: (3, (width,)), 257: (3, (height,)), 259: (3, (1,))}
    for bits in (1, 2, 3, 4, 6, 10, 12, 14, 24):
        top = 2**bits - 1
        values = np.rint(deep(grey()) / 65535.0 * top).astype(np.int64)
        for photometric in (0, 1):
            fields = base | {258: (3, (bits,)), 262: (3, (photometric,)), 277: (3, (1,))}
            shown = values if photometric else top - values
            yield (
                f"grey, {bits} bits, {'white' if photometric == 0 else 'black'} is 0",
                _raw(fields, _bits(values, bits)),
                truth(shown, top),
            )
    for bits in (1, 2, 4, 8):
        numbers = grey() >> (8 - bits)
        ramp_ = np.linspace(0, 65535, 2**bits).astype(int)
        colours = np.stack((ramp_, ramp_[::-1], np.roll(ramp_, 1)), axis=1)
        for name, scale in (("", 1), (" of bytes", 257)):
            stored = tuple(int(value) for value in (colours // scale).T.ravel())
            fields = base | {258: (3, (bits,)), 262: (3, (3,)), 277: (3, (1,)), 320: (3, stored)}
            yield f"palette{name}, {bits} bits", _raw(fields, _bits(numbers, bits)), truth((colours // 257)[numbers])
    for bits in (2, 4, 5, 10, 12):
        top = 2**bits - 1
        values = np.rint(deep(rgb()) / 65535.0 * top).astype(np.int64)
        fields = base | {258: (3, (bits,) * 3), 262: (3, (2,)), 277: (3, (3,))}
        yield f"RGB, {bits} bits", _raw(fields, _bits(values, bits)), truth(values, top)
    fields = base | {258: (3, (5, 6, 5)), 262: (3, (2,)), 277: (3, (3,))}
    yield "RGB, 5, 6 and 5 bits", _raw(fields, bytes(2 * width * height))
    fields = base | {258: (3, (8,)), 262: (3, (1,)), 277: (3, (1,)), 266: (3, (2,))}
    yield "grey, bits from the lowest up", _raw(fields, grey().tobytes())
    fields = base | {258: (3, (1,)), 262: (3, (1,)), 277: (3, (1,)), 266: (3, (2,))}
    bits_ = np.packbits(grey() >> 7, axis=1, bitorder="little").tobytes()
    yield "1 bit, from the lowest up", _raw(fields, bits_), truth(grey() >> 7, 1)
    yield "no photometric", _raw(base | {258: (3, (8,)), 277: (3, (1,))}, grey().tobytes())
    old = base | {258: (3, (8, 8, 8)), 262: (3, (6,)), 277: (3, (3,)), 530: (3, (1, 1))}
    ycc = np.asarray(scene().convert("YCbCr"))
    yield "YCbCr, uncompressed", _raw(old, ycc.tobytes())
    small = np.asarray(scene().crop((0, 0, 46, 34)).convert("YCbCr"))
    blocks = [
        [small[y, x, 0], small[y, x + 1, 0], small[y + 1, x, 0], small[y + 1, x + 1, 0], small[y, x, 1], small[y, x, 2]]
        for y in range(0, 34, 2)
        for x in range(0, 46, 2)
    ]
    yield (
        "YCbCr, uncompressed, subsampled",
        _raw(old | {257: (3, (34,)), 530: (3, (2, 2))}, bytes(np.array(blocks, np.uint8))),
    )
    yield (
        "CMYK with dots of its own",
        _raw(
            base | {258: (3, (8,) * 4), 262: (3, (5,)), 277: (3, (4,)), 336: (3, (10, 200))},
            np.asarray(scene().convert("CMYK")).tobytes(),
        ),
    )
    yield (
        "other inks",
        _raw(
            base | {258: (3, (8,) * 4), 262: (3, (5,)), 277: (3, (4,)), 332: (3, (2,))},
            np.asarray(scene().convert("CMYK")).tobytes(),
        ),
    )
    yield (
        "two unspecified samples",
        _raw(base | {258: (3, (8, 8)), 262: (3, (1,)), 277: (3, (2,))}, np.dstack((grey(), ramp())).tobytes()),
    )
    yield (
        "four unspecified samples",
        _raw(base | {258: (3, (8,) * 4), 262: (3, (2,)), 277: (3, (4,))}, rgba().tobytes()),
    )


def _models() -> Iterator[tuple[Any, ...]]:
    inks = np.asarray(scene().convert("CMYK"))
    for depth, values in (("8", inks), ("16", deep(inks))):
        for planes in ("contig", "separate"):
            stored = np.moveaxis(values, 2, 0) if planes == "separate" else values
            yield f"CMYK, {depth} bits, {planes}", _written(stored, photometric="separated", planarconfig=planes)
        yield (
            f"CMYK and alpha, {depth} bits",
            _written(np.dstack((values, values[:, :, :1])), photometric="separated", extrasamples=["unassalpha"]),
        )
    for depth, values in (("8", grey()), ("16", deep(grey()))):
        yield f"white is 0, {depth} bits", _written(values, photometric="miniswhite")
        yield f"white is 0, {depth} bits, big-endian", _written(values, photometric="miniswhite", byteorder=">")
    yield "white is 0, floating-point", _written((grey() / 255).astype(np.float32), photometric="miniswhite")
    yield "CIELab", made("convert IN -colorspace Lab OUT", ".tif")
    yield "CIELab by vips", made("vips colourspace IN OUT lab", ".tif")
    yield "LogLuv", made("convert IN -colorspace Luv OUT", ".tif")
    yield "a mosaic", _written(grey(), photometric="cfa")
    yield (
        "a mask",
        _raw(
            {
                254: (4, (4,)),
                256: (3, (46,)),
                257: (3, (35,)),
                258: (3, (1,)),
                259: (3, (1,)),
                262: (3, (4,)),
                277: (3, (1,)),
            },
            bytes(6 * 35),
        ),
    )


def _compressions() -> Iterator[tuple[Any, ...]]:
    for name in (
        "lzw",
        "zlib",
        "deflate",
        "packbits",
        "zstd",
        "lzma",
        "jpeg",
        "jpeg2000",
        "webp",
        "png",
        "lerc",
        "jpegxl",
        "jpegxr",
    ):
        yield f"RGB, {name}", _written(rgb(), photometric="rgb", compression=name)
        yield f"RGB, {name}, tiles", _written(rgb(), photometric="rgb", compression=name, tile=(16, 16))
        yield f"grey, {name}", _written(grey(), photometric="minisblack", compression=name)
        yield f"grey, 16 bits, {name}", _written(deep(grey()), photometric="minisblack", compression=name)
    for name in ("lzw", "zlib"):
        for depth, image in (("8", rgb()), ("16", deep(rgb()))):
            for planes in ("contig", "separate"):
                stored = np.moveaxis(image, 2, 0) if planes == "separate" else image
                for order in ("<", ">"):
                    options = {
                        "photometric": "rgb",
                        "planarconfig": planes,
                        "compression": name,
                        "predictor": True,
                        "byteorder": order,
                    }
                    yield (
                        f"RGB, {depth} bits, {name}, predicted, {planes}, {order}",
                        _written(stored, **options),
                        truth(image, 255 if depth == "8" else 65535),
                    )
    for mode in ("1", "L", "RGB", "RGBA", "CMYK", "P", "I;16"):
        page = (
            Image.fromarray(deep(grey()))
            if mode == "I;16"
            else scene().quantize(30)
            if mode == "P"
            else scene().convert(mode)
        )
        for name in (
            "tiff_lzw",
            "tiff_adobe_deflate",
            "tiff_deflate",
            "packbits",
            "jpeg",
            "group3",
            "group4",
            "tiff_ccitt",
            "zstd",
            "webp",
            "lzma",
            "tiff_raw_16",
            "tiff_sgilog",
        ):
            with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError, SystemError):
                yield f"by Pillow, {mode}, {name}", samples.saved(page, "TIFF", compression=name)


def _alphas() -> Iterator[tuple[Any, ...]]:
    for depth, image in (("8", rgba()), ("16", deep(rgba()))):
        top = 255 if depth == "8" else 65535
        multiplied = image.copy()
        multiplied[:, :, :3] = np.rint(image[:, :, :3] / top * image[:, :, 3:])
        for planes in ("contig", "separate"):
            for name, values in (("unassalpha", image), ("assocalpha", multiplied), ("unspecified", image)):
                stored = np.moveaxis(values, 2, 0) if planes == "separate" else values
                yield (
                    f"RGB and {name}, {depth} bits, {planes}",
                    _written(stored, photometric="rgb", planarconfig=planes, extrasamples=[name]),
                )
        two = image[:, :, [0, 3]]
        yield (
            f"grey and alpha, {depth} bits",
            _written(two, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]),
        )
    yield (
        "RGB and alpha, floating-point",
        _written((rgba() / 255).astype(np.float32), photometric="rgb", extrasamples=["unassalpha"]),
    )
    five = np.dstack((rgba(), grey()))
    yield "RGB and two more", _written(five, photometric="rgb", extrasamples=["unassalpha", "unspecified"])


def _pages() -> Iterator[tuple[Any, ...]]:
    yield "pages", _written(np.stack((rgb(), rgb()[::-1])), photometric="rgb")
    yield "a stack of grey", _written(np.stack((grey(), grey()[::-1], grey())), photometric="minisblack")
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(rgb(), photometric="rgb", metadata=None)
        writer.write(deep(grey())[:9, :30], photometric="minisblack", metadata=None, compression="zlib")
        writer.write(np.asarray(scene().convert("CMYK")), photometric="separated", metadata=None)
    yield "pages of different kinds", file.getvalue()
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(rgb(), photometric="rgb", metadata=None, subifds=1)
        writer.write(rgb()[::2, ::2], photometric="rgb", metadata=None)
    yield "a smaller image within", file.getvalue()
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack((grey(), grey())), imagej=True)
    yield "ImageJ", file.getvalue()
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack((grey(), grey())), ome=True)
    yield "OME", file.getvalue()
    yield (
        "a volume",
        _written(np.zeros((4, 16, 32, 32), np.uint8), volumetric=True, tile=(16, 16, 16), photometric="minisblack"),
    )
    for orientation in range(1, 9):
        yield f"orientation {orientation}", samples.saved(scene(), "TIFF", tiffinfo={274: orientation})
    for order in ("<", ">"):
        text = [
            (270, 2, 0, "Beschreibung, äöü".encode() + b"\0", True),
            (65_000, 4, 1, 70_000, True),
            (65_001, 12, 2, (1.5, 2.5), True),
            (33_432, 2, 0, b"me\0you\0", True),
        ]
        yield (
            f"fields of its own, {order}",
            _written(rgb(), photometric="rgb", byteorder=order, extratags=text, resolution=(300, 300)),
            truth(rgb()),
        )
    yield "a profile", _written(rgb(), photometric="rgb", iccprofile=samples.profile()), truth(rgb())
    whole = _written(rgb(), photometric="rgb") or b""
    yield "cut off", whole[:-300]
    yield "something behind", whole + b"more", truth(rgb())
    yield (
        "width of 0",
        _raw({256: (3, (0,)), 257: (3, (5,)), 258: (3, (8,)), 259: (3, (1,)), 262: (3, (1,)), 277: (3, (1,))}, b""),
    )


def _by_programs() -> Iterator[tuple[Any, ...]]:
    for name, words in {
        "tiles": "-t -w 32 -l 16",
        "planes": "-p separate",
        "tiled planes": "-t -w 16 -l 16 -p separate",
        "big-endian": "-B",
        "lowest bits first": "-f lsb2msb",
        "LZW, predicted": "-c lzw:2",
        "Deflate": "-c zip",
        "Deflate, predicted": "-c zip:2",
        "PackBits": "-c packbits",
        "JPEG": "-c jpeg:90",
        "JPEG of RGB": "-c jpeg:90:r",
        "strips of 3 rows": "-r 3",
        "BigTIFF": "-8",
    }.items():
        yield f"by tiffcp, {name}", made(f"tiffcp {words} IN OUT", ".tif", source=".tif")
    for name, words in {
        "Group 3": "-c g3",
        "Group 3, two-dimensional": "-c g3:2d:fill",
        "Group 4": "-c g4",
        "Group 4, lowest bits first": "-c g4 -f lsb2msb",
    }.items():
        yield f"by tiffcp, {name}", made(f"tiffcp {words} IN OUT", ".tif", scene().convert("1"), ".tif")
    for name, words in {
        "2 bits": "-colorspace Gray -depth 2",
        "4 bits": "-colorspace Gray -depth 4",
        "palette of 4 bits": "-colors 12 -type palette -depth 4",
        "floating-point": "-depth 32 -define quantum:format=floating-point",
        "half floats": "-depth 16 -define quantum:format=floating-point",
        "10 bits": "-depth 10",
        "12 bits": "-depth 12",
        "JPEG": "-compress JPEG -quality 90",
        "alpha, associated": "-alpha set -define tiff:alpha=associated",
        "Fax": "-monochrome -compress Fax",
    }.items():
        yield f"by ImageMagick, {name}", made(f"convert IN {words} OUT", ".tif", rgba() if "alpha" in name else None)
    for name, words in {
        "pyramid": "--tile --pyramid",
        "1 bit": "--bitdepth 1",
        "2 bits": "--bitdepth 2",
        "JPEG": "--compression jpeg --tile",
        "predicted": "--compression lzw --predictor horizontal",
        "properties": "--properties",
    }.items():
        yield f"by vips, {name}", made(f"vips tiffsave IN OUT {words}", ".tif", grey() if "bit" in name else None)
