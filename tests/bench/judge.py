"""Whether an upscaled image is right, as other libraries than its maker see it.

A result is right if ImageMagick, Pillow or tifffile sees in it what bilinear upscaling makes of the original: of its
truth where that is known, else of what the same reader sees in the original. Lossless images must be exactly
`cv2.resize` of it, lossy ones near.
"""

import io
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from scaler.images.probe import Header
from tests.bench import kinds

_SECONDS = 240
_MEAN, _PEAK = 1.5, 8.0
"""By how much of 255 lossy samples may be off: on average, and all but a thousandth.

Where the original's colours are coded at less than its resolution, so are the result's, at the original's: there sharp
edges between colours cannot be held, and a thousandth may be off by more. At the original's size they may not.
"""
_WEBP_PEAK = 16.0
"""The same for lossy WebP, whose chroma has half the resolution: edges are off by 10 even at the original's size."""
_FEW = 4 * 16 * 16
"""Samples up to which an average says little, so that it may be twice as large."""
_PALETTE_MEAN, _PALETTE_PEAK = 1.5, 8.0
_ROUNDING = 1.5
"""Steps by which colours and transparency, both rounded, may be off together."""

type Frames = list[NDArray[Any]]
"""Each height x width x R, G, B, A, from 0 to 1."""
type Reader = Callable[[bytes, Header], Frames]


class Unreadable(Exception):
    """This reader does not read such a file."""


def fault(original: bytes, result: bytes, header: Header, truth: NDArray[Any] | None = None) -> str | None:
    """What is wrong with the result; empty if nothing is, None if nobody reads the original."""
    found = []
    for read in (by_pillow, by_imagemagick, by_imagecodecs):
        found.append(_fault(read, original, result, header, truth))
        if found[-1] == "":
            return timing(original, result) if header.animated else ""
    return "; ".join(filter(None, found)) or None


def _fault(read: Reader, original: bytes, result: bytes, header: Header, truth: NDArray[Any] | None) -> str | None:
    try:
        before = [truth] if truth is not None else read(original, header)
    except Unreadable:
        return None
    try:
        after = read(result, header)
    except Unreadable as error:
        return f"the result cannot be read: {error}"
    if len(before) != len(after):
        return f"{len(after)} frames of {len(before)}"
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if (2 * old.shape[0], 2 * old.shape[1]) != new.shape[:2]:
            return f"frame {number} is of {new.shape[1]} x {new.shape[0]} pixels"
        if said := _difference(old, new, header, _white(result, header)):
            return f"frame {number} is off by {said}"
    return ""


