"""What becomes of the images in folders: upscaled right, skipped and why, or wrong.

python -m tests.bench.corpus FOLDER...

A result is right if ImageMagick, or else Pillow, sees in it what bilinear upscaling makes of what it sees in the
original, frame by frame, transparency included. Exits with 1 if any is wrong.
"""

import io
import multiprocessing
import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scaler.images.codecs import upscale
from scaler.images.probe import Header, UnsupportedImage, memory_needed, read_header
from shared.filenames import READABLE

_MEMORY, _SECONDS, _PIXELS = 6 << 30, 240, 2_000_000
_BOUNDS = {"AVIF": (2.0, 16.0), "GIF": (6.0, 64.0), "JPEG": (3.0, 24.0), "WebP": (3.0, 24.0)}
"""By how much of 255 samples may be off: on average, and all but a thousandth; what is lossless only rounds."""
_UNJUDGED = "upscaled, and neither reads the original"

type Frames = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    path: str
    kind: str
    outcome: str
    detail: str = ""


def examine(path: str) -> Outcome:
    """Upscale one file and judge the result."""
    data, kind = Path(path).read_bytes(), "none"
    try:
        header = read_header(data)
        kind = header.format
        if memory_needed(header) + len(data) > _MEMORY // 4 or header.width * header.height > _PIXELS:
            return Outcome(path, kind, "skipped", "it is too large for this run")
        result = upscale(data)
    except UnsupportedImage as skipped:
        return Outcome(path, kind, "skipped", skipped.reason)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return Outcome(path, kind, "wrong", f"{type(error).__name__}: {error}")
    if header.bits >= 32:
        return Outcome(path, kind, "upscaled; floating-point, which neither shows")
    faults = [_judged(look, data, result, header) for look in (_by_imagemagick, _by_pillow)]
    if "" in faults:
        return Outcome(path, kind, "right")
    known = [fault for fault in faults if fault is not None]
    return Outcome(path, kind, "wrong", "; ".join(known)) if known else Outcome(path, kind, _UNJUDGED)


def _judged(look: Callable[[bytes, Header], list[Frames]], data: bytes, result: bytes, header: Header) -> str | None:
    """What is wrong with the result; empty if nothing is, None if the original cannot be read."""
    try:
        before = look(data, header)
    except (OSError, ValueError, SyntaxError, subprocess.SubprocessError):
        return None
    try:
        return _fault(before, look(result, header), header.format)
    except (OSError, ValueError, SyntaxError, subprocess.SubprocessError) as error:
        return f"the result cannot be read: {error}"


def _by_pillow(data: bytes, header: Header) -> list[Frames]:
    found = []
    with Image.open(io.BytesIO(data)) as file:
        for number in range(header.frames):
            file.seek(number)
            found += _planes(file)
    return found


def _planes(file: Image.Image) -> list[Frames]:
    """A frame as one image of R, G, B and A; inks and deep greys, which Pillow converts coarsely, as one each."""
    if file.mode not in ("CMYK", "I;16", "I;16B", "I"):
        return [np.asarray(file.convert("RGBA")).astype(np.float32)]
    samples = np.atleast_3d(np.asarray(file).astype(np.float32)) / np.float32(1 if file.mode == "CMYK" else 257)
    opaque = np.full(samples.shape[:2], 255, np.float32)
    return [np.dstack((*[samples[:, :, channel]] * 3, opaque)) for channel in range(samples.shape[2])]


def _by_imagemagick(data: bytes, header: Header) -> list[Frames]:
    kind, count = header.format, header.frames if header.format != "PNG" else 1
    raw = "j2k" if data[:4] == b"\xff\x4f\xff\x51" else "jp2"
    extension = {"JPEG 2000": raw, "PNM": "pnm", "TIFF": "tiff"}.get(kind, kind.lower())
    return list(_shown(data, extension, count))


def _shown(data: bytes, extension: str, count: int) -> Iterator[Frames]:
    """Frames as ImageMagick shows them (height x width x R, G, B, A from 0 to 255)."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / f"in.{extension}", Path(folder) / "out.rgba"
        source.write_bytes(data)
        coalesce = ["-coalesce"] if extension in ("gif", "webp") and count > 1 else []
        name = f"{extension}:{source}" + ("[0]" if count == 1 else "")
        colours = ["-colorspace", "sRGB"] if extension == "tiff" else []  # of those in YCbCr
        sizes = subprocess.run(
            [
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
            ],
            capture_output=True,
            check=True,
            timeout=_SECONDS,
            text=True,
        ).stdout
        samples, at = np.fromfile(target, "<u2"), 0
        for width, height in re.findall(r"(\d+)x(\d+)", sizes) or re.findall(r"^(\d+) (\d+)$", sizes, re.MULTILINE):
            size = int(width) * int(height) * 4
            if at + size > len(samples):
                raise ValueError("ImageMagick gave fewer samples than pixels")
            yield samples[at : at + size].reshape(int(height), int(width), 4).astype(np.float32) / 257
            at += size


def _fault(before: list[Frames], after: list[Frames], kind: str) -> str:
    if len(before) != len(after):
        return f"{len(after)} frames of {len(before)}"
    mean, peak = _BOUNDS.get(kind, (1.0, 2.0))
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        expected = old.copy()
        expected[:, :, :3] *= old[:, :, 3:] / 255
        expected = cv2.resize(expected, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        if expected.shape != new.shape:
            return f"frame {number} is of {new.shape[1]} x {new.shape[0]} pixels"
        found = new.copy()
        found[:, :, :3] *= new[:, :, 3:] / 255
        if kind == "GIF":
            expected[:, :, 3] = np.where(expected[:, :, 3] < 127.5, 0, 255)
            visible = (expected[:, :, 3:] > 0) & (
                cv2.erode(old[:, :, 3], np.ones((3, 3))).repeat(2, 0).repeat(2, 1) > 0
            )[:, :, None]
            expected[:, :, :3] *= visible
            found[:, :, :3] *= visible
        off = np.abs(expected - found).reshape(-1, 4)
        means, peaks = off.mean(axis=0), np.percentile(off, 99.9, axis=0)
        if (means > mean).any() or (peaks > peak).any():
            return f"frame {number} is off by {means.round(2)} on average, {peaks.round(1)} at most"
    return ""


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def main() -> int:
    """Print the outcome by kind, then all that are wrong."""
    folders = [Path(folder) for folder in sys.argv[1:]]
    paths = [str(p) for folder in folders for p in sorted(folder.rglob("*")) if p.suffix.lower() in READABLE]
    counts: Counter[tuple[str, str, str]] = Counter()
    wrong = []
    with multiprocessing.get_context("spawn").Pool(2, _limited, maxtasksperchild=50) as pool:
        for outcome in pool.imap_unordered(examine, [p for p in paths if Path(p).is_file()]):
            counts[outcome.kind, outcome.outcome, outcome.detail if outcome.outcome == "skipped" else ""] += 1
            wrong += [outcome] if outcome.outcome == "wrong" else []
    with suppress(BrokenPipeError):
        for (kind, what, reason), count in sorted(counts.items()):
            print(f"{kind:10} {count:6} {what}{': ' if reason else ''}{reason}")  # noqa: T201
        for outcome in wrong:
            print(f"WRONG {outcome.path}: {outcome.detail}")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
