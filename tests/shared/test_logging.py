"""What is logged, and that no secret ever is."""

import base64
import contextlib
import errno
import io
import json
import logging
import os
import re
import urllib.parse
import warnings
from pathlib import Path

import pytest
from loguru import logger

from shared import logging as log
from shared import redaction
from shared.checks import Checks, Skip
from shared.errors import Failure
from shared.printable import printable, printable_lines

SECRET = "pa/ss+wörd=%&\"'\\"


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("scaler", "TRACE", None, stream)
    return stream


def lower(encoded: str) -> str:
    """Percent-encoding as Nextcloud spells it."""
    return re.sub("%..", lambda match: match[0].lower(), encoded)


FORMS = {
    "as it is": SECRET,
    "percent-encoded": urllib.parse.quote(SECRET, safe=""),
    "percent-encoded, slashes kept": urllib.parse.quote(SECRET),
    "percent-encoded in lower case": lower(urllib.parse.quote(SECRET, safe="")),
    "in a form": urllib.parse.quote_plus(SECRET),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 for addresses": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "Basic authentication": base64.b64encode(f"alice:{SECRET}".encode()).decode(),
    "Basic authentication in Latin-1": base64.b64encode(f"alice:{SECRET}".encode("latin-1")).decode(),
    "repr": repr(SECRET)[1:-1],
    "JSON": json.dumps(SECRET)[1:-1],
    "bytes": repr(SECRET.encode())[2:-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_in_any_form_is_hidden(said: io.StringIO, form: str) -> None:
    redaction.hide_login("alice", SECRET)
    logger.info("before {} after", FORMS[form])
    assert FORMS[form] not in said.getvalue()
    assert f"before {redaction.HIDDEN} after" in said.getvalue()


def test_a_secret_in_a_traceback_is_hidden(said: io.StringIO) -> None:
    redaction.hide_login("alice", SECRET)

    def fail(password: str) -> None:
        raise ValueError(f"password {password!r} is bad")

    try:
        fail(SECRET)
    except ValueError:
        logger.exception("It failed")
    text = said.getvalue()
    assert "It failed" in text
    assert "ValueError" in text
    assert "wörd" not in text


def test_a_secret_in_a_file_and_from_a_library_is_hidden(said: io.StringIO, tmp_path: Path) -> None:
    plain, lines = tmp_path / "log.txt", tmp_path / "log.jsonl"
    for file in (plain, lines):
        log.set_up("scaler", "TRACE", file, said)
        redaction.hide_login("alice", SECRET)
        logging.getLogger("library").warning("sent %s", SECRET)
        try:
            Path("/nowhere", SECRET).read_text()
        except OSError:
            logging.getLogger("library").exception("broke")
        logger.info("héllo {}", SECRET)
    logger.remove()
    assert "sent " + redaction.HIDDEN in plain.read_text()
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(records) == 3
    assert records[2]["record"]["message"] == "héllo " + redaction.HIDDEN
    for text in (plain.read_text(), lines.read_text(), said.getvalue()):
        assert "rd=" not in text


def test_what_python_warns_of_is_logged(said: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("take care", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "take care" in said.getvalue()


def test_a_level_that_loguru_does_not_know(said: io.StringIO) -> None:
    logging.addLevelName(35, "NOTICE")
    logging.getLogger("library").log(35, "take note")
    logging.getLogger("library").log(36, "and more")
    assert "take note" in said.getvalue()
    assert "and more" in said.getvalue()


def test_braces_in_a_message_are_no_fields(said: io.StringIO) -> None:
    logger.info("{}", "Unknown {name} <red> {0}.png")
    assert "Unknown {name} <red> {0}.png" in said.getvalue()
    logging.getLogger("library").warning("%s", "{x} <b>")
    assert "{x} <b>" in said.getvalue()


def test_a_line_names_the_daemon_and_is_plain_without_a_terminal(said: io.StringIO) -> None:
    logger.info("hello")
    (line,) = said.getvalue().splitlines()
    assert line.endswith("INFO    scaler hello")
    assert "\x1b" not in line


class Terminal(io.StringIO):
    """Standard error, in a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    log.set_up("scaler", "INFO", None, stream)
    return stream


def test_a_terminal_gets_colours(terminal: Terminal) -> None:
    logger.info("hello")
    logger.debug("not wanted")
    assert "\x1b[" in terminal.getvalue()
    assert "not wanted" not in terminal.getvalue()


def test_colours_hold_on_light_and_on_dark_terminals(terminal: Terminal) -> None:
    for level in ("INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"):
        logger.log(level, "hello")
    used = {
        int(number)
        for sequence in re.findall("\x1b\\[([0-9;]+)m", terminal.getvalue())
        for number in sequence.split(";")
    }
    # Reset, dim, reverse; red, green, magenta.
    assert used <= {0, 2, 7, 31, 32, 35}
    assert {31, 32, 35} <= used


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_left_out_where_they_are_not_wanted(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    log.set_up("scaler", "INFO", None, terminal)
    logger.warning("hello")
    assert "\x1b" not in terminal.getvalue()
    assert "WARNING hello" in terminal.getvalue()


@pytest.mark.parametrize("length", [5, 30, 34, 45, 54])
def test_an_images_line_fits_a_terminal(terminal: Terminal, length: int) -> None:
    name = "Unknown".ljust(length, "x")
    message = f"{name} 14000x13000 → 28000x26000, 9.9 s"
    logger.bind(image=name).success("{}", message)
    line = re.sub("\x1b\\[[0-9;]+m", "", terminal.getvalue()).rstrip("\n")
    assert len(line) <= 80
    assert line.endswith(" 14000x13000 → 28000x26000, 9.9 s")
    assert ("…" in line) == (len("00:00:00 scaler ") + len(message) > 80)


def test_a_line_that_is_far_too_long_stays_whole(terminal: Terminal) -> None:
    logger.bind(image="a.jpg").warning("{}", f"a.jpg is skipped: {'x' * 200}")
    assert "x" * 200 in terminal.getvalue()


# --- what others may not do by a name or an answer --------------------------------------------------------------------

# C0, DEL, C1, separators, bidirectional marks, overrides and isolates, zero-width characters, a lone surrogate.
HARMFUL = [*map(chr, [*range(0x20), 0x7F, *range(0x80, 0xA0)])]
HARMFUL += [
    *"\u2028\u2029\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\ud800"
]
HARMLESS = "naïve Ünï 日本語 👩‍👩‍👧 ‌نام \u00a0 \\ {x} <b>"
FORGED = "x\n2026-01-01 00:00:00 ERROR   scaler forged\x1b[2J\r\x9b31m\u202egpj"


def only_safe(text: str) -> bool:
    return not set(text.replace("\n", "")) & set(HARMFUL)


@pytest.mark.parametrize("char", HARMFUL, ids=lambda char: f"U+{ord(char):04X}")
def test_a_harmful_character_becomes_an_escape_sequence(char: str) -> None:
    assert printable(f"a{char}b") == f"a{char.encode('unicode_escape').decode()}b"
    assert char not in printable_lines(f"a{char}b\n  c{char}") or char == "\n"


def test_other_characters_stay() -> None:
    assert printable(HARMLESS) == HARMLESS


def test_only_indented_lines_are_lines() -> None:
    assert printable_lines("first:\n  second\nthird\n  fourth") == "first:\n  second\\nthird\n  fourth"


def test_no_text_forges_a_line_or_drives_the_terminal(said: io.StringIO, tmp_path: Path) -> None:
    plain, lines = tmp_path / "log.txt", tmp_path / "log.jsonl"
    for file in (plain, lines):
        log.set_up("scaler", "TRACE", file, said)
        logger.warning("{} is skipped", FORGED)
        logger.error("{}", Failure(FORGED, FORGED))
        logging.getLogger("library").warning("%s", FORGED)
        error = ValueError(FORGED)
        error.__cause__ = KeyError(FORGED)
        logger.opt(exception=error).error("It failed: {}", FORGED)
    logger.remove()
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(records) == 4
    for text in (
        said.getvalue(),
        plain.read_text(),
        *(r["record"]["message"] for r in records),
        *(r["text"] for r in records),
    ):
        assert only_safe(text)
        assert "forged" in text
        assert not [line for line in text.splitlines() if line.startswith("2026-01-01")]
    assert "\\x1b[2J" in said.getvalue()


def test_what_is_printed_is_safe_too(capsys: pytest.CaptureFixture[str]) -> None:
    redaction.hide("s3cret")
    log.show(f"s3cret {FORGED}")
    log.show(FORGED, err=True)
    checks = Checks()
    with contextlib.suppress(Skip), checks.trying(FORGED):
        raise Failure(FORGED, FORGED)
    with checks.trying(FORGED) as found:
        found.append(FORGED)
    out, err = capsys.readouterr()
    assert only_safe(out + err)
    assert "s3cret" not in out
    assert not [line for line in (out + err).splitlines() if line.startswith("2026")]


# --- log files --------------------------------------------------------------------------------------------------------


def logged(file: Path) -> list[str]:
    """The texts in a file."""
    return [line.partition(" scaler ")[2] for line in file.read_text().splitlines()]


def test_a_log_file_may_be_moved_or_deleted_with_its_folder(said: io.StringIO, tmp_path: Path) -> None:
    file = tmp_path / "logs" / "scaler.log"
    log.set_up("scaler", "INFO", file, said)
    logger.info("one")
    file.rename(tmp_path / "moved")
    logger.info("two")
    file.unlink()
    file.parent.rmdir()
    logger.info("three")
    assert logged(tmp_path / "moved") == ["one"]
    assert logged(file) == ["three"]
    assert "cannot be written" not in said.getvalue()


def test_a_disk_that_is_full_is_said_once_and_no_line_is_torn(said: io.StringIO, tmp_path: Path) -> None:
    file = tmp_path / "full.log"
    file.symlink_to("/dev/full")
    log.set_up("scaler", "INFO", file, said)
    for _ in range(3):
        logger.info("lost")
    assert said.getvalue().count("cannot be written (No space left on device)") == 1
    assert said.getvalue().count("lost") == 3
    file.unlink()
    logger.info("found")
    assert logged(file) == ["found"]
    file.unlink()
    file.symlink_to("/dev/full")
    logger.info("lost")
    assert said.getvalue().count("cannot be written") == 2


def test_a_line_of_which_only_a_part_was_written_is_ended(
    said: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, sizes = os.write, iter([5, 0])

    def partly(file: int, data: bytes) -> int:
        size = next(sizes, len(data))
        if size == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:size])

    file = tmp_path / "log"
    log.set_up("scaler", "INFO", file, said)
    monkeypatch.setattr(os, "write", partly)
    logger.info("half")
    logger.info("whole")
    torn, whole = file.read_text().splitlines()
    assert len(torn) == 5
    assert whole.endswith("scaler whole")


def test_a_pipe_that_nobody_reads_stops_nothing(said: io.StringIO, tmp_path: Path) -> None:
    file = tmp_path / "log"
    log.set_up("scaler", "INFO", file, said)
    file.unlink()
    os.mkfifo(file)
    logger.info("hello")
    assert said.getvalue().count("cannot be written") == 1


def test_braces_in_the_name_of_a_log_file_are_no_fields(said: io.StringIO, tmp_path: Path) -> None:
    file = tmp_path / "{time} {x}.log"
    log.set_up("scaler", "INFO", file, said)
    logger.info("hello")
    assert logged(file) == ["hello"]


def test_log_files_are_rotated_and_only_their_own_old_ones_removed(
    said: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.log_file.ROTATED_AT", 1000)
    others = {tmp_path / name for name in ("scaler.mover.log", "scaler.2020.log", "scaler.log.1", "xscaler.log")}
    for other in others:
        other.touch()
    file = tmp_path / "scaler.log"
    log.set_up("scaler", "INFO", file, said)
    for number in range(100):
        logger.info("{:03} {}", number, "x" * 100)
        assert file.stat().st_size <= 1000
    rotated = sorted(set(tmp_path.iterdir()) - others - {file})
    assert len(rotated) == 5
    assert all(path.exists() for path in others)
    # None is lost between them.
    numbers = [int(text[:3]) for path in (*rotated, file) for text in logged(path)]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) > 30


def test_a_log_is_rotated_at_ten_megabytes(said: io.StringIO, tmp_path: Path) -> None:
    file = tmp_path / "scaler.log"
    log.set_up("scaler", "INFO", file, said)
    os.truncate(file, 9_999_900)
    logger.info("x")
    assert len(list(tmp_path.iterdir())) == 1
    logger.info("y" * 100)
    assert len(list(tmp_path.iterdir())) == 2
    assert logged(file) == ["y" * 100]


class Broken(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("stream", [Broken(), io.StringIO()], ids=["broken", "closed"])
def test_a_stream_that_cannot_be_written_stops_nothing(tmp_path: Path, stream: io.StringIO) -> None:
    file = tmp_path / "log"
    log.set_up("scaler", "INFO", file, stream)
    if not isinstance(stream, Broken):
        stream.close()
    logger.info("hello")
    assert logged(file) == ["hello"]
