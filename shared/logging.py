"""Logging through loguru: one line an image and one a poll, and never a secret in any of them."""

import base64
import json
import logging
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from loguru import logger

if TYPE_CHECKING:
    from loguru import Record

LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")
HIDDEN = "**********"

# Logins come and go for as long as a daemon runs; what was hidden longest ago is long invalid.
_REMEMBERED = 50
_hidden: dict[str, re.Pattern[str]] = {}


def hide(*secrets: str) -> None:
    """From now on no log line holds these, neither as they are nor percent-encoded nor as in Basic authentication."""
    for secret in filter(None, secrets):
        # Hidden again it counts as new, but is not compiled again: settings are read at every poll.
        _hidden[secret] = _hidden.pop(secret) if secret in _hidden else re.compile(_spelled(secret))
    for oldest in list(_hidden)[:-_REMEMBERED]:
        del _hidden[oldest]


def _spelled(secret: str) -> str:
    """A regular expression of all that a secret may look like."""
    encoded = secret.encode()
    forms = {
        repr(secret)[1:-1],
        repr(encoded)[2:-1],
        json.dumps(secret)[1:-1],
        base64.b64encode(encoded).decode(),
        base64.urlsafe_b64encode(encoded).decode(),
    }
    # Nobody agrees on which characters are to be percent-encoded, nor on the case of the digits.
    percent_encoded = "".join(_percent_encoded(char) for char in secret)
    return "|".join([percent_encoded, *sorted(map(re.escape, forms), key=len, reverse=True)])


def _percent_encoded(char: str) -> str:
    """A regular expression of a character as it is and percent-encoded."""
    in_hex = "".join(f"%{byte:02X}" for byte in char.encode())
    return f"(?:{re.escape(char)}|(?i:{in_hex}){'|[+]' if char == ' ' else ''})"


def hide_login(username: str, password: str) -> None:
    """Hide a password and the token that it makes together with its user name."""
    hide(password)
    for encoding in ("utf-8", "latin-1"):
        login = f"{username}:{password}".encode(encoding, "ignore")
        hide(base64.b64encode(login).decode())


def redact(text: str) -> str:
    """The text without any secret."""
    # The longest first: one may be part of another.
    for _, spelled in sorted(_hidden.items(), key=lambda item: -len(item[0])):
        text = spelled.sub(HIDDEN, text)
    return text


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
