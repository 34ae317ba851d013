"""A second opinion: what Pillow, tifffile and imagecodecs read in an original and in its upscaled image.

OpenCV silently misreads some files of almost every format. For each format this module uses a different library from
the codec: if both read the same, it is right. Only common kinds (`Header.everyday`) are exempt: `python -m
tests.bench.corpus` proves their readers.
"""

import contextlib
import functools
import io
import logging
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scaler.images.codecs import pillow, pixels, stderr_capture
from scaler.images.codecs import tiff as codecs_tiff
from scaler.images.codecs.pixels import Pixels
from scaler.images.probe import Header, UnsupportedImage, avif, bmp, jp2, jpeg, pnm, tiff
from scaler.images.probe.tiff import Tiff

for _name in ("imagecodecs", "tifffile"):
    logging.getLogger(_name).disabled = True  # what is odd in a file and does not matter here

_ROWS = 256
_MEAN, _PEAK, _PEAK_SHARE = 1.5, 8.0, 0.001
"""Tolerances (of 255) for lossy images: on average, and for all but this share of the samples."""
_FINE_QUALITY = 95
"""Encoding quality for which these bounds hold; they grow as quality falls."""
_PALETTE_MEAN, _PALETTE_PEAK = 6.0, 64.0
"""The same for at most 256 colours: any palette is off by this much on noise."""
_CHROMA_PEAK = 16.0
"""The same for lossy WebP, whose chroma has half the resolution: edges between colours are off by 10 at any quality.

What is misread is off by far more than any of these.
"""
_LOSSY_COMPRESSIONS = {7, 50001}
_DIFFERENT = "two libraries read different pixels in it, or its upscaled copy would look different"


@dataclass(frozen=True, slots=True)
class Frame:
    """One page or frame, as it is stored.

    Attributes:
        pixels: height x width, or height x width x channels (R, G, B, A).
        top: the value of white.
        alpha: the last channel is transparency, and the colours are not multiplied by it.
        rounding: how far samples may be off because the second reader rounds them; None where coding is lossy.
    """

    pixels: Pixels
    top: float
    alpha: bool = False
    rounding: float | None = 0


def verify(header: Header, original: bytes, result: bytes, quality: int) -> None:
    """Compare an upscaled image with `cv2.resize` of what another library reads in the original.

    Lossless images must be equal; lossy ones near, at the original's size, at which their colours are coded. That
    library reads both files, at full depth, alpha included.

    Raises:
        UnsupportedImage: the two differ, or no other library reads the image.
    """
    with stderr_capture.capture():
        _verify(header, original, result, quality)


def _verify(header: Header, original: bytes, result: bytes, quality: int) -> None:
    if header.format in ("BMP", "GIF"):
        _confirm(header, original)
    upscaled = _frames(header, result)
    for frame in _frames(header, original):
        found = next(upscaled, None)
        if found is None:
            raise UnsupportedImage("the upscaled image has fewer frames")
        expected = pixels.upscaled(frame.pixels, alpha=frame.alpha)
        if header.format == "GIF":
            expected = _cut_out(expected)
        same_kind = (expected.shape, expected.dtype) == (found.pixels.shape, found.pixels.dtype)
        if not same_kind or not _alike(expected, found.pixels, frame, header, quality):
            raise UnsupportedImage(_DIFFERENT)


def _frames(header: Header, data: bytes) -> Iterator[Frame]:
    read = {"AVIF": _avif, "BMP": _bmp, "GIF": _gif, "JPEG": _cmyk, "JPEG 2000": _jp2, "PNM": _pnm, "TIFF": _tiff}
    if header.format == "PNG" and not header.animated:
        read["PNG"] = _png
    try:
        yield from read.get(header.format, _pillow)(header, data)
    except UnsupportedImage:
        raise
    except Exception as error:  # readers raise arbitrary exceptions
        raise UnsupportedImage(f"no second library can read it: {type(error).__name__}: {error}") from error


