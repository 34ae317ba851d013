"""Draw images like photographs: smooth shapes under grain, no two alike, the same at every run.

python -m tests.bench.images FOLDER COUNT WIDTH HEIGHT
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.bench.baselines import PREFIX

QUALITY = 90
_GRAIN = 4.0
_SPARE = 256  # pixels by which the canvas is larger than an image, so that each shows another part of it


def _canvas(height: int, width: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(height * width)
    coarse = random.integers(30, 225, (13, 17, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    tile = np.clip(random.normal(128, _GRAIN, (512, 512, 3)), 0, 255).astype(np.uint8)
    repeats = (-(-height // 512), -(-width // 512), 1)
    grain = np.tile(tile, repeats)[:height, :width]
    return np.asarray(cv2.addWeighted(smooth, 1.0, grain, 1.0, -128), np.uint8)


def draw(folder: Path, count: int, width: int, height: int) -> None:
    """Write `count` JPEG files into a folder that is made for them."""
    folder.mkdir(parents=True)
    canvas = _canvas(height + _SPARE, width + _SPARE)
    random = np.random.default_rng(count)
    for number in range(count):
        top, left = random.integers(0, _SPARE, 2)
        image = canvas[top : top + height, left : left + width]
        file = folder / f"{PREFIX}-{number:05}.jpg"
        cv2.imwrite(str(file), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    draw(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
