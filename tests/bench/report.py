"""Results as Markdown."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.bench.baselines import FLOOR, PLAIN
from tests.bench.growth import NAMES, Grown, Idle
from tests.bench.loads import Result, wall
from tests.bench.mover import Filed

BEGIN, END = "<!-- written by python -m tests.bench -->", "<!-- up to here -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def of_load(result: Result) -> str:
    """One load: a row for each way."""
    head = (
        *("Way", "time, s", "x floor", "x plain way", "processor time, s", "x floor", "peak, MiB"),
        *("requests", "connections", "server's processor time, s", "runs"),
    )
    floor_cpu = result.middle(FLOOR, lambda run: run.usage.cpu)
    rows = []
    for name, runs in result.runs.items():
        cpu = result.middle(name, lambda run: run.usage.cpu)
        of_server = [
            f"{result.middle(name, lambda run: run.requests):.0f}",
            f"{result.middle(name, lambda run: run.connections):.0f}",
            f"{result.middle(name, lambda run: run.server_cpu):.1f}",
        ]
        rows.append(
            [
                name,
                f"{result.middle(name, wall):.1f}",
                f"{result.times(FLOOR, name):.2f}",
                f"{result.times(PLAIN, name):.2f}",
                f"{cpu:.1f}",
                f"{cpu / floor_cpu:.2f}",
                f"{max(run.usage.peak for run in runs) / 2**20:.0f}",
                *(["", "", ""] if name == FLOOR else of_server),
                str(len(runs)),
            ]
        )
    rows += [[name, "fails", *[""] * (len(head) - 2)] for name in result.failed]
    return f"### {result.load.title}\n\n{table(head, rows)}\n"


def of_growth(grown: Sequence[Grown], idle: Idle, own_share: float) -> str:
    """How the cost grows, and what a poll with nothing to do costs."""
    head = ("Images", "other files", "time, s", "processor time, s", "peak, MiB", "requests")
    rows = [
        [
            f"{each.images:,}",
            f"{each.others:,}",
            f"{each.run.usage.wall:.1f}",
            f"{each.run.usage.cpu:.1f}",
            f"{each.run.usage.peak / 2**20:.0f}",
            f"{each.run.requests:,}",
        ]
        for each in grown
    ]
    return (
        f"### More and more files\n\n{table(head, rows)}\n\n"
        f"Reading a listing of {NAMES:,} files and selecting from it: {own_share:.2f} s of processor time. A poll that"
        f" finds nothing new in a Nextcloud's folder of {NAMES:,} files: {_requests(idle.requests)},"
        f" {1000 * idle.cpu:.0f} ms of processor time.\n"
    )


def of_filing(runs: Sequence[Filed], idle_requests: int) -> str:
    """The mover beside the plain way."""
    head = (
        "What",
        "way",
        "time, s",
        "x plain way",
        "processor time, s",
        "peak, MiB",
        "requests",
        "connections",
        "runs",
    )
    kinds: dict[tuple[str, str], list[Filed]] = {}
    for run in runs:
        kinds.setdefault((run.what, run.way), []).append(run)
    seconds = {kind: median(run.usage.wall for run in same) for kind, same in kinds.items()}
    rows = [
        [
            what,
            way,
            f"{seconds[what, way]:.1f}",
            f"{seconds[what, way] / seconds[what, PLAIN]:.2f}",
            f"{median(run.usage.cpu for run in same):.1f}",
            f"{max(run.usage.peak for run in same) / 2**20:.0f}",
            f"{median(run.requests for run in same):.0f}",
            f"{median(run.connections for run in same):.0f}",
            str(len(same)),
        ]
        for (what, way), same in kinds.items()
    ]
    return f"### The mover\n\n{table(head, rows)}\n\nA poll that finds nothing new: {_requests(idle_requests)}.\n"


def _requests(number: int) -> str:
    return f"{number} request" + ("" if number == 1 else "s")


def write(text: str, page: Path) -> None:
    """Write the results between their markers in a page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
