"""Memory as predicted, several threads at once, and a quick start."""

import io
import struct
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from scaler.images.codecs import upscale
from scaler.images.probe import Header, memory_needed, read_header
from tests.bench import samples

_PEAK = """
import sys
from pathlib import Path
from scaler.images.probe import memory_needed, read_header
from scaler.images.codecs import upscale

def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))

small, large = (Path(name).read_bytes() for name in sys.argv[1:])
upscale(small)
Path("/proc/self/clear_refs").write_text("5")
before = peak()
upscale(large)
print(peak() - before, memory_needed(read_header(large)))
"""


def _noise(width: int = 1000, height: int = 800) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


_KINDS: dict[str, tuple[str, str, dict[str, object]]] = {
    "baseline JPEG": ("JPEG", "RGB", {"quality": 95}),
    "JPEG 4:4:4": ("JPEG", "RGB", {"quality": 95, "subsampling": 0}),
    "progressive JPEG": ("JPEG", "RGB", {"progressive": True}),
    "progressive JPEG 4:4:4": ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    "PNG": ("PNG", "RGB", {"compress_level": 1}),
    "PNG with alpha": ("PNG", "RGBA", {"compress_level": 1}),
    "TIFF": ("TIFF", "RGB", {}),
    "BMP": ("BMP", "RGB", {}),
    "WebP": ("WebP", "RGB", {"method": 0}),
    "JPEG 2000": ("JPEG 2000", "L", {}),
    "AVIF": ("AVIF", "RGB", {"speed": 10}),
    "GIF": ("GIF", "P", {}),
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are measured in Linux's way")
@pytest.mark.parametrize("kind", _KINDS)
def test_memory_is_predicted(kind: str, tmp_path: Path) -> None:
    name, mode, options = _KINDS[kind]
    image = _noise(300, 200) if name == "GIF" else _noise()
    if name == "AVIF":  # whose colours of full noise are coded too coarsely to be accepted
        image = image.point(lambda value: 96 + value // 4)
    image = image.quantize() if mode == "P" else image.convert(mode)
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(samples.saved(image.crop((0, 0, 32, 32)), name, **options))
    large.write_bytes(samples.saved(image, name, **options))
    command = [sys.executable, "-c", _PEAK, str(small), str(large)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    taken, predicted = (int(number) for number in output.split())
    assert taken <= predicted
    assert predicted <= 2 * taken + (48 << 20)


def _carrying(name: str) -> bytes:
    """A small image with 12 MB beside its pixels."""
    data, blob = samples.plain(name), bytes(12 << 20)
    if name == "JPEG":
        segment = struct.pack(">BBH", 0xFF, 0xEA, 0xFFFF) + blob[: 0xFFFF - 2]
        return data[:2] + segment * (len(blob) // len(segment)) + data[2:]
    if name == "GIF":
        at = 13 + (3 << (data[10] & 7) + 1)
        return data[:at] + b"\x21\xfe" + (b"\xff" + blob[:255]) * (len(blob) // 256) + b"\0" + data[at:]
    if name == "TIFF":
        file = io.BytesIO()
        tag = (65_000, 7, len(blob), blob, True)
        tifffile.imwrite(file, np.asarray(samples.scene()), photometric="rgb", metadata=None, extratags=[tag])
        return file.getvalue()
    return samples.saved(samples.scene(), name, xmp=b" " * len(blob))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are measured in Linux's way")
@pytest.mark.parametrize("name", ["JPEG", "GIF", "TIFF", "AVIF", "WebP"])
def test_memory_for_what_is_carried_over_is_predicted(name: str, tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(samples.plain(name))
    large.write_bytes(_carrying(name))
    command = [sys.executable, "-c", _PEAK, str(small), str(large)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    taken, predicted = (int(number) for number in output.split())
    assert 12 << 20 < taken <= predicted


def test_a_header_is_read_without_copying_what_stands_beside_it() -> None:
    for name in ("JPEG", "GIF", "TIFF", "AVIF", "WebP"):
        data = _carrying(name)
        tracemalloc.start()
        try:
            read_header(data)
            assert tracemalloc.get_traced_memory()[1] < 2 << 20
        finally:
            tracemalloc.stop()


def test_a_large_photograph_fits_where_it_should() -> None:
    assert memory_needed(Header("JPEG", 8000, 6000, 3, 8, everyday=True, chroma=0.25, size=15 << 20)) < 1 << 30


def test_threads_do_not_disturb_each_other() -> None:
    images = [samples.plain(name) for name in samples.EXTENSIONS for _ in range(3)]
    alone = [upscale(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(upscale, images)) == alone


def test_headers_are_read_without_opencv_and_numpy() -> None:
    code = "import sys, scaler.images.probe; print([name for name in ('cv2', 'numpy', 'PIL') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"[]\n"


def test_what_other_code_says_is_still_shown() -> None:
    code = (
        "import ctypes, scaler.images.codecs\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.fputs(b'heard\\n', ctypes.c_void_p.in_dll(libc, 'stderr'))"
    )
    outcome = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert outcome.stderr == "heard\n"
