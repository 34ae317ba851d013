"""JPEG (ITU-T T.81, JFIF, Adobe's APP14, CIPA DC-007): processes, sampling, colour spaces, segments."""

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np

from tests.bench import samples
from tests.bench.kinds import deep, grey, made, rgb, scene


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _with(data: bytes, *parts: bytes) -> bytes:
    return data[:2] + b"".join(parts) + data[2:]


def _encoded(*arguments: Any, **options: Any) -> bytes | None:
    with contextlib.suppress(ValueError, RuntimeError, imagecodecs.Jpeg8Error):
        return bytes(imagecodecs.jpeg8_encode(*arguments, **options))
    return None


def kinds() -> Iterator[tuple[Any, ...]]:
    """Every kind of JPEG."""
    yield from _processes()
    yield from _samplings()
    yield from _colour_spaces()
    yield from _segments()
    yield from _damaged()


def _processes() -> Iterator[tuple[Any, ...]]:
    for mode, image in (("RGB", scene()), ("grey", scene().convert("L"))):
        variants: dict[str, dict[str, Any]] = {
            "baseline": {},
            "optimized": {"optimize": True},
            "progressive": {"progressive": True},
            "baseline with restarts": {"restart_marker_blocks": 2},
            "progressive with restarts": {"progressive": True, "restart_marker_rows": 1},
        }
        for name, options in variants.items():
            yield f"{mode}, {name}", samples.saved(image, "JPEG", quality=92, **options)
    for quality in (1, 10, 50, 75, 100):
        yield f"quality {quality}", samples.saved(scene(), "JPEG", quality=quality)
    for mode, values in (("RGB", rgb()), ("grey", grey())):
        yield f"{mode}, lossless", _encoded(values, lossless=True)
        yield f"{mode}, 12 bits", _encoded(deep(values) >> 4, 95, bitspersample=12)
        yield f"{mode}, 16 bits, lossless", _encoded(deep(values), lossless=True, bitspersample=16)
    yield "arithmetic", made("convert IN -define jpeg:arithmetic-coding=true -quality 92 OUT", ".jpg")
    yield "JPEG-LS", bytes(imagecodecs.jpegls_encode(grey()))
    yield "progressive by ImageMagick", made("convert IN -interlace JPEG -quality 92 OUT", ".jpg")
    yield (
        "progressive by vips",
        made("vips jpegsave IN OUT --interlace --optimize-coding --trellis-quant --Q 90", ".jpg"),
    )


def _samplings() -> Iterator[tuple[Any, ...]]:
    for factors in (
        "1x1",
        "2x1",
        "1x2",
        "2x2",
        "4x1",
        "1x4",
        "4x2",
        "2x4",
        "3x1",
        "4x4",
        "1x1,2x2,2x2",
        "2x2,2x1,1x1",
        "2x2,1x2,1x2",
        "2x2,2x1,2x1",
        "1x1,2x1,1x1",
        "3x2,1x1,1x1",
        "2x1,1x2,1x2",
    ):
        yield f"sampling {factors}", made(f"convert IN -quality 92 -sampling-factor {factors} OUT", ".jpg")
        yield (
            f"progressive, sampling {factors}",
            made(f"convert IN -quality 92 -interlace JPEG -sampling-factor {factors} OUT", ".jpg"),
        )
    plain = bytearray(samples.saved(scene().convert("L"), "JPEG", quality=92))
    at = plain.index(b"\xff\xc0")
    plain[at + 11] = 0x22
    yield "grey, sampling 2x2", bytes(plain)
    for side in (1, 7, 8, 9, 15, 16, 17, 33):
        yield f"{side} x {side}", samples.saved(scene().crop((0, 0, side, side)), "JPEG", quality=92)
    yield "1 x 30", samples.saved(scene().crop((0, 0, 1, 30)), "JPEG", quality=92)
    yield "30 x 1", samples.saved(scene().crop((0, 0, 30, 1)), "JPEG", quality=92)


