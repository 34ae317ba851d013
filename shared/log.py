"""Logging through loguru: one line a picture and one a pass, and never a secret in any of them."""

import base64
import json
import logging
import re
import sys
import traceback
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from loguru import logger

if TYPE_CHECKING:
    from loguru import Record

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
HIDDEN = "**********"

_hidden: set[str] = set()
_pattern: re.Pattern[str] | None = None


def hide(*secrets: str) -> None:
    """From now on no log line holds these, neither as they are nor percent-encoded nor as in Basic authentication."""
    global _pattern
    for secret in secrets:
        _hidden.update(_forms(secret))
    _hidden.discard("")
    longest_first = sorted(_hidden, key=len, reverse=True)
    _pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _forms(secret: str) -> set[str]:
    encoded = secret.encode()
    quoted = {urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret)}
    return {
        secret,
        *quoted,
        # As Nextcloud spells it.
        *(re.sub("%..", lambda match: match[0].lower(), form) for form in quoted),
        repr(secret)[1:-1],
        repr(encoded)[2:-1],
        json.dumps(secret)[1:-1],
        base64.b64encode(encoded).decode(),
        base64.urlsafe_b64encode(encoded).decode(),
    }


def hide_login(username: str, password: str) -> None:
    """Hide a password and the token that it makes together with its user name."""
    hide(password)
    for encoding in ("utf-8", "latin-1"):
        login = f"{username}:{password}".encode(encoding, "ignore")
        hide(base64.b64encode(login).decode())


def redact(text: str) -> str:
    """The text without any secret."""
    return _pattern.sub(HIDDEN, text) if _pattern else text


def set_up(name: str, level: str, file: Path | None, stream: TextIO | None = None) -> None:
    """Send the log to standard error, and to a file if one is named.

    Args:
        name: of the daemon, at the head of each line.
        level: one of LEVELS.
        file: rotated at 10 MB, five are kept; JSON lines if its name ends in .json or .jsonl.
        stream: instead of standard error.
    """
    out = stream or sys.stderr
    logger.remove()
    logger.configure(patcher=_make_safe, extra={"name": name})
    line = "{time:YYYY-MM-DD HH:mm:ss} {level: <7} {extra[name]: <6} {message}"
    colourful = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> <cyan>{extra[name]: <6}</cyan> {message}"
    terminal = out.isatty()
    logger.add(
        lambda text: _write(out, text, beside_progress=terminal),
        level=level,
        format=colourful if terminal else line,
        colorize=terminal,
        diagnose=False,
        backtrace=False,
    )
    if file is not None:
        json_lines = file.suffix in (".json", ".jsonl")
        logger.add(
            file,
            level=level,
            format=line,
            serialize=json_lines,
            rotation="10 MB",
            retention=5,
            encoding="utf-8",
            diagnose=False,
            backtrace=False,
        )
    logging.basicConfig(handlers=[_FromStandardLibrary()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def _make_safe(record: "Record") -> None:
    """Redact the message, and the traceback with it, so that no sink gets at the exception itself."""
    text = record["message"]
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        lines = traceback.format_exception(exception.type, exception.value, exception.traceback)
        text = text + "\n" + "".join(lines).rstrip()
        record["exception"] = None
    record["message"] = redact(text)


def _write(out: TextIO, text: str, *, beside_progress: bool) -> None:
    if beside_progress and "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=out, end="")
        return
    out.write(text)
    out.flush()


class _FromStandardLibrary(logging.Handler):
    """What the libraries beneath log, through the same redaction."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in LEVELS else record.levelno
        logger.opt(exception=record.exc_info).log(level, "{}: {}", record.name, record.getMessage())
