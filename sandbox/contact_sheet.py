"""A contact sheet: images before and after, side by side at the same scale, as a viewer shows them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

WIDEST = 640
NARROWEST = 220
MARGIN = 24
LINE = 18
PAPER = (246, 245, 241)
INK = (40, 40, 46)
MOST_ROWS = 6
# What Pillow raises for a file that it does not read, for one too large, and for pixels that it does not convert.
_UNREADABLE = (OSError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class Pair:
    """One image before and after."""

    before: Path
    after: Path


@dataclass(frozen=True, slots=True)
class _Cell:
    """One image on paper, and the lines below it."""

    image: Image.Image
    lines: tuple[str, str]


def size_of(file: Path) -> tuple[int, int] | None:
    """Width and height in pixels, None for what is not an image."""
    try:
        with Image.open(file) as image:
            return image.size
    except _UNREADABLE:
        return None


def draw_contact_sheet(pairs: Iterable[Pair], target: Path) -> bool:
    """Draw at most MOST_ROWS pairs, one below the other, into a file; False if none of them can be drawn.

    Raises:
        OSError: the file cannot be written.
    """
    rows = [row for pair in pairs if (row := _row(pair))][:MOST_ROWS]
    if not rows:
        return False
    widths = [max(NARROWEST, *(row[column].image.width for row in rows)) for column in (0, 1)]
    heights = [max(cell.image.height for cell in row) + 2 * LINE + MARGIN for row in rows]
    lefts = [MARGIN, MARGIN + widths[0] + MARGIN]
    paper = Image.new("RGB", (lefts[1] + widths[1] + MARGIN, MARGIN + LINE + sum(heights)), PAPER)
    pen = ImageDraw.Draw(paper)
    for left, title in zip(lefts, ("Before", "After"), strict=True):
        pen.text((left, MARGIN / 2), title, INK, ImageFont.load_default(16))
    bottom = MARGIN + LINE
    for row, height in zip(rows, heights, strict=True):
        bottom += height
        for left, width, cell in zip(lefts, widths, row, strict=True):
            _draw_cell(paper, pen, cell, (left, width, bottom - MARGIN - 2 * LINE))
    paper.save(target)
    return True


def _row(pair: Pair) -> tuple[_Cell, _Cell] | None:
    try:
        with Image.open(pair.after) as after, Image.open(pair.before) as before:
            # One factor for both, so that an image that is twice as large looks twice as large.
            factor = min(1.0, WIDEST / max(after.size))
            return _cell(pair.before, before, factor), _cell(pair.after, after, factor)
    except _UNREADABLE:
        return None


def _cell(file: Path, image: Image.Image, factor: float) -> _Cell:
    # As EXIF says it is to be turned.
    upright = ImageOps.exif_transpose(image)
    return _Cell(_on_paper(upright, factor), (file.name, f"{upright.width} x {upright.height}"))


def _draw_cell(paper: Image.Image, pen: ImageDraw.ImageDraw, cell: _Cell, place: tuple[int, int, int]) -> None:
    """Draw a cell whose image ends above `bottom`, where the captions of its row begin."""
    left, width, bottom = place
    paper.paste(cell.image, (left, bottom - cell.image.height))
    font = ImageFont.load_default(13)
    for number, line in enumerate(cell.lines):
        text = line
        while pen.textlength(text, font) > width:
            text = text.removesuffix("…")[:-1] + "…"
        pen.text((left, bottom + 4 + number * LINE), text, INK, font)


def _on_paper(image: Image.Image, factor: float) -> Image.Image:
    small = image.convert("RGBA").resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor))), Image.Resampling.LANCZOS
    )
    paper = Image.new("RGB", small.size, PAPER)
    paper.paste(small, mask=small.getchannel("A"))
    return paper
