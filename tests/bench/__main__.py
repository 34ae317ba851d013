"""Measure everything that docs/benchmark.md says, on this machine, in about ten minutes.

Apache with mod_dav on loopback, a throwaway Vault, and, for the mover, the sandbox's Nextcloud; every way of doing the
job in turn, on the same images.
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from tests.bench import chart, growth, mover, report
from tests.bench.loads import LOADS, measure
from tests.bench.servers import scenario

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHOICES = (*LOADS, "growth", "mover")


@click.command(help=__doc__)
@click.argument("loads", type=click.Choice(CHOICES), nargs=-1)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Runs of each way but the slow.")
@click.option("--quick", is_flag=True, help="Leave out the slow ways, which take half of the time.")
@click.option("--write", is_flag=True, help="Put the results into docs/benchmark.md.")
def main(loads: tuple[str, ...], rounds: int, quick: bool, write: bool) -> None:
    chosen = loads or CHOICES
    try:
        text = _measured(chosen, rounds, quick, write)
    except pytest.skip.Exception as missing:
        sys.exit(str(missing))
    click.echo(text)
    if write:
        report.write(text, DOCS / "benchmark.md")


def _measured(chosen: tuple[str, ...], rounds: int, quick: bool, write: bool) -> str:
    def say(line: str) -> None:
        click.echo(line, err=True)

    sections = [_machine()]
    if set(chosen) - {"mover"}:
        with scenario() as servers:
            results = [
                measure(servers, load, rounds, say, quick=quick) for name, load in LOADS.items() if name in chosen
            ]
            sections += map(report.of_load, results)
            if write and results:
                chart.draw(results, DOCS / "benchmark.png")
            if "growth" in chosen:
                sections.append(report.of_growth(growth.measure(servers, say), growth.idle(), growth.own_share()))
    if "mover" in chosen:
        sections.append(report.of_filing(*mover.measure(rounds, say)))
    return "\n".join(sections)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    apache = subprocess.run(["apache2", "-v"], capture_output=True, text=True, check=False).stdout.split()[2:3]
    return (
        f"Measured on {cores} cores, with Python {platform.python_version()}, OpenCV {version('opencv-python')},"
        f" {' '.join(apache) or 'Apache'}.\n"
    )


if __name__ == "__main__":
    main()
