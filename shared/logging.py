"""Logging through loguru: one line per image and one per poll, without secrets."""

import contextlib
import logging
import os
import sys
import traceback
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from loguru import logger

from shared.log_file import LogFile
from shared.printable import INDENTED, printable
from shared.redaction import redact, safe

if TYPE_CHECKING:
    from loguru import Record

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")

# Readable on light and on dark terminals: no yellow, no cyan, and nothing bold, which many terminals brighten.
_COLOURS = {
    "TRACE": "",
    "DEBUG": "",
    "INFO": "",
    "SUCCESS": "<green>",
    "WARNING": "<magenta>",
    "ERROR": "<red>",
    "CRITICAL": "<red><reverse>",
}
_COLUMNS = 80
_SHORTEST_NAME = 12


def show(text: str, *, err: bool = False) -> None:
    """Print a line, made safe, to standard output or error; nothing happens if the stream is closed or broken."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(safe(text), err=err)


def set_up(name: str, level: str, file: Path | None, stream: TextIO | None = None) -> None:
    """Log to standard error, and to a file if one is given.

    Args:
        name: of the daemon; in every line.
        level: one of LEVELS.
        file: rotated at 10 MB, five are kept; JSON lines if its name ends in .json or .jsonl.
        stream: instead of standard error.

    Raises:
        OSError: the file cannot be written.
    """
    out = stream or sys.stderr
    logger.remove()
    logger.configure(patcher=_make_safe, extra={"name": name})
    line = "{time:YYYY-MM-DD HH:mm:ss} {level: <7} {extra[name]: <6} {message}"
    for known, colour in _COLOURS.items():
        logger.level(known, color=colour)
    terminal = out.isatty()
    logger.add(
        lambda text: _write(out, text, beside_progress=terminal),
        level=level,
        format=_for_terminal if terminal else line,
        colorize=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        diagnose=False,
        backtrace=False,
    )
    if file is not None:

        def complain(text: str) -> None:
            _write(
                out, f"{datetime.now():%Y-%m-%d %H:%M:%S} WARNING {name: <6} {safe(text)}\n", beside_progress=terminal
            )

        logger.add(
            LogFile(file, complain).write,
            level=level,
            format=line,
            serialize=file.suffix in (".json", ".jsonl"),
            diagnose=False,
            backtrace=False,
        )
    logging.basicConfig(handlers=[_FromStandardLibrary()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def _for_terminal(record: "Record") -> str:
    """The format of a line for people: short, and the level only where something is wrong."""
    record["extra"]["shown"] = _fitted(record)
    level = "" if record["level"].name in ("INFO", "SUCCESS") else "<level>{level}</level> "
    return f"<dim>{{time:HH:mm:ss}}</dim> {{extra[name]: <6}} {level}<level>{{extra[shown]}}</level>\n"


def _fitted(record: "Record") -> str:
    """The message; if it is a little too long for the terminal, its image's name is shortened in the middle."""
    message, name = record["message"], record["extra"].get("image") or ""
    left = len(name) - (len("00:00:00 scaler ") + len(message) - _COLUMNS)
    if not message.startswith(name) or not _SHORTEST_NAME <= left < len(name):
        return message
    tail = left // 2
    return f"{name[: left - tail - 1]}…{name[-tail:]}{message[len(name) :]}"


def _make_safe(record: "Record") -> None:
    """Make message and traceback safe; no sink receives the exception itself."""
    text = safe(record["message"])
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        lines = traceback.format_exception(exception.type, exception.value, exception.traceback)
        text += INDENTED + INDENTED.join(map(printable, redact("".join(lines).rstrip()).split("\n")))
        record["exception"] = None
    record["message"] = text


def _write(out: TextIO, text: str, *, beside_progress: bool) -> None:
    """Write a line, or drop it if the stream is closed, broken or full: the daemon keeps running."""
    with contextlib.suppress(OSError, ValueError):
        if beside_progress and "tqdm" in sys.modules:
            from tqdm import tqdm  # noqa: PLC0415 - already loaded, or not needed

            tqdm.write(text, file=out, end="")
            return
        out.write(text)
        out.flush()


class _FromStandardLibrary(logging.Handler):
    """Passes the logs of libraries through the same redaction."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in LEVELS else record.levelno
        logger.opt(exception=record.exc_info).log(level, "{}: {}", record.name, record.getMessage().rstrip())