def _alike(expected: Pixels, found: Pixels, frame: Frame, header: Header, quality: int) -> bool:
    """Compare band by band, so that no whole image of differences is held."""
    bounds = {"GIF": (_PALETTE_MEAN, _PALETTE_PEAK), "WebP": (_MEAN, _CHROMA_PEAK)}
    mean, peak = bounds.get(header.format, (_MEAN, _PEAK))
    loss = max(100 - quality, 100 - _FINE_QUALITY) / (100 - _FINE_QUALITY)
    total = peaks = np.zeros(1)
    for at in range(0, len(expected), _ROWS):
        one, other = expected[at : at + _ROWS], found[at : at + _ROWS]
        if frame.rounding == 0:
            if not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
                return False
            continue
        if frame.rounding is not None:
            if np.abs(one.astype(np.float32) - other).max() > frame.rounding:
                return False
            continue
        off = np.abs(pixels.halved(one) - pixels.halved(other)).reshape(one.shape[0] * one.shape[1] // 4, -1)
        off *= 255 / frame.top
        if frame.alpha:  # colours are weighted by alpha
            off[:, :-1] *= pixels.halved(one).reshape(len(off), -1)[:, -1:] / np.float32(frame.top)
        total = total + off.sum(axis=0, dtype=np.float64)
        peaks = peaks + np.count_nonzero(off > peak * loss, axis=0)
    count = expected.shape[0] * expected.shape[1] // 4
    return bool((total <= mean * loss * count).all() and (peaks <= max(_PEAK_SHARE * count, 1)).all())


def _pillow(header: Header, data: bytes) -> Iterator[Frame]:
    """Animations."""
    rounding = None if header.format == "WebP" and not header.lossless else 0
    with Image.open(io.BytesIO(data)) as file:
        for number in range(header.frames):
            file.seek(number)
            alpha = header.animated or file.has_transparency_data
            yield Frame(np.asarray(file.convert("RGBA" if alpha else "RGB")), 255, alpha, rounding)


def _pnm(header: Header, data: bytes) -> Iterator[Frame]:
    """Pillow reads whites as 255, or 65535 in deep grey images."""
    top = pnm.read(data).top
    with Image.open(io.BytesIO(data)) as file:
        if file.mode == "I":
            rounding = 0 if top == 0xFFFF else 0xFFFF / top + 1
            yield Frame(np.asarray(file).astype(np.uint16), 0xFFFF, rounding=rounding)
        else:
            yield Frame(np.asarray(file.convert("RGB")), 255, rounding=0 if top in (1, 255) else 1)


def _cmyk(header: Header, data: bytes) -> Iterator[Frame]:
    """JPEG of four inks, which the files of Adobe's programs hold inverted."""
    samples = imagecodecs.jpeg8_decode(data)
    inverted = any(segment.marker == jpeg.APP14 for segment in jpeg.read(data).segments)
    yield Frame(255 - samples if inverted else samples, 255, rounding=None)


def _png(header: Header, data: bytes) -> Iterator[Frame]:
    samples = imagecodecs.png_decode(data)
    yield Frame(samples, 2**header.bits - 1, samples.ndim == 3 and samples.shape[2] in (2, 4))


def _gif(header: Header, data: bytes) -> Iterator[Frame]:
    frames = pillow.frames(data, "RGBA", header.frames)
    return (Frame(_cut_out(frame), 255, alpha=True, rounding=None) for frame in frames)


def _bmp(header: Header, data: bytes) -> Iterator[Frame]:
    frame = next(pillow.frames(data))
    yield Frame(frame, 255, alpha=frame.shape[2:] == (4,))


def _confirm(header: Header, data: bytes) -> None:
    """Raise UnsupportedImage unless another reader sees the same pixels in a BMP or GIF as Pillow, the codec's.

    One of two is enough: giflib knows nothing of what no frame covers, and OpenCV does not read some files.
    """
    read: Callable[[bytes], Pixels] = imagecodecs.gif_decode
    alike: Callable[[Pixels], Pixels] = _cut_out
    if header.format == "BMP":
        read = functools.partial(imagecodecs.bmp_decode, asrgb=True)
        alike = _rgba if bmp.read(data).alpha else lambda other: _rgba(other[:, :, :3])
    frames = [alike(frame) for frame in pillow.frames(data, "RGBA", header.frames)]
    for other in (read, _by_opencv):
        with contextlib.suppress(Exception):  # it does not read the file
            found = other(data)
            found = found.reshape(len(frames), *frames[0].shape[:2], -1)
            if all(np.array_equal(frame, alike(seen)) for frame, seen in zip(frames, found, strict=True)):
                return
    raise UnsupportedImage(_DIFFERENT)


def _by_opencv(data: bytes) -> Pixels:
    return np.stack([pixels.reversed_colours(frame) for frame in pixels.decode_frames(data)])


def _rgba(image: Pixels) -> Pixels:
    """Grey, RGB or RGBA as RGBA."""
    colours = image if image.shape[2] > 2 else np.dstack([image[:, :, 0]] * 3)
    return colours if colours.shape[2] == 4 else np.dstack((colours, np.full(colours.shape[:2], 255, np.uint8)))


def _cut_out(image: Pixels) -> NDArray[np.uint8]:
    """Pixels either fully opaque or fully transparent, as in GIF."""
    opaque = image[:, :, 3] >= 128 if image.shape[2] == 4 else np.ones(image.shape[:2], bool)
    cut_out = np.full((*image.shape[:2], 4), 255, np.uint8)
    cut_out[:, :, :3] = image[:, :, :3]
    cut_out[~opaque] = 0
    return cut_out


def _jp2(header: Header, data: bytes) -> Iterator[Frame]:
    yield Frame(imagecodecs.jpeg2k_decode(data), 2**header.bits - 1, jp2.read(data).straight_alpha)


def _avif(header: Header, data: bytes) -> Iterator[Frame]:
    bits, _, _ = avif.coding(avif.read(data))
    samples = imagecodecs.avif_decode(data)
    rounding = 0 if header.lossless else None
    yield Frame(samples, 2**bits - 1, header.channels == 4, rounding)


def _tiff(header: Header, data: bytes | bytearray) -> Iterator[Frame]:
    """Read by libtiff. CMYK is relabelled as RGB, because libtiff would convert it."""
    file = Tiff(data)
    for number, page in enumerate(file.pages()):
        photometric = file.number(page, tiff.PHOTOMETRIC, -1)
        if photometric == tiff.CMYK:
            data = bytearray(data)
            struct.pack_into(file.order + "H", data, page.fields[tiff.PHOTOMETRIC].at, tiff.RGB)
        samples = codecs_tiff.shown(imagecodecs.tiff_decode(data, index=number), file, page)
        lossy = file.number(page, tiff.COMPRESSION, 1) in _LOSSY_COMPRESSIONS
        top = {1: 0xFF, 2: 0xFFFF}.get(samples.dtype.itemsize, 1)
        yield Frame(samples, top, file.straight_alpha(page), None if lossy else 0)
