"""The command-line options that both daemons have in common."""

import functools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, override

import click

from shared import streams
from shared.printable import printable

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")
# Seconds: a week.
LONGEST_PERIOD = 604_800


@dataclass(frozen=True, slots=True)
class Options:
    """The options of both daemons.

    Attributes:
        frequency: seconds from the start of one poll to the start of the next.
        once: one poll, then exit.
        dry_run: show what would happen; change nothing.
        check: check everything that a poll needs, then exit.
        metrics_port: address and port for Prometheus and /healthz.
        metrics_file: for node_exporter's textfile collector.
        report_activity: tell the JupyterHub that its server is in use while images are in flight.
    """

    frequency: float
    once: bool
    dry_run: bool
    check: bool
    log_level: str
    log_file: Path | None
    metrics_port: tuple[str, int] | None = None
    metrics_file: Path | None = None
    report_activity: bool = False


class Address(click.ParamType[tuple[str, int]]):
    """A port on loopback such as 9108, or with an address before it: 0.0.0.0:9108, [::]:9108."""

    name = "address"

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not (port.isascii() and port.isdecimal() and int(port) < 2**16):
            self.fail(f"{value!r} is not a port such as 9108, nor an address such as 0.0.0.0:9108", param, ctx)
        return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def command_line(name: str) -> str:
    """What the user types for a command: `./run.sh NAME`, or its name if it was installed without run.sh."""
    if os.environ.get("RUN_SH"):
        return f"./run.sh {name}"
    return name if name in ("scaler", "mover") else f"jupyterhub-images {name}"


class Command(click.Command):
    """A command whose usage errors name it as the user typed it, and repeat no argument that is unsafe to show."""

    @override
    def main(self, *args: Any, **extra: Any) -> Any:
        streams.secure()
        return super().main(*args, **extra)

    @override
    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if parent is None:
            info_name = command_line(self.name or "")
        return super().make_context(info_name, args, parent, **extra)

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(printable(error.format_message()), error.ctx or ctx) from None


class Seconds(click.FloatRange):
    """A number of seconds between the bounds; `nan`, which passes any bounds check, is rejected."""

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a click command; it receives them as one `Options` in its first argument."""

    @click.option(
        "--frequency",
        type=Seconds(min=0.1, max=LONGEST_PERIOD),
        default=30,
        show_default=True,
        metavar="SECONDS",
        help="Seconds from the start of one poll to the start of the next.",
    )
    @click.option("--once", is_flag=True, help="Poll once, then exit.")
    @click.option("--dry-run", is_flag=True, help="Show what a poll would do; change nothing.")
    @click.option("--check", is_flag=True, help="Check Vault, settings, server, folders and rights, then exit.")
    @click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        default="INFO",
        show_default=True,
        help="Least severe messages to log.",
    )
    @click.option(
        "--log-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Also log to this file; as JSON lines if its name ends in .json or .jsonl.",
    )
    @click.option(
        "--metrics-port",
        type=Address(),
        metavar="PORT",
        help="Serve /metrics for Prometheus and /healthz on this port of loopback, or on ADDRESS:PORT.",
    )
    @click.option(
        "--metrics-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the metrics to this file after each poll, for node_exporter's textfile collector.",
    )
    @click.option(
        "--report-activity",
        is_flag=True,
        help="While images are in flight, tell the JupyterHub that this server is active.",
    )
    @functools.wraps(command)
    def with_options(**values: Any) -> Any:
        common = {field.name: values.pop(field.name) for field in fields(Options)}
        common["once"] |= common["dry_run"]
        return command(Options(**common), **values)

    return with_options


def state_folder(name: str) -> Path:
    """Folder for what a daemon remembers across restarts; it can be deleted without losing an image."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "jupyterhub-images" / name


def cacert() -> Path | None:
    """The file with a private certificate authority for the image server, if one is set."""
    file = os.environ.get("WEBDAV_CACERT")
    return Path(file) if file else None


class Size(click.ParamType[int]):
    """A number of bytes such as 800M, 1GiB or 1.5g."""

    name = "size"
    _UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}  # noqa: RUF012 - click's types are not dataclasses

    @override
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
            self.fail(f"{value!r} is too small: at least 16M", param, ctx)
        return size
