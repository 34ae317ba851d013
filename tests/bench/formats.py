"""What the upscaled image keeps, format by format, compared with other tools.

python -m tests.bench.formats > docs/formats.md
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
from PIL import JpegImagePlugin

from scaler.images.codecs import upscale
from scaler.images.probe import UnsupportedImage
from tests.bench import corpus, kinds, oracles, samples
from tests.bench.oracles import Verdict

QUALITY = 95
_SHOWN = 6
type Oracle = Callable[[bytes, bytes, str], Verdict]
type Case = tuple[bytes, Oracle]

NOTHING = ""
SKIPPED = "skipped"


def _one(sample: bytes | None, oracle: Oracle) -> list[Case]:
    return [] if sample is None else [(sample, oracle)]


def _alpha(name: str) -> list[Case]:
    return _one(samples.with_alpha(name), oracles.alpha) + _one(samples.of_mode(name, "LA"), oracles.alpha)


def _depth(name: str) -> list[Case]:
    return [case for bits in (10, 16, 32) for case in _one(samples.of_depth(name, bits), oracles.depth)]


def _orientation(name: str) -> list[Case]:
    return [case for turn in range(1, 9) for case in _one(samples.turned(name, turn), oracles.orientation)]


def _frames(name: str) -> list[Case]:
    return [case for clear in (False, True) for case in _one(samples.with_frames(name, clear=clear), oracles.frames)]


def _coding(name: str) -> list[Case]:
    if name == "JPEG":
        modes = [{"subsampling": number, "progressive": way} for number in (0, 1, 2) for way in (False, True)]
        return [(samples.saved(samples.scene(), name, **options), oracles.jpeg_coding) for options in modes]
    return [] if name in ("AVIF", "GIF") else [(samples.plain(name), oracles.lossless)]


PROPERTIES: dict[str, Callable[[str], list[Case]]] = {
    "EXIF": lambda name: _one(samples.with_exif(name), oracles.exif),
    "XMP": lambda name: _one(samples.with_xmp(name), oracles.xmp),
    "ICC": lambda name: _one(samples.with_profile(name), oracles.icc),
    "orientation": _orientation,
    "alpha": _alpha,
    "depth": _depth,
    "grey": lambda name: _one(samples.of_mode(name, "L"), oracles.mode),
    "palette": lambda name: _one(samples.of_mode(name, "P"), oracles.mode),
    "1 bit": lambda name: _one(samples.of_mode(name, "1"), oracles.mode),
    "CMYK": lambda name: _one(samples.of_mode(name, "CMYK"), oracles.mode),
    "frames": _frames,
    "coding": _coding,
}


class Failed(Exception):
    """The tool wrote no image."""


type Tool = Callable[[bytes, str], bytes]


def ours(data: bytes, _extension: str) -> bytes:
    """The project's own way."""
    try:
        return upscale(data, quality=QUALITY)
    except UnsupportedImage as error:
        raise Failed from error


