"""One file of every kind that the formats' specifications allow, within reason, or that libraries are known to misread.

They are built here from Pillow, tifffile, imagecodecs, OpenCV, `struct` and the programs on this machine, by no code of
the product; nothing is downloaded. Where a file was built from samples, it brings them along as its truth, so that no
reader has to be believed.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.bench import samples

WIDTH, HEIGHT = 46, 35
FORMATS = {
    "AVIF": "avif",
    "BMP": "bmp",
    "GIF": "gif",
    "JPEG": "jpeg",
    "JPEG 2000": "jp2",
    "PNG": "png",
    "PNM": "pnm",
    "TIFF": "tiff",
    "WebP": "webp",
    "others": "others",
}

type Samples = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One file.

    Attributes:
        truth: its pixels (height x width x R, G, B, A, from 0 to 1) where they are known; of its only frame.
    """

    format: str
    name: str
    data: bytes
    truth: Samples | None = None


def every(*formats: str) -> Iterator[Kind]:
    """Build all kinds of these formats, or of all; those whose program is missing on this machine are left out."""
    for name in formats or FORMATS:
        module = import_module(f"tests.bench.kinds.{FORMATS[name]}")
        seen = set()
        for kind, data, *truth in module.kinds():
            assert kind not in seen, kind
            seen.add(kind)
            if data is not None:
                yield Kind(name, kind, bytes(data), *truth)


def scene() -> Image.Image:
    """An image like a photograph, of odd sides."""
    return samples.scene(WIDTH, HEIGHT)


def rgb() -> Samples:
    """Its samples."""
    return np.asarray(scene())


def grey() -> Samples:
    """It without colours."""
    return np.asarray(scene().convert("L"))


def ramp() -> Samples:
    """Transparency: nothing at the left, all at the right, with a hard edge in between (height x width)."""
    alpha = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    alpha[10:20, 10:20], alpha[20:, 30:] = 255, 0
    return alpha


def rgba() -> Samples:
    """The image with transparency."""
    return np.dstack((rgb(), ramp()))


def deep(samples: Samples) -> Samples:
    """The same with 16 bits, whose lower eight matter."""
    wide = samples.astype(np.uint16) * 257
    return np.where(wide > 300, wide - np.arange(wide.size, dtype=np.uint16).reshape(wide.shape) % 251, wide)


def truth(samples: Samples, top: float = 255) -> Samples:
    """Samples as floating-point R, G, B, A."""
    planes = np.atleast_3d(samples.astype(np.float64) / top)
    if planes.shape[2] < 3:
        planes = np.dstack((*[planes[:, :, 0]] * 3, *np.moveaxis(planes[:, :, 1:], 2, 0)))
    return planes if planes.shape[2] == 4 else np.dstack((planes, np.ones(planes.shape[:2])))


def made(
    command: str, output: str, image: Samples | Image.Image | bytes | None = None, source: str = ".png"
) -> bytes | None:
    """What a program makes of an image: IN and OUT in its command are the files; None if it is not installed."""
    program, *words = command.split()
    if shutil.which(program) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / f"in{source}", Path(folder) / f"out{output}"
        if isinstance(image, bytes):
            before.write_bytes(image)
        else:
            picture = scene() if image is None else image
            (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(before)
        words = [word.replace("IN", str(before)).replace("OUT", str(after)) for word in words]
        done = subprocess.run([program, *words], capture_output=True, check=False, timeout=60)
        return after.read_bytes() if done.returncode == 0 and after.is_file() else None
