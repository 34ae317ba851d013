"""The command-line options that both daemons have, and what they mean."""

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class Options:
    """What both daemons can be told.

    Attributes:
        frequency: seconds from the start of one poll to the start of the next.
        once: one poll, then exit.
        dry_run: say what would happen, change nothing.
        check: try everything that a poll needs, and exit.
    """

    frequency: float
    once: bool
    dry_run: bool
    check: bool
    log_level: str
    log_file: Path | None


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a click command, which gets them as one `Options` in its first argument."""

    @click.option(
        "--frequency",
        type=click.FloatRange(min=0.1),
        default=30,
        show_default=True,
        metavar="SECONDS",
        help="Seconds from the start of one poll to the start of the next.",
    )
    @click.option("--once", is_flag=True, help="Make one poll, then exit.")
    @click.option("--dry-run", is_flag=True, help="Say what one poll would do; change nothing.")
    @click.option("--check", is_flag=True, help="Try Vault, settings, server, folders and rights, then exit.")
    @click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        default="INFO",
        show_default=True,
        help="How much to log.",
    )
    @click.option(
        "--log-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Log to this file too; JSON lines if its name ends in .json or .jsonl.",
    )
    @functools.wraps(command)
    def with_options(
        frequency: float, once: bool, dry_run: bool, check: bool, log_level: str, log_file: Path | None, **own: Any
    ) -> Any:
        options = Options(frequency, once or dry_run, dry_run, check, log_level.upper(), log_file)
        return command(options, **own)

    return with_options


def state_folder(name: str) -> Path:
    """Where a daemon remembers what it need not find out again; losing it loses nothing."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "jupyterhub-images" / name


def cacert() -> Path | None:
    """A certificate authority of the user's own for the image server."""
    file = os.environ.get("WEBDAV_CACERT")
    return Path(file) if file else None


class Size(click.ParamType[int]):
    """A number of bytes such as 800M, 1GiB or 1.5g."""

    name = "size"
    _UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}  # noqa: RUF012 - click's types are not dataclasses

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = value.strip().lower().removesuffix("b").removesuffix("i")
        number, unit = (text[:-1], text[-1]) if text and text[-1].isalpha() else (text, "")
        try:
            size = int(float(number) * self._UNITS[unit])
        except (ValueError, KeyError, OverflowError):
            self.fail(f"{value!r} is not a size such as 800M or 1GiB", param, ctx)
        if size < 16 * 2**20:
            self.fail(f"{value!r} is too little: at least 16M", param, ctx)
        return size


def fail(message: str) -> None:
    """Say on standard error why the daemon cannot start, and exit with 2."""
    click.echo(message, err=True)
    sys.exit(2)
