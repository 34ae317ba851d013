"""The table in docs/formats.md: what each format keeps, cell by cell, and how true its colours are."""

import shutil
from pathlib import Path

import pytest

from tests.bench import formats, samples

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed"),
]

CONVERTED = {
    *(("PNG", "palette"), ("TIFF", "palette"), ("BMP", "palette")),
    *(("PNG", "1 bit"), ("TIFF", "1 bit"), ("BMP", "1 bit"), ("PNM", "1 bit")),
}
SKIPPED = {("AVIF", "frames")}
CELLS = [(name, what) for name in samples.EXTENSIONS for what in formats.PROPERTIES if formats.PROPERTIES[what](name)]


@pytest.mark.parametrize(("name", "what"), CELLS)
def test_nothing_is_lost(name: str, what: str) -> None:
    cases = formats.PROPERTIES[what](name)
    assert formats.verdict(formats.ours, cases, samples.EXTENSIONS[name]) == _expected(name, what)


def _expected(name: str, what: str) -> str:
    if (name, what) not in CELLS:
        return ""
    return "skipped" if (name, what) in SKIPPED else "converted" if (name, what) in CONVERTED else "kept"


def test_the_judges_see_what_plain_opencv_loses() -> None:
    for name, what in (("JPEG", "EXIF"), ("PNG", "alpha"), ("TIFF", "depth"), ("GIF", "frames"), ("WebP", "ICC")):
        cases = formats.PROPERTIES[what](name)
        assert formats.verdict(formats.plain_opencv, cases, samples.EXTENSIONS[name]) == "lost"


def test_the_page_shows_the_command_s_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
    ours = text.partition("\n## This project\n")[2].partition("\n## ")[0]
    lines = [line for line in ours.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert table[0][1:] == list(formats.PROPERTIES)
    found = {(row[0], what): cell for row in table[2:] for what, cell in zip(table[0][1:], row[1:], strict=True)}
    assert found == {(name, what): _expected(name, what) for name in samples.EXTENSIONS for what in formats.PROPERTIES}


BASELINES = [name for name in formats.tools() if name not in ("this project", "plain OpenCV")]


@pytest.mark.parametrize("name", ["PNG", "WebP", "TIFF", "BMP", "JPEG 2000", "PNM"])
def test_colours_without_loss(name: str) -> None:
    assert (formats.colour(formats.ours, name) or 1) < 0.5


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("name", ["JPEG", "JPEG 4:4:4", "WebP, lossy", "AVIF", "AVIF 4:4:4", "GIF"])
def test_colours_as_true_as_others(name: str, baseline: str) -> None:
    theirs = formats.colour(formats.tools()[baseline], name)
    assert theirs is not None
    assert (formats.colour(formats.ours, name) or 99) <= 1.02 * theirs
