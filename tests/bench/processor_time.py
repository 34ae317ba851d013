"""Processor time of upscaling, format by format, against the plain way: decode, `cv2.resize`, encode.

python -m tests.bench.processor_time

The plain way is OpenCV's, on the same image, with the same quality or compression, and keeps nothing else. Both take
turns in one process of one thread, and the least of their times count, so that another load on the machine shows least.
"""

import functools
import io
import sys
import time
from collections.abc import Callable

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scaler.images.codecs import upscale
from tests.bench import samples

ROUNDS, WIDTH, HEIGHT, FRAMES, LIMIT = 5, 1000, 750, 8, 3.0
type Plain = Callable[[bytes], object]


def _still(extension: str, *parameters: int) -> Plain:
    def plain(data: bytes) -> object:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert stored is not None
        image = cv2.resize(stored, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        return cv2.imencode(extension, image, parameters)

    return plain


def _animation(extension: str, *parameters: int) -> Plain:
    def plain(data: bytes) -> object:
        _, animation = cv2.imdecodeanimation(np.frombuffer(data, np.uint8))
        animation.frames = [cv2.resize(frame, None, fx=2, fy=2) for frame in animation.frames]
        return cv2.imencodeanimation(extension, animation, parameters)

    return plain


def _scene() -> Image.Image:
    return samples.scene(WIDTH, HEIGHT)


def _clear() -> Image.Image:
    image = _scene().copy()
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))))
    return image


def _deep() -> NDArray[np.uint16]:
    return np.asarray(_scene())[:, :, ::-1].astype(np.uint16) * 257


def _written(extension: str, image: NDArray[np.integer], *parameters: int) -> bytes:
    return cv2.imencode(extension, image, parameters)[1].tobytes()


def _moving(name: str, **options: object) -> bytes:
    frames = [Image.new("RGB", (320, 240), (240, 240, 235)) for _ in range(FRAMES)]
    for number, frame in enumerate(frames):
        frame.paste(samples.scene(320, 240).crop((0, 0, 80, 60)).quantize(60).convert("RGB"), (20 * number, 90))
    return samples.saved(frames[0], name, save_all=True, append_images=frames[1:], duration=100, **options)


_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)
_WEBP, _LOSSLESS_WEBP = (cv2.IMWRITE_WEBP_QUALITY, 95), (cv2.IMWRITE_WEBP_LOSSLESS_MODE, 2)
_LZW = (cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW)
_AVIF = (cv2.IMWRITE_AVIF_QUALITY, 95)
_JP2 = (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)
KINDS: dict[str, tuple[Callable[[], bytes], Plain]] = {
    "JPEG": (lambda: samples.saved(_scene(), "JPEG", quality=92), _still(".jpg", *_JPEG)),
    "JPEG, progressive": (
        lambda: samples.saved(_scene(), "JPEG", quality=92, progressive=True),
        _still(".jpg", *_JPEG, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    ),
    "JPEG, CMYK": (lambda: samples.saved(_scene().convert("CMYK"), "JPEG", quality=92), _still(".jpg", *_JPEG)),
    "PNG": (lambda: samples.saved(_scene(), "PNG"), _still(".png")),
    "PNG with alpha": (lambda: samples.saved(_clear(), "PNG"), _still(".png")),
    "PNG, 16 bits": (lambda: _written(".png", _deep()), _still(".png")),
    "PNG, animated": (lambda: _moving("PNG"), _animation(".png")),
    "WebP": (lambda: samples.saved(_scene(), "WebP", quality=90), _still(".webp", *_WEBP)),
    "WebP, lossless": (lambda: samples.saved(_scene(), "WebP", lossless=True), _still(".webp", *_LOSSLESS_WEBP)),
    "WebP, animated": (lambda: _moving("WebP", quality=90), _animation(".webp", *_WEBP)),
    "TIFF": (lambda: samples.saved(_scene(), "TIFF", compression="tiff_lzw"), _still(".tif", *_LZW)),
    "TIFF, 16 bits": (lambda: _written(".tif", _deep(), *_LZW), _still(".tif", *_LZW)),
    "AVIF": (lambda: samples.saved(_scene(), "AVIF", quality=90, speed=9), _still(".avif", *_AVIF)),
    "AVIF, 10 bits": (
        lambda: _written(".avif", _deep() >> 6, *_AVIF, cv2.IMWRITE_AVIF_DEPTH, 10),
        _still(".avif", *_AVIF, cv2.IMWRITE_AVIF_DEPTH, 10),
    ),
    "GIF": (lambda: samples.saved(samples.scene(500, 375).quantize(128), "GIF"), _still(".gif")),
    "GIF, animated": (lambda: _moving("GIF"), _animation(".gif")),
    "BMP": (lambda: samples.saved(_scene(), "BMP"), _still(".bmp")),
    "JPEG 2000": (lambda: samples.saved(samples.scene(500, 375), "JPEG 2000"), _still(".jp2", *_JP2)),
    "PNM": (lambda: samples.saved(_scene(), "PNM"), _still(".ppm")),
}
REASONS = {
    "JPEG, CMYK": "four inks at full resolution, read by a second library too; OpenCV writes three colours",
    "GIF": "its colours are chosen by k-means; OpenCV's are off by 20 of 255",
    "GIF, animated": "as GIF, for each frame",
    "BMP": "read by a second library too; the plain way only copies bytes",
}
"""Why a kind takes more than `LIMIT` times the plain way."""


def _least(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def measure(name: str, rounds: int = ROUNDS) -> tuple[float, float]:
    """Seconds that upscaling a kind takes, and the plain way."""
    make, plain = KINDS[name]
    data = make()
    ours, theirs = functools.partial(upscale, data), functools.partial(plain, data)
    ours()
    times = [(_least(ours), _least(theirs)) for _ in range(rounds)]
    return min(own for own, _ in times), min(other for _, other in times)


def main() -> int:
    """Print the table as Markdown; 1 if a kind takes too long without a reason."""
    out, missing = io.StringIO(), 0
    out.write("|  | this project | plain OpenCV | ratio |  |\n| --- | --- | --- | --- | --- |\n")
    for name in KINDS:
        own, plain = measure(name)
        reason = REASONS.get(name, "") if own > LIMIT * plain else ""
        missing += own > LIMIT * plain and not reason
        out.write(f"| {name} | {1000 * own:.0f} ms | {1000 * plain:.0f} ms | {own / plain:.1f} | {reason} |\n")
    click.echo(out.getvalue(), nl=False)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
