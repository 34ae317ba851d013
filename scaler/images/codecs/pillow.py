"""What Pillow does where OpenCV cannot: BMP, GIF, CMYK JPEG."""

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scaler.images.codecs import preview, stderr_capture
from scaler.images.probe import UnsupportedImage

type Bytes = NDArray[np.uint8]

_SETTLED = 300
"""Share of the samples: one pixel in a hundred."""

# Where the channels are that OpenCV would have in its order.
_AS_OPENCV = {"RGB": [2, 1, 0], "RGBA": [2, 1, 0, 3]}

Image.MAX_IMAGE_PIXELS = None  # what fits in memory is decided from the header, before anything is decoded


def frames(data: bytes, mode: str | None = None, count: int = 1) -> Iterator[Bytes]:
    """Decode `count` frames, each as the whole image that is seen (height x width x channels of `mode`).

    Without `mode` they are grey, RGB or RGBA, as the image is.

    Raises:
        UnsupportedImage: damaged, or of a kind that Pillow does not read.
    """
    try:
        with Image.open(io.BytesIO(data)) as file:
            for number in range(count):
                yield _frame(file, number, mode)
    except (OSError, EOFError, SyntaxError, ValueError) as error:
        raise UnsupportedImage(f"Pillow cannot read it: {error}") from error


def _frame(file: Image.Image, number: int, mode: str | None) -> Bytes:
    with stderr_capture.capture():
        file.seek(number)
        mode = mode or {"1": "L", "L": "L", "RGBA": "RGBA"}.get(file.mode, "RGB")
        image = np.asarray(file if file.mode == mode else file.convert(mode))
    if mode in _AS_OPENCV:
        preview.offer(image[:, :, _AS_OPENCV[mode]])
    return image


def encode(name: str, image: NDArray[np.integer | np.floating], mode: str, **options: object) -> memoryview:
    """Encode one image in Pillow's format of this name.

    Raises:
        UnsupportedImage: Pillow cannot.
    """
    height, width = image.shape[:2]
    file = io.BytesIO()
    encoded = Image.frombuffer(mode, (width, height), np.ascontiguousarray(image), "raw", mode, 0, 1)
    if mode == "P":
        encoded.putpalette(bytes(range(256)) * 3)
    with stderr_capture.capture():
        try:
            encoded.save(file, name, **options)
        except (OSError, ValueError) as error:
            raise UnsupportedImage(f"Pillow cannot encode the upscaled image: {error}") from error
    return file.getbuffer()


def reduced(image: Bytes, limit: int) -> tuple[Bytes, Bytes]:
    """Choose up to `limit` colours for an image (height x width x R, G, B), by median cut and k-means.

    Returns:
        The number of a colour for each pixel (height x width), and the colours (n x 3).
    """
    method, dither = Image.Quantize.MEDIANCUT, Image.Dither.NONE
    settled = 1 + image.size // _SETTLED  # k-means ends when fewer pixels than that change their colour
    quantized = Image.fromarray(image).quantize(limit, method, kmeans=settled, dither=dither)
    return np.array(quantized), np.array(quantized.getpalette(), np.uint8).reshape(-1, 3)
