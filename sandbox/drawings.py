"""Sample images for the demo, drawn here so that none has to be shipped."""

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIZE = (400, 300)


def draw(folder: Path) -> None:
    """Draw a few images in different formats, under names that start with `Unknown`."""
    draw_other(folder / "Unknown-1 evening.jpg")
    _landscape((150, 200, 240), (40, 110, 80), hills=5).save(folder / "Unknown-3 morning hills.png")
    _rings().save(folder / "Unknown-2 rings.webp", quality=92)
    _badge().save(folder / "Unknown-4 blossom.png")


def draw_other(file: Path) -> None:
    """Draw one under any other name."""
    _landscape((250, 190, 120), (90, 60, 120), hills=3).save(file, quality=92)


def _landscape(sky: tuple[int, int, int], ground: tuple[int, int, int], hills: int) -> Image.Image:
    width, height = SIZE
    image = Image.linear_gradient("L").resize(SIZE)
    image = Image.composite(Image.new("RGB", SIZE, (255, 240, 220)), Image.new("RGB", SIZE, sky), image)
    pen = ImageDraw.Draw(image)
    pen.ellipse((width * 0.62, height * 0.2, width * 0.62 + 50, height * 0.2 + 50), fill=(255, 250, 225))
    for hill in range(hills):
        depth = (hill + 1) / hills
        colour = tuple(round(part * (1.35 - 0.75 * depth)) for part in ground)
        top = height * (0.42 + 0.4 * depth)
        line = [(x, top + 26 * math.sin(x / (46 + 19 * hill) + 2.1 * hill)) for x in range(0, width + 4, 4)]
        pen.polygon([(0, height), *line, (width, height)], fill=colour)
    return image.filter(ImageFilter.GaussianBlur(0.5))


def _rings() -> Image.Image:
    image = Image.new("RGB", SIZE, (18, 24, 38))
    pen = ImageDraw.Draw(image)
    for ring in range(22, 0, -1):
        colour = tuple(round(128 + 110 * math.sin(ring / 3 + phase)) for phase in (0, 2.1, 4.2))
        pen.ellipse((200 - 9 * ring, 150 - 6.5 * ring, 200 + 9 * ring, 150 + 6.5 * ring), outline=colour, width=3)
    return image


def _badge() -> Image.Image:
    """An image with transparency, which the scaler keeps."""
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    for petal in range(12):
        angle = petal * math.tau / 12
        x, y = 150 + 85 * math.cos(angle), 150 + 85 * math.sin(angle)
        pen.ellipse((x - 48, y - 48, x + 48, y + 48), fill=(226, 90 + 8 * petal, 120, 150))
    pen.ellipse((105, 105, 195, 195), fill=(255, 214, 90, 255))
    return image
