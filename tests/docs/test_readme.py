"""README.md and its neighbours: settings, options, messages and links are those of the code."""

import ast
import functools
import re
from pathlib import Path

import click
import pytest

import mover.main
import scaler.main
from shared.config.secrets import KINDS
from tests.docs.pages import PAGES, ROOT, code, table

README = ROOT / "README.md"
DAEMONS = {"scaler": scaler.main.main, "mover": mover.main.main}


def test_every_setting_is_named_with_its_secret() -> None:
    found: dict[str, set[str]] = {}
    for row in table(README, "## Settings", "Secret"):
        secret = (code(row["Secret"]) or list(found)[-1:])[0]
        found.setdefault(secret, set()).update(code(row["Key"]))
    assert found == {name: set(kind.model_fields) for name, kind in KINDS.items()}


def said_of_options() -> dict[str, dict[str, str]]:
    """The rows of the table of options by option."""
    return {code(row["Option"])[0].split()[0]: row for row in table(README, "## Options", "Option")}


def test_the_options_are_those_of_help() -> None:
    options = {
        name: {option.opts[0]: option.help for option in command.params if isinstance(option, click.Option)}
        for name, command in DAEMONS.items()
    }
    said = said_of_options()
    assert set(said) == set().union(*options.values())
    for option, row in said.items():
        having = [name for name in DAEMONS if option in options[name]]
        assert row["Daemon"] == ("both" if len(having) == len(DAEMONS) else having[0])
        assert {options[name][option] for name in having} == {row["What it does"]}


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_defaults_are_those_of_the_options(daemon: str) -> None:
    said, command = said_of_options(), DAEMONS[daemon]
    for option in command.params:
        default = option.get_default(click.Context(command))
        # Flags are off; an option that needs no value has a sentinel here.
        shown = str(default) if default and isinstance(default, int | str) else ""
        assert said[option.opts[0]]["Default"] == shown


@functools.cache
def strings() -> list[str]:
    """Every string in the daemons' code; an f-string is one for each of its constant parts."""
    files = [file for package in ("scaler", "mover", "shared") for file in (ROOT / package).rglob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.parametrize("message", [row["Message"] for row in table(README, "## When something fails", "Message")])
def test_a_message_is_one_that_the_code_has(message: str) -> None:
    known = strings()
    for fragment in re.split(r"…|/| \d{3}$", message):
        words = fragment.strip(" ,:")
        assert any(words in text for text in known), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads], link
