"""The thumbnail of what is upscaled."""

import io
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scaler.images.codecs import preview, upscale, upscale_with_thumbnail
from scaler.images.probe import UnsupportedImage
from tests.bench.samples import EXTENSIONS, scene


def quarters(width: int = 640, height: int = 320, mode: str = "RGB") -> Image.Image:
    """Red, green, blue and white, from the top left."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    across, down = width // 2, height // 2
    for left, top, colour in ((0, 0, (255, 0, 0)), (across, 0, (0, 255, 0)), (0, down, (0, 0, 255))):
        image.paste(colour, (left, top, left + across, top + down))
    return image.convert(mode)


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def thumbnail(data: bytes) -> Image.Image:
    result, jpeg = upscale_with_thumbnail(data)
    assert result == upscale(data)
    return Image.open(io.BytesIO(jpeg))


def corners(image: Image.Image) -> list[str]:
    """The nearest of the four colours in each corner, from the top left."""
    names = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    width, height = image.size
    found = []
    for x, y in ((4, 4), (width - 5, 4), (4, height - 5), (width - 5, height - 5)):
        pixel = np.array(image.convert("RGB").getpixel((x, y)), int)
        found.append(min(names, key=lambda name: int(np.abs(pixel - names[name]).sum())))
    return found


# Sharp edges between strong colours are not the same to two readers of coarser colours, and would be skipped.
OPTIONS: dict[str, dict[str, object]] = {"AVIF": {"subsampling": "4:4:4"}, "WEBP": {"lossless": True}}
UPRIGHT = ["red", "green", "blue", "white"]


@pytest.mark.parametrize("name", list(EXTENSIONS))
def test_every_format_has_one_in_its_colours(name: str) -> None:
    pillow = {"WebP": "WEBP", "JPEG 2000": "JPEG2000", "PNM": "PPM"}.get(name, name)
    small = thumbnail(encoded(quarters(), pillow, **OPTIONS.get(name, {})))
    assert (small.format, small.size) == ("JPEG", (80, 40))
    assert corners(small) == UPRIGHT


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP"])
def test_an_animation_shows_its_first_frame(name: str) -> None:
    other = Image.new("RGB", (640, 320), (9, 9, 9))
    options = {"save_all": True, "append_images": [other], "duration": 50, **OPTIONS.get(name, {})}
    assert corners(thumbnail(encoded(quarters(), name, **options))) == UPRIGHT


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_people_see_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    undone = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = quarters() if undone is None else quarters().transpose(undone)
    assert corners(thumbnail(encoded(stored, "JPEG", exif=exif))) == UPRIGHT


@pytest.mark.parametrize(
    ("original", "size"),
    [((20, 10), (20, 10)), ((400, 200), (80, 40)), ((1600, 800), (133, 66)), ((3000, 4), (160, 1))],
)
def test_it_is_as_large_as_the_original_is_worth(original: tuple[int, int], size: tuple[int, int]) -> None:
    assert thumbnail(encoded(quarters(*original), "PNG")).size == size


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_transparent_is_white(dtype: type[np.integer]) -> None:
    pixels: NDArray[Any] = np.zeros((300, 300, 4), dtype)
    pixels[:, :150] = (0, 0, np.iinfo(dtype).max, np.iinfo(dtype).max)
    done, data = cv2.imencode(".png", pixels)
    assert done
    assert corners(thumbnail(data.tobytes())) == ["red", "white"] * 2


def test_no_image_is_left_because_of_its_thumbnail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "_small", lambda _: 1 / 0)
    data = encoded(quarters(), "PNG")
    assert upscale_with_thumbnail(data) == (upscale(data), b"")


def test_an_image_that_cannot_be_upscaled_has_none() -> None:
    with pytest.raises(UnsupportedImage):
        upscale_with_thumbnail(b"no image")
    assert preview._current.get() is None


def test_it_costs_little_beside_the_image() -> None:
    """At most 2 % of a photograph's processor time; the least of five leaves out what a loaded machine adds."""
    data = encoded(scene(3000, 2000), "JPEG", quality=92)
    pixels = np.asarray(scene(3000, 2000))

    def least(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(5):
            before = time.thread_time()
            work()
            taken.append(time.thread_time() - before)
        return min(taken)

    assert least(lambda: preview.Collected(data).take(pixels)) < 0.02 * least(lambda: upscale(data))
