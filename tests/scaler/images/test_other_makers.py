"""Images as other programs write them: libwebp's and libtiff's tools, ImageMagick, vips."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scaler.images.codecs import upscale
from scaler.images.probe import UnsupportedImage
from tests.bench import oracles, samples

MAGICK = next((name for name in ("convert-im6.q16", "magick") if shutil.which(name)), "magick")
MADE = {
    "lossless.webp": "cwebp -quiet -lossless alpha.png -o OUT",
    "lossy.webp": "cwebp -quiet -q 80 scene.png -o OUT",
    "lossy-alpha.webp": "cwebp -quiet -q 80 -alpha_q 50 alpha.png -o OUT",
    "tiles.tif": "tiffcp -t -w 32 -l 32 scene.tif OUT",
    "separate.tif": "tiffcp -p separate scene.tif OUT",
    "tiled-planes.tif": "tiffcp -t -w 32 -l 32 -p separate alpha.tif OUT",
    "big-endian.tif": "tiffcp -B scene.tif OUT",
    "predicted.tif": "tiffcp -c lzw:2 alpha.tif OUT",
    "pages.tif": "tiffcp scene.tif scene.tif OUT",
    "interlaced.png": f"{MAGICK} scene.png -interlace PNG OUT",
    "deep-alpha.png": f"{MAGICK} alpha.png -depth 16 PNG64:OUT",
    "palette-alpha.png": f"{MAGICK} alpha.png -colors 50 PNG8:OUT",
    "grey-alpha.png": f"{MAGICK} alpha.png -colorspace Gray PNG:OUT",
    "deep-alpha.tif": f"{MAGICK} alpha.png -depth 16 OUT",
    "fax.tif": f"{MAGICK} scene.png -monochrome -compress Group4 OUT",
    "ink.tif": f"{MAGICK} scene.png -colorspace CMYK OUT",
    "ink.jpg": f"{MAGICK} scene.png -colorspace CMYK OUT",
    "411.jpg": f"{MAGICK} scene.png -sampling-factor 4x1 OUT",
    "440.jpg": f"{MAGICK} scene.png -sampling-factor 1x2 OUT",
    "palette.bmp": f"{MAGICK} scene.png -colors 12 -type palette -compress None BMP3:OUT",
    "moving.gif": f"{MAGICK} -delay 10 scene.png -delay 20 alpha.png -loop 2 OUT",
    "text.ppm": f"{MAGICK} scene.png -compress none OUT",
    "text.pbm": f"{MAGICK} scene.png -monochrome -compress none OUT",
    "codestream.j2k": f"{MAGICK} scene.png OUT",
    "tiles.jp2": "vips jp2ksave alpha.png OUT --tile-width 32 --tile-height 32",
    "alpha.avif": "vips heifsave alpha.png OUT --compression av1 --Q 80",
    "deep.avif": "vips heifsave scene.png OUT --compression av1 --bitdepth 12 --subsample-mode on",
    "zstd.tif": "vips tiffsave scene.png OUT --compression zstd",
    "pyramid.tif": "vips tiffsave scene.png OUT --tile --pyramid",
}
SKIPPED = {
    "large.tif": ("tiffcp -8 scene.tif OUT", "BigTIFF"),
    "lab.tif": (f"{MAGICK} scene.png -colorspace Lab OUT", "colour model"),
    "wide.tif": (f"{MAGICK} scene.png -depth 32 OUT", "32-bit"),
    "new.heic": ("vips heifsave scene.png OUT --compression hevc", "HEIC"),
    "new.jxl": ("vips jxlsave scene.png OUT", "JPEG XL"),
    "luma.jp2": ("vips jp2ksave scene.png OUT --Q 60 --subsample-mode on", "JPEG 2000"),
}

pytestmark = pytest.mark.server


def _made(name: str, command: str, folder: Path) -> bytes:
    program, *rest = command.split()
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    for image, stem in ((samples.scene(), "scene"), (samples.transparent(), "alpha")):
        image.save(folder / f"{stem}.png")
        image.save(folder / f"{stem}.tif")
    words = [program, *(word.replace("OUT", name) for word in rest)]
    subprocess.run(words, check=True, capture_output=True, cwd=folder)
    return (folder / name).read_bytes()


@pytest.mark.parametrize("name", MADE)
def test_looks_the_same(name: str, tmp_path: Path) -> None:
    data = _made(name, MADE[name], tmp_path)
    mode = "CMYK" if oracles.opened(data).mode == "CMYK" else "RGBA"
    assert oracles.difference(data, upscale(data), mode) < 1.5


@pytest.mark.parametrize("name", SKIPPED)
def test_skipped(name: str, tmp_path: Path) -> None:
    command, reason = SKIPPED[name]
    with pytest.raises(UnsupportedImage, match=reason):
        upscale(_made(name, command, tmp_path))