def _colour_spaces() -> Iterator[tuple[Any, ...]]:
    inks = np.asarray(scene().convert("CMYK"))
    yield "CMYK by Pillow", samples.saved(scene().convert("CMYK"), "JPEG", quality=92)
    yield "CMYK, progressive", samples.saved(scene().convert("CMYK"), "JPEG", quality=92, progressive=True)
    yield "CMYK by ImageMagick", made("convert IN -colorspace CMYK -quality 92 OUT", ".jpg")
    yield "CMYK", _encoded(inks, 92, colorspace="CMYK", outcolorspace="CMYK")
    yield "YCCK", _encoded(inks, 92, colorspace="CMYK", outcolorspace="YCCK")
    yield "RGB as such", samples.saved(scene(), "JPEG", quality=92, keep_rgb=True)
    coloured = samples.saved(scene(), "JPEG", quality=92)
    jfif = coloured[4 : 4 + 16]
    assert jfif[2:6] == b"JFIF"
    bare = coloured[:2] + coloured[20:]
    for transform in (1, 2):
        adobe = _segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes((transform,)))
        yield f"Adobe's transform {transform}", _with(bare, adobe)
        yield f"JFIF and Adobe's transform {transform}", _with(coloured[:20], adobe) + coloured[20:]
    yield "neither JFIF nor Adobe", bare
    plain = samples.saved(scene().convert("CMYK"), "JPEG", quality=92)
    at = plain.index(b"\xff\xee")
    yield "four unspecified components", plain[:at] + plain[at + 16 :]
    colours = samples.saved(scene(), "JPEG", quality=92, keep_rgb=True)
    at = colours.index(b"\xff\xee")
    yield "components named R, G, B", _renamed(colours[:at] + colours[at + 16 :], b"RGB")
    yield "components named 0, 1, 2", _renamed(bare, bytes((0, 1, 2)))
    yield (
        "luma in the second component",
        _encoded(rgb(), 92, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"),
    )


def _renamed(data: bytes, names: bytes) -> bytes:
    """The same under other numbers of its components, in the frame and in the scan."""
    changed = bytearray(data)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for number, name in enumerate(names):
        changed[frame + 10 + 3 * number] = name
        changed[scan + 5 + 2 * number] = name
    return bytes(changed)


def _segments() -> Iterator[tuple[Any, ...]]:
    plain = samples.saved(scene(), "JPEG", quality=92)
    for orientation in range(1, 9):
        yield f"orientation {orientation}", samples.saved(scene(), "JPEG", quality=92, exif=samples.exif(orientation))
    yield "a profile", samples.saved(scene(), "JPEG", quality=92, icc_profile=samples.profile() * 30)
    yield "XMP", samples.saved(scene(), "JPEG", quality=92, xmp=samples.packet())
    yield "a comment", _with(plain, _segment(0xFE, b"a comment"))
    yield "fill bytes before markers", plain[:2] + b"\xff\xff" + plain[2:]
    yield "junk between segments", plain[: plain.index(b"\xff\xdb")] + b"junk" + plain[plain.index(b"\xff\xdb") :]
    yield "something behind", plain + b"\0\0and more"
    yield "a second image behind", plain + plain
    first, *others = (image.convert("RGB") for image in samples.moving())
    yield "several images (MPO)", samples.saved(first, "MPO", save_all=True, append_images=others)
    yield "JPEG XT", _with(plain, _segment(0xEB, b"JP\0\1\0\0\0\1" + bytes(20)))
    yield "a gain map's words", _with(plain, _segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)))
    yield (
        "extended XMP",
        _with(plain, _segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b"<x/>")),
    )
    yield "16-bit quantization", _with_wide_tables(plain)


def _with_wide_tables(data: bytes) -> bytes:
    """The same with its tables in words, which extended processes may have."""
    found, at = bytearray(data[:2]), 2
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4])
        marker, payload = data[at + 1], data[at + 4 : at + 2 + length]
        if marker == 0xDB:
            tables = [payload[start : start + 65] for start in range(0, len(payload), 65)]
            payload = b"".join(
                bytes((0x10 | table[0],)) + b"".join(b"\0" + bytes((value,)) for value in table[1:]) for table in tables
            )
        found += _segment(0xC1 if marker == 0xC0 else marker, payload)
        at += 2 + length
    return bytes(found) + data[at:]


def _damaged() -> Iterator[tuple[Any, ...]]:
    plain = samples.saved(scene(), "JPEG", quality=92)
    yield "cut off", plain[: len(plain) * 2 // 3]
    yield "without its end", plain[:-2]
    at = plain.index(b"\xff\xc0") + 5
    yield "height given later (DNL)", plain[:at] + b"\0\0" + plain[at + 2 :]
    yield "two components", _encoded(np.dstack((grey(), grey())), 92)
    broken = bytearray(plain)
    broken[-120:-80] = bytes(value ^ 0x5A if value not in (0xFF, 0, 0xA5) else value for value in broken[-120:-80])
    yield "damaged within", bytes(broken)
