"""The pages of this project: their tables and links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def tables(page: Path, heading: str) -> list[list[dict[str, str]]]:
    """The tables under a heading, each as a list of rows by column name; the heading must exist."""
    _, found, rest = page.read_text().partition(f"\n{heading}\n")
    assert found, f"{page.name} has no heading {heading!r}"
    section = re.split(r"\n#+ ", rest, maxsplit=1)[0]
    return [_rows(block) for block in re.findall(r"(?:^\|.*\n?)+", section, re.MULTILINE)]


def table(page: Path, heading: str, column: str) -> list[dict[str, str]]:
    """The one table under a heading that has a column of this name."""
    (found,) = [rows for rows in tables(page, heading) if column in rows[0]]
    return found


def code(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def _rows(block: str) -> list[dict[str, str]]:
    head, _, *rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines()]
    return [dict(zip(head, row, strict=True)) for row in rows]
