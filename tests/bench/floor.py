"""The bare floor: decode, upscale and encode on all cores, with no network and nothing kept.

python -m tests.bench.floor FOLDER
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np


def compute(file: Path) -> int:
    """One image; the size of the upscaled one in bytes."""
    image = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    upscaled = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return len(cv2.imencode(".jpg", upscaled, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


if __name__ == "__main__":
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(compute, sorted(Path(sys.argv[1]).iterdir())))