def _difference(old: NDArray[Any], new: NDArray[Any], header: Header, white: int) -> str:
    if header.format == "GIF":
        return _off_in_palette(old, new)
    if header.bits >= 32:
        near = np.allclose(_upscaled(old), _multiplied(new), rtol=1e-5, atol=1e-7, equal_nan=True)
        return "" if near else "more than rounding"
    if is_lossless(header):
        return _off_by_more_than_rounding(old, new, white)
    off = _upscaled(old) - _multiplied(new)
    means, peaks = np.abs(off).mean(axis=(0, 1)) * 255, np.percentile(np.abs(off), 99.9, axis=(0, 1)) * 255
    if (peaks > _PEAK).any() and (header.chroma < 1 or header.format == "WebP"):
        halved = cv2.resize(off, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        peaks = np.percentile(np.abs(halved), 99.9, axis=(0, 1)) * 255
    peak = _WEBP_PEAK if header.format == "WebP" else _PEAK
    mean = _MEAN if old.size > _FEW else 2 * _MEAN
    wrong = (means > mean).any() or (peaks > peak).any()
    return f"{means.round(2)} on average, {peaks.round(1)} at most" if wrong else ""


def _white(result: bytes, header: Header) -> int:
    """The largest value of a sample in the result's file."""
    if header.format == "PNM" and (stated := re.match(rb"P[56](?:\s|#.*\n)+\d+\s+\d+\s+(\d+)", result)):
        return int(stated[1])
    if header.format == "AVIF":
        flags = result[result.index(b"av1C") + 6]
        return (4095 if flags & 0x20 else 1023) if flags & 0x40 else 255
    return 255 if header.bits == 8 else 65535


def is_lossless(header: Header) -> bool:
    """Whether the format, or this file of it, keeps samples as they are."""
    return header.lossless or header.format in ("BMP", "JPEG 2000", "PNG", "PNM", "TIFF")


def _multiplied(image: NDArray[Any]) -> NDArray[Any]:
    multiplied = image.astype(np.float64)
    multiplied[:, :, :3] *= multiplied[:, :, 3:]
    return multiplied


def _upscaled(image: NDArray[Any]) -> NDArray[Any]:
    return cv2.resize(_multiplied(image), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)


def _off_by_more_than_rounding(old: NDArray[Any], new: NDArray[Any], top: int) -> str:
    """Opaque samples that a file can hold as they are must be equal to `cv2.resize` of them."""
    stored = np.rint(old * top)
    if top in (255, 65535) and old[:, :, 3].min() == 1 and np.abs(stored - old * top).max() < 1e-3:
        whole: Any = stored.astype(np.uint8 if top == 255 else np.uint16)
        found = np.rint(new * top)
        for values, seen in ((whole, found), (top - whole, top - found)):  # the second: where white is stored as 0
            off = np.abs(cv2.resize(values, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR) - seen)
            if not off.any():
                return ""
        return f"{off.max():.0f} steps"
    off = np.abs(_upscaled(old) - _multiplied(new)) * top
    return f"{off.max():.1f} steps" if off.max() > _ROUNDING else ""


def _off_in_palette(old: NDArray[Any], new: NDArray[Any]) -> str:
    """At most 256 colours stand for all of a frame's, and a pixel is either opaque or not."""
    expected = _upscaled(old)
    clear = np.abs(expected[:, :, 3] - 0.5) > 1e-3
    seen = expected[:, :, 3] >= 0.5
    if ((new[:, :, 3] >= 0.5) != seen)[clear].any():
        return "its transparency"
    off = np.abs(expected[seen][:, :3] / expected[seen][:, 3:] - new[seen][:, :3]) * 255
    means, peaks = (off.mean(axis=0), np.percentile(off, 99.9, axis=0)) if off.size else (np.zeros(3), np.zeros(3))
    wrong = (means > _PALETTE_MEAN).any() or (peaks > _PALETTE_PEAK).any()
    return f"{means.round(2)} on average, {peaks.round(1)} at most" if wrong else ""


def by_pillow(data: bytes, header: Header) -> Frames:
    """What Pillow reads."""
    try:
        with Image.open(io.BytesIO(data)) as file:
            return [frame for number in range(header.frames) for frame in _planes(file, number)]
    except (OSError, ValueError, SyntaxError) as error:
        raise Unreadable(str(error)) from error


def _planes(file: Image.Image, number: int) -> Iterator[NDArray[Any]]:
    """A frame as one image; inks and deep greys, which Pillow converts coarsely, as one each."""
    file.seek(number)
    if file.mode not in ("CMYK", "I;16", "I;16B", "I"):
        yield np.asarray(file.convert("RGBA")) / 255
        return
    samples = np.atleast_3d(np.asarray(file) / (255 if file.mode == "CMYK" else 65535))
    for channel in range(samples.shape[2]):
        yield _opaque(samples[:, :, channel])


def _opaque(plane: NDArray[Any]) -> NDArray[Any]:
    return np.dstack((plane, plane, plane, np.ones(plane.shape)))


def by_imagecodecs(data: bytes, header: Header) -> Frames:
    """What libavif and libtiff read, at full depth."""
    try:
        if header.format == "AVIF":
            samples = np.atleast_3d(imagecodecs.avif_decode(data))
            return [kinds.truth(samples, _white(data, header))]
        if header.format == "TIFF":
            return [frame for number in range(header.frames) for frame in _samples(data, number)]
    except (ValueError, imagecodecs.AvifError, imagecodecs.TiffError) as error:
        raise Unreadable(str(error)) from error
    raise Unreadable("another reader has its turn")


def _samples(data: bytes, number: int) -> Iterator[NDArray[Any]]:
    """A page of TIFF as one image of each of its samples, or with its transparency."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[number].aspage()
        samples = imagecodecs.tiff_decode(data, index=number)
        samples = np.atleast_3d(np.moveaxis(samples, 0, 2) if page.planarconfig == 2 and samples.ndim == 3 else samples)
        samples = samples / (1 if samples.dtype.kind == "f" else np.iinfo(samples.dtype).max)
        if page.extrasamples == (2,) and page.samplesperpixel == 4:
            yield samples
            return
    for channel in range(samples.shape[2]):
        yield _opaque(samples[:, :, channel])


def by_imagemagick(data: bytes, header: Header) -> Frames:
    """What ImageMagick reads, at 16 bits."""
    kind = header.format
    if header.bits >= 32:
        raise Unreadable("it is of floating-point numbers")
    count = header.frames if kind != "PNG" else 1
    raw = "j2k" if data[:4] == b"\xff\x4f\xff\x51" else "jp2"
    try:
        return list(_shown(data, {"JPEG 2000": raw, "PNM": "pnm", "TIFF": "tiff"}.get(kind, kind.lower()), count))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise Unreadable(str(error)) from error


def _shown(data: bytes, extension: str, count: int) -> Iterator[NDArray[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / f"in.{extension}", Path(folder) / "out.rgba"
        source.write_bytes(data)
        name = f"{extension}:{source}" + ("[0]" if count == 1 else "")
        coalesce = ["-coalesce"] if extension in ("gif", "webp") and count > 1 else []
        colours = ["-colorspace", "sRGB"] if extension == "tiff" else []  # of those in YCbCr
        words = [
            "convert",
            name,
            *coalesce,
            "-format",
            "%w %h\n",
            "-write",
            "info:",
            *colours,
            "-depth",
            "16",
            f"rgba:{target}",
        ]
        said = subprocess.run(words, capture_output=True, check=True, timeout=_SECONDS, text=True).stdout
        samples, at = np.fromfile(target, "<u2"), 0
        for width, height in re.findall(r"(\d+)x(\d+)", said) or re.findall(r"^(\d+) (\d+)$", said, re.MULTILINE):
            size = int(width) * int(height) * 4
            if at + size > len(samples):
                raise ValueError("ImageMagick gave fewer samples than pixels")
            yield samples[at : at + size].reshape(int(height), int(width), 4) / 65535
            at += size


def timing(original: bytes, result: bytes) -> str:
    """What is wrong with the delays and loops of an animation, as Pillow reads them."""
    found = []
    for data in (original, result):
        with Image.open(io.BytesIO(data)) as file:
            delays = []
            for number in range(getattr(file, "n_frames", 1)):
                file.seek(number)
                delays.append(file.info.get("duration") or 0)
            found.append((delays, file.info.get("loop")))
    return "" if found[0] == found[1] else f"delays and loops {found[1]} of {found[0]}"
