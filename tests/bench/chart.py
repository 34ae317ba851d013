"""Results as an image: for each load, how many times as long as the bare computing each way takes."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tests.bench.baselines import FLOOR, OURS
from tests.bench.loads import Result

WIDTH, LABEL, BAR, GAP, MARGIN = 900, 190, 20, 6, 24
PAPER, INK, FAINT = (252, 252, 250), (40, 40, 46), (170, 170, 176)
COLOURS = {FLOOR: (140, 140, 148), OURS: (20, 110, 180)}
OTHERS = (214, 160, 110)


def draw(results: Sequence[Result], target: Path) -> None:
    """Write the chart as PNG; each load has a scale of its own, up to its slowest way."""
    heights = [34 + len(result.runs) * (BAR + GAP) for result in results]
    image = Image.new("RGB", (WIDTH, sum(heights) + len(results) * MARGIN + MARGIN), PAPER)
    pen = ImageDraw.Draw(image)
    top = MARGIN
    for result, height in zip(results, heights, strict=True):
        _panel(pen, result, top)
        top += height + MARGIN
    image.quantize(32).save(target, optimize=True)


def _panel(pen: ImageDraw.ImageDraw, result: Result, top: int) -> None:
    title, text = ImageFont.load_default(17), ImageFont.load_default(14)
    pen.text((MARGIN, top), f"{result.load.title}: time, in times of the bare computing", INK, title)
    width = WIDTH - LABEL - 2 * MARGIN - 110
    longest = max(result.times(FLOOR, name) for name in result.runs)
    for number, name in enumerate(result.runs):
        y = top + 34 + number * (BAR + GAP)
        times = result.times(FLOOR, name)
        end = MARGIN + LABEL + max(2, round(width * times / longest))
        pen.text((MARGIN, y + 2), name, INK, text)
        pen.rectangle((MARGIN + LABEL, y, end, y + BAR), COLOURS.get(name, OTHERS))
        pen.text((end + 8, y + 2), f"{times:.2f}", INK, text)
    pen.line((MARGIN + LABEL, top + 30, MARGIN + LABEL, top + 32 + len(result.runs) * (BAR + GAP)), FAINT)