def plain_opencv(data: bytes, extension: str) -> bytes:
    """What a short script does."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = (str(Path(folder) / (name + extension)) for name in ("in", "out"))
        Path(source).write_bytes(data)
        image = cv2.imread(source)
        if image is None:
            raise Failed
        image = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        if not cv2.imwrite(target, image):
            raise Failed
        return Path(target).read_bytes()


# The middle of the image stays in the middle, and its edges go on outside: so do OpenCV and ImageMagick.
_VIPS = ("--interpolate", "bilinear", "--odx", "0.5", "--ody", "0.5", "--extend", "copy")


def _program(*command: str) -> Tool:
    def run(data: bytes, extension: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            source, target = (Path(folder) / (name + extension) for name in ("in", "out"))
            source.write_bytes(data)
            words = {"IN": str(source), "OUT": str(target), "SAVE": str(target) + _saving(data, extension)}
            outcome = subprocess.run([words.get(word, word) for word in command], capture_output=True, check=False)
            if outcome.returncode or not target.is_file():
                raise Failed
            return target.read_bytes()

    return run


def _saving(data: bytes, extension: str) -> str:
    """What vips is told to save like: by default it stores a JPEG's colours finer than the original's."""
    if extension == ".jpg":
        subsampled = JpegImagePlugin.get_sampling(oracles.opened(data)) > 0
        return f"[Q={QUALITY},subsample_mode={'on' if subsampled else 'off'}]"
    return f"[Q={QUALITY}]" if extension in (".webp", ".avif") else ""


def tools() -> dict[str, Tool]:
    """The tools on this machine, by name."""
    found: dict[str, Tool] = {"this project": ours, "plain OpenCV": plain_opencv}
    magick = next((name for name in ("convert-im6.q16", "magick") if shutil.which(name)), None)
    if magick is not None:
        words = ("-virtual-pixel", "edge", "-filter", "Triangle", "-resize", "200%", "-quality", str(QUALITY))
        found["ImageMagick"] = _program(magick, "IN", *words, "OUT")
    if shutil.which("vips"):
        found["vips"] = _program("vips", "affine", "IN", "SAVE", "2 0 0 2", *_VIPS)
    return found


def verdict(tool: Tool, cases: list[Case], extension: str) -> str:
    """One cell: the worst of the verdicts of its cases."""
    found: set[str] = set()
    for data, oracle in cases:
        try:
            found.add(oracles.safely(oracle, data, tool(data, extension), extension))
        except Failed:
            found.add(SKIPPED)
    return next((word for word in ("lost", SKIPPED, "stale", "converted", "kept") if word in found), NOTHING)


def rows(tool: Tool) -> Iterator[list[str]]:
    """The table of one tool, row by row."""
    for name, extension in samples.EXTENSIONS.items():
        yield [name, *(verdict(tool, cases(name), extension) for cases in PROPERTIES.values())]


COLOURS: dict[str, tuple[bytes, str]] = {
    name: (samples.plain(name), extension) for name, extension in samples.EXTENSIONS.items()
} | {
    "JPEG 4:4:4": (samples.saved(samples.scene(), "JPEG", quality=92, subsampling=0), ".jpg"),
    "WebP, lossy": (samples.saved(samples.scene(), "WebP", quality=92), ".webp"),
    "AVIF 4:4:4": (samples.saved(samples.scene(), "AVIF", quality=92, subsampling="4:4:4"), ".avif"),
}


def colour(tool: Tool, name: str) -> float | None:
    """Mean difference (of 255) per channel to the unrounded upscaling; None if the tool wrote no image."""
    data, extension = COLOURS[name]
    try:
        return oracles.difference(data, tool(data, extension))
    except (Failed, OSError):
        return None


def _markdown(head: list[str], body: Iterator[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> None:
    """Print everything as Markdown."""
    found = tools()
    out = sys.stdout
    out.write("# What the upscaled image keeps\n\n")
    out.write(INTRODUCTION)
    for title, tool in found.items():
        out.write(f"\n## {title[0].upper()}{title[1:]}\n\n")
        out.write(_markdown(["", *PROPERTIES], rows(tool)))
    out.write("\n## Kinds\n\n" + KINDS)
    out.write(_markdown(["", "upscaled", "skipped", "why"], _kinds()))
    out.write("\n## Colour\n\nMean difference per channel, of 255, to bilinear upscaling without rounding.\n\n")
    figures = ([name, *(_figure(colour(tool, name)) for tool in found.values())] for name in COLOURS)
    out.write(_markdown(["", *found], figures))


def _kinds() -> Iterator[list[str]]:
    """For each format, how many kinds of the corpus are upscaled, and a row for each reason why others are not.

    Raises:
        AssertionError: one comes out wrong.
    """
    for name in kinds.FORMATS:
        outcomes = [corpus.examine(kind) for kind in kinds.every(name)]
        assert {outcome.outcome for outcome in outcomes} <= {"right", "skipped"}
        skipped: dict[str, list[str]] = {}
        for outcome in outcomes:
            if outcome.outcome == "skipped":
                skipped.setdefault(outcome.detail.partition(": ")[0], []).append(outcome.name)
        yield [name, str(len(outcomes) - sum(map(len, skipped.values()))), "", ""]
        for reason, names in sorted(skipped.items()):
            shown = names if len(names) <= _SHOWN else [*names[:_SHOWN], f"{len(names) - _SHOWN} more"]
            yield ["", "", "; ".join(shown).replace("|", "\\|"), reason]


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


KINDS = """\
Every kind of file in `tests/bench/kinds`, which `python -m tests.bench.corpus` builds, upscales and compares with what
other libraries read: how many come out right, and which are skipped. None comes out wrong.

"""
INTRODUCTION = """\
Written by `python -m tests.bench.formats`. Each cell is the result of upscaling images that were made for it, judged
by Pillow and ExifTool; the tests compare the first table with the code.

- **kept**: unchanged. EXIF and XMP fields that contain the pixel size state the new one; all eight orientations show
  the image upright; every frame, delay and loop count is there.
- **converted**: stored differently, but looks the same. Palettes become the colours they stand for; black and white
  becomes grey, because upscaling blends colours.
- **stale**: still there, but states the old size.
- **skipped**: there is no upscaled image; this project says why in the log.
- **lost**: missing or wrong, without a message.

*Depth*: more than 8 bits (16; 10 in AVIF; floating-point in TIFF). *Coding* is the chroma subsampling and progressive
mode of a JPEG; in lossless formats it means that no pixel is off by more than rounding.
"""

if __name__ == "__main__":
    main()
