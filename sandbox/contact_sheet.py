"""A contact sheet: images before and after, side by side at the same scale."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

WIDEST = 640
MARGIN = 24
CAPTION = 20
PAPER = (246, 245, 241)
INK = (40, 40, 46)
MOST_ROWS = 6


@dataclass(frozen=True, slots=True)
class Pair:
    """One image before and after."""

    before: Path
    after: Path


def size_of(file: Path) -> tuple[int, int] | None:
    """Width and height in pixels, None for what is not an image."""
    try:
        with Image.open(file) as image:
            return image.size
    except UnidentifiedImageError:
        return None


def draw_contact_sheet(pairs: list[Pair], target: Path) -> Path:
    """Draw at most MOST_ROWS pairs, one below the other, into `target`, which is returned."""
    rows = [_row(pair) for pair in pairs[:MOST_ROWS]]
    width = max(row.width for row in rows) + 2 * MARGIN
    height = sum(row.height + MARGIN for row in rows) + MARGIN
    paper = Image.new("RGB", (width, height), PAPER)
    top = MARGIN
    for row in rows:
        paper.paste(row, (MARGIN, top))
        top += row.height + MARGIN
    paper.save(target)
    return target


def _row(pair: Pair) -> Image.Image:
    with Image.open(pair.after) as after, Image.open(pair.before) as before:
        # One factor for both, so that an image that is twice as large looks twice as large.
        factor = min(1.0, WIDEST / after.width)
        left, right = _on_paper(before, factor), _on_paper(after, factor)
        captions = [f"{pair.before.name}  {before.width} x {before.height}", f"{after.width} x {after.height}"]
    row = Image.new("RGB", (left.width + MARGIN + right.width, right.height + CAPTION), PAPER)
    pen = ImageDraw.Draw(row)
    font = ImageFont.load_default(13)
    row.paste(left, (0, 0))
    row.paste(right, (left.width + MARGIN, 0))
    # A long name runs on below the other image.
    pen.text((0, left.height + 4), captions[0], INK, font)
    pen.text((left.width + MARGIN, right.height + 4), captions[1], INK, font)
    return row


def _on_paper(image: Image.Image, factor: float) -> Image.Image:
    small = image.convert("RGBA").resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor))), Image.Resampling.LANCZOS
    )
    paper = Image.new("RGB", small.size, PAPER)
    paper.paste(small, mask=small.getchannel("A"))
    return paper
