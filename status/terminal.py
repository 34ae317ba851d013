"""The report in the terminal: tables on a terminal, plain lines in a pipe."""

import sys

import click

from shared.events.event import Event
from shared.printable import printable
from status import text
from status.summary import Summary

_SHOWN = 15


def report(summary: Summary) -> None:
    """Print the report."""
    if sys.stdout.isatty():
        _tables(summary)
    else:
        for line in plain(summary):
            click.echo(line)


def plain(summary: Summary) -> list[str]:
    """The report as lines."""
    lines = [f"{heading}: {value}" for heading, value in _overview(summary)]
    for title, headings, rows in _lists(summary):
        lines += ["", f"{title} ({', '.join(headings)})"]
        lines += ["  " + "  ".join(filter(None, row)) for row in rows]
    return [printable(line) for line in lines]


def _overview(summary: Summary) -> list[tuple[str, str]]:
    rows = [(daemon.name, line) for daemon in summary.daemons for line in text.state(daemon, summary.now)]
    for daemon in summary.daemons:
        rows += [(f"{daemon.name} watches", str(process.watch).removeprefix("Watching ")) for process in daemon.running]
    rows.append(("today", text.counts(summary.today)))
    if summary.workers:
        rows.append(("today on Dask", text.workers(summary.workers)))
    return [*rows, ("last 30 days", text.counts(summary.month))]


def _lists(summary: Summary) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    def when(event: Event) -> str:
        return text.moment(event.time, summary.now)

    images = [
        (when(event), event.name, text.pixels(event), f"{event.total_seconds:.1f} s", event.target)
        for event in summary.images[:_SHOWN]
    ]
    filed = [(when(event), event.name, event.target) for event in summary.filed[:_SHOWN]]
    skipped = [(when(event), event.name, event.reason) for event in summary.skipped]
    failures = [(when(event), event.name, event.reason, event.hint) for event in summary.failures[:_SHOWN]]
    tables: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = [
        ("Latest images", ("time", "image", "pixels", "took", "new name"), [*images]),
        ("Filed", ("time", "image", "to"), [*filed]),
        ("Skipped until they change", ("time", "image", "why"), [*skipped]),
        ("Failures", ("time", "image", "what", "what to do"), [*failures]),
    ]
    return [table for table in tables if table[2]]


def _tables(summary: Summary) -> None:
    # Only a terminal needs it, and it is slow to load.
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    overview = Table(box=None, show_header=False, pad_edge=False)
    for heading, value in _overview(summary):
        overview.add_row(Text(heading, style="bold"), Text(printable(value)))
    console.print(overview)
    for title, headings, rows in _lists(summary):
        table = Table(*headings, title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(printable(cell), overflow="fold") for cell in row))
        console.print(table)
