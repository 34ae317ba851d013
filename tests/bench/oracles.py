"""What became of a property of an image, told by Pillow and ExifTool, not by the code under test."""

import io
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tests.bench import samples

type Verdict = Literal["kept", "converted", "stale", "lost"]

_NEAR = 4.0
"""Mean difference (of 255) up to which an image still counts as the same; a wrong one differs by tens."""


def opened(data: bytes) -> Image.Image:
    """Decode by Pillow."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def values(image: Image.Image, mode: str | None = None) -> NDArray[np.float64]:
    """Samples as floating-point numbers."""
    return np.asarray(image if mode is None else image.convert(mode)).astype(np.float64)


def twice(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The reference: upscaled bilinearly without rounding."""
    return np.asarray(cv2.resize(np.ascontiguousarray(image), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR))


def difference(before: bytes, after: bytes, mode: str = "RGB") -> float:
    """Mean difference (of 255) of a result to the reference; infinite where their sizes differ.

    Colours count as much as they are seen.
    """
    old, result = values(opened(before), mode), values(opened(after), mode)
    if mode == "RGBA":
        for image in (old, result):
            image[:, :, :3] *= image[:, :, 3:] / 255
    reference = twice(old)
    return float(np.abs(reference - result).mean()) if reference.shape == result.shape else np.inf


def tags(data: bytes, extension: str) -> dict[str, str]:
    """What ExifTool reads, by group and tag."""
    with tempfile.NamedTemporaryFile(suffix=extension) as file:
        Path(file.name).write_bytes(data)
        output = subprocess.run(["exiftool", "-j", "-G1", "-n", file.name], capture_output=True, check=False).stdout
    return {name: str(value) for name, value in json.loads(output)[0].items()} if output else {}


def exif(before: bytes, after: bytes, extension: str) -> Verdict:
    """Kept: what the camera wrote is there, and the size is the upscaled one; stale: it is the old one."""
    found = tags(after, extension)
    wanted = {name: value for name, value in tags(before, extension).items() if name.startswith(("ExifIFD", "GPS"))}
    wanted["IFD0:Model"] = samples.MODEL
    if wanted.items() <= found.items():
        return "stale"
    sides = {"ExifIFD:ExifImageWidth": 2 * samples.WIDTH, "ExifIFD:ExifImageHeight": 2 * samples.HEIGHT}
    wanted |= {name: str(side) for name, side in sides.items()}
    return "kept" if wanted.items() <= found.items() else "lost"


def xmp(_before: bytes, after: bytes, extension: str) -> Verdict:
    """Kept: the title is there, and the size is the upscaled one; stale: it is the old one."""
    found = tags(after, extension)
    sides = str(2 * samples.WIDTH), str(2 * samples.HEIGHT)
    stated = found.get("XMP-tiff:ImageWidth"), found.get("XMP-tiff:ImageHeight")
    if found.get("XMP-dc:Title") != samples.TITLE:
        return "lost"
    return "kept" if stated == sides else "stale"


def icc(_before: bytes, after: bytes, extension: str) -> Verdict:
    """Kept: the profile is there, byte for byte."""
    if extension == ".bmp":
        return "kept" if after.endswith(samples.profile()) else "lost"
    with tempfile.NamedTemporaryFile(suffix=extension) as file:
        Path(file.name).write_bytes(after)
        command = ["exiftool", "-b", "-icc_profile", file.name]
        output = subprocess.run(command, capture_output=True, check=False).stdout
    return "kept" if output == samples.profile() else "lost"


def orientation(before: bytes, after: bytes, _extension: str) -> Verdict:
    """Kept: it is seen as it was."""
    reference = twice(values(ImageOps.exif_transpose(opened(before)), "RGB"))
    result = values(ImageOps.exif_transpose(opened(after)), "RGB")
    return "kept" if result.shape == reference.shape and np.abs(result - reference).mean() < _NEAR else "lost"


def alpha(before: bytes, after: bytes, _extension: str) -> Verdict:
    """Kept: it shows through as much as before."""
    reference, result = (values(opened(data), "RGBA")[:, :, 3] for data in (before, after))
    return "kept" if np.abs(twice(reference) - result).mean() < _NEAR else "lost"


def depth(before: bytes, after: bytes, extension: str) -> Verdict:
    """Kept: as many bits, and the lower ones right too."""
    if extension == ".avif":
        bits = tags(after, extension).get("QuickTime:ImagePixelDepth", "")
        return "kept" if bits.startswith("10") and difference(before, after) < _NEAR else "lost"
    reference, result = twice(values(opened(before))), values(opened(after))
    return "kept" if reference.shape == result.shape and np.abs(reference - result).mean() < 1 else "lost"


def mode(before: bytes, after: bytes, _extension: str) -> Verdict:
    """Kept: stored in the same way; converted: in another that looks the same."""
    old, new = opened(before), opened(after)
    stored = {"1": "1", "P": "P", "I;16B": "I;16"}
    near = difference(before, after, "CMYK" if old.mode == "CMYK" == new.mode else "RGB") < _NEAR
    if not near:
        return "lost"
    return "kept" if stored.get(old.mode, old.mode) == stored.get(new.mode, new.mode) else "converted"


def frames(before: bytes, after: bytes, _extension: str) -> Verdict:
    """Kept: each frame is seen as it was, as long as before, as often as before."""
    old, new = opened(before), opened(after)
    count = getattr(old, "n_frames", 1)
    if getattr(new, "n_frames", 1) != count or old.info.get("loop") != new.info.get("loop"):
        return "lost"
    for number in range(count):
        old.seek(number)
        new.seek(number)
        if old.info.get("duration") != new.info.get("duration"):
            return "lost"
        reference, result = twice(values(old, "RGBA")), values(new, "RGBA")
        visible = reference[:, :, 3] > 254
        if reference.shape != result.shape or np.abs(reference - result)[:, :, 3].mean() > _NEAR:
            return "lost"
        if np.abs(reference - result)[visible].mean() > _NEAR:
            return "lost"
    return "kept"


def lossless(before: bytes, after: bytes, _extension: str) -> Verdict:
    """Kept: no pixel is further from the reference than rounding takes it."""
    reference, result = twice(values(opened(before))), values(opened(after))
    return "kept" if reference.shape == result.shape and np.abs(reference - result).max() < 1 else "lost"


def jpeg_coding(before: bytes, after: bytes, extension: str) -> Verdict:
    """Kept: the same chroma subsampling, the same mode."""
    names = ("File:YCbCrSubSampling", "File:EncodingProcess")
    old, new = tags(before, extension), tags(after, extension)
    return "kept" if [old.get(name) for name in names] == [new.get(name) for name in names] else "lost"


def safely(oracle: object, before: bytes, after: bytes, extension: str) -> Verdict:
    """Let `judge` decide; what Pillow cannot read is lost."""
    try:
        return oracle(before, after, extension)  # type: ignore[operator,no-any-return]
    except (UnidentifiedImageError, OSError, EOFError):
        return "lost"
