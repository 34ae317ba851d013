"""The demo: it takes any images as they are named, and shows before and after."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sandbox.contact_sheet import INK, PAPER, Pair, draw_contact_sheet


def demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox.demo", *words],
        cwd=folder,
        env={**os.environ, "RUN_SH": "yes", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def photo(file: Path, size: tuple[int, int] = (60, 40), orientation: int = 1) -> Path:
    file.parent.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, (200, 30, 30)).save(file, exif=exif)
    return file


@pytest.mark.slow
def test_two_of_one_name_a_folder_and_an_unread_format(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "IMG_1.jpg")
    photo(tmp_path / "b" / "IMG_1.jpg", (70, 40))
    photo(tmp_path / "album" / "Holiday.jpg")
    photo(tmp_path / "album" / "portrait.JPG", orientation=6)
    (tmp_path / "album" / "notes.txt").write_text("no image")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    done = demo(tmp_path, "a/IMG_1.jpg", "b/IMG_1.jpg", "album", "phone.heic")
    before, _, after = done.stdout.partition("$ scaler")
    for name in ("IMG_1.jpg", "IMG_1 (2).jpg", "Holiday.jpg", "portrait.JPG", "phone.heic"):
        assert f"    {name} " in before, done.stdout
    upscaled, _, filed = after.partition("$ mover")
    assert "Not upscaled: phone.heic: this format is not read" in upscaled
    assert upscaled.count("Not upscaled") == 1
    assert "120 x 80" in upscaled
    assert "140 x 80" in upscaled
    assert "Unknown-" not in done.stdout
    for stem in ("IMG_1_2", "IMG_1 (2)_2", "Holiday_2", "portrait_2"):
        assert stem in filed
    assert (tmp_path / "before-after.png").exists()
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_folder_without_images_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = demo(tmp_path, "empty")
    assert done.returncode == 2
    assert "Usage: ./run.sh demo" in done.stderr
    assert "there are no images in the folder empty" in done.stderr


def rows_of(sheet: Image.Image, colour: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """The columns of a sheet that have a colour, as boxes left and right of its middle gap."""
    mask = sheet.convert("RGB").point(lambda value: value)
    pixels = {(x, y) for x in range(mask.width) for y in range(mask.height) if mask.getpixel((x, y)) == colour}
    return [
        (min(x for x, _ in part), min(y for _, y in part), max(x for x, _ in part), max(y for _, y in part))
        for part in halves(pixels)
    ]


def halves(pixels: set[tuple[int, int]]) -> list[set[tuple[int, int]]]:
    columns = sorted({x for x, _ in pixels})
    gaps = [(after - before, after) for before, after in itertools.pairwise(columns)]
    _, border = max(gaps)
    return [{pixel for pixel in pixels if pixel[0] < border}, {pixel for pixel in pixels if pixel[0] >= border}]


def test_the_sheet_shows_images_upright_at_one_scale_on_one_line(tmp_path: Path) -> None:
    pair = Pair(
        photo(tmp_path / "before.png", (60, 40), orientation=6), photo(tmp_path / "after.png", (120, 80), orientation=6)
    )
    target = tmp_path / "sheet.png"
    assert draw_contact_sheet([pair], target)
    with Image.open(target) as sheet:
        left, right = rows_of(sheet, (200, 30, 30))
        (x1, y1, x2, y2), (x3, y3, x4, y4) = left, right
        assert (x2 - x1 + 1, y2 - y1 + 1) == (40, 60)
        assert (x4 - x3 + 1, y4 - y3 + 1) == (80, 120)
        assert y2 == y4, "both end above their captions"
        titles = rows_of(sheet.crop((0, 0, sheet.width, y3)), INK)
        captions = rows_of(sheet.crop((0, y2 + 1, sheet.width, sheet.height)), INK)
        assert len(titles) == len(captions) == 2
        for found in (titles, captions):
            assert abs(found[0][1] - found[1][1]) <= 4, "on one line"
            assert x1 <= found[0][0] <= x1 + 3
            assert x3 <= found[1][0] <= x3 + 3


def test_an_image_that_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff broken")
    good = photo(tmp_path / "good.png")
    target = tmp_path / "sheet.png"
    assert not draw_contact_sheet([Pair(broken, good)], target)
    assert not target.exists()
    assert draw_contact_sheet([Pair(broken, good), Pair(good, good)], target)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_images_of_every_kind_are_drawn(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "image.tiff"
    Image.new(mode, (30, 20)).save(file)
    assert draw_contact_sheet([Pair(file, file)], tmp_path / "sheet.png")


def test_a_long_name_stays_in_its_column(tmp_path: Path) -> None:
    file = photo(tmp_path / f"{'long name ' * 20}.png")
    target = tmp_path / "sheet.png"
    assert draw_contact_sheet([Pair(file, file)], target)
    with Image.open(target) as sheet:
        left, right = rows_of(sheet.crop((0, sheet.height - 80, sheet.width, sheet.height)), INK)
        assert left[2] < right[0] - 10
        assert sheet.getpixel((sheet.width - 1, 0)) == PAPER
