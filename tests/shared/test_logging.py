"""What is logged, and that no secret ever is."""

import base64
import io
import json
import logging
import re
import urllib.parse
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from shared import logging as log

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
    log.hide_login("alice", SECRET)
    logger.info("before {} after", FORMS[form])
    assert FORMS[form] not in said.getvalue()
    assert f"before {log.HIDDEN} after" in said.getvalue()


def test_a_secret_in_a_traceback_is_hidden(said: io.StringIO) -> None:
    log.hide_login("alice", SECRET)

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
        log.hide_login("alice", SECRET)
        logging.getLogger("library").warning("sent %s", SECRET)
        try:
            Path("/nowhere", SECRET).read_text()
        except OSError:
            logging.getLogger("library").exception("broke")
        logger.info("héllo {}", SECRET)
    logger.remove()
    assert "sent " + log.HIDDEN in plain.read_text()
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(records) == 3
    assert records[2]["record"]["message"] == "héllo " + log.HIDDEN
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


def test_an_empty_secret_hides_nothing() -> None:
    log.hide("")
    assert log.redact("text") == "text"


@given(st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=4))
def test_whatever_the_secret_it_is_gone(secret: str) -> None:
    log._hidden.clear()
    log.hide(secret)
    assert log.redact(f"<{secret}>") == f"<{log.HIDDEN}>"
