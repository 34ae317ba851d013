"""Files of formats that are not upscaled, which must be named for what they are."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import imagecodecs
import numpy as np

from tests.bench import samples
from tests.bench.kinds import made, rgb, scene


def kinds() -> Iterator[tuple[Any, ...]]:
    """A file of each."""
    yield "nothing", b""
    yield "text", b"Just some text."
    yield "a web page", b"<!DOCTYPE html><html><body>Log in</body></html>"
    yield "SVG", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield "PDF", b"%PDF-1.7\n" + bytes(99)
    yield "Photoshop", b"8BPS\0\1" + bytes(99)
    yield "HEIC by vips", made("vips heifsave IN OUT --compression hevc", ".heic")
    for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1", b"miaf"):
        yield f"HEIC of brand {brand.decode()}", b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(99)
    yield "a video", b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(99)
    for name, start in {
        "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        "RAF": b"FUJIFILMCCD-RAW 0201",
        "ORF": b"IIRO\x08\0\0\0",
        "RW2": b"IIU\0\x18\0\0\0",
        "MRW": b"\0MRM",
        "X3F": b"FOVb",
    }.items():
        yield f"camera raw, {name}", start + bytes(99)
    encoders: dict[str, Callable[[Any], Any]] = {
        "JPEG XL": imagecodecs.jpegxl_encode,
        "JPEG XR": imagecodecs.jpegxr_encode,
        "QOI": imagecodecs.qoi_encode,
        "Radiance": lambda image: imagecodecs.rgbe_encode(image.astype(np.float32) / 255),
    }
    for name, encode in encoders.items():
        with contextlib.suppress(Exception):
            yield name, bytes(encode(rgb()))
    for name in ("ICO", "PCX", "TGA", "DDS", "SGI", "ICNS", "XBM", "PALM", "EPS"):
        with contextlib.suppress(OSError, KeyError, ValueError):
            yield name, samples.saved(scene().convert("1") if name in ("XBM", "PALM") else scene(), name)
    for extension in (".fits", ".wbmp", ".dpx", ".miff", ".mng", ".jng", ".pict", ".sun", ".xpm"):
        yield f"{extension[1:].upper()} by ImageMagick", made("convert IN OUT", extension)
