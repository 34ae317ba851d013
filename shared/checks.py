"""`--check`: everything that a poll needs, tried one by one, a line each."""

import contextlib
from collections.abc import Iterator

import click

from shared.errors import Failure
from shared.logging import redact


class Checks:
    """Prints a line for each check, and remembers whether one failed."""

    def __init__(self) -> None:
        self.exit_status = 0

    @contextlib.contextmanager
    def trying(self, what: str) -> Iterator[list[str]]:
        """One check; what it finds out may be put into the list it gets.

        Raises:
            Skip: it failed, so that checks which build on it make no sense.
        """
        found: list[str] = []
        try:
            yield found
        except Failure as failure:
            self.exit_status = 1
            self._line("FAILED", what, failure.message)
            if failure.hint:
                click.echo(redact(f"        → {failure.hint}"))
            raise Skip from None
        self._line("ok", what, *found)

    def _line(self, verdict: str, what: str, *found: str) -> None:
        tail = ": " + ", ".join(found) if found else ""
        click.echo(redact(f"{verdict: <7} {what}{tail}"))


class Skip(Exception):
    """A check failed on which others build."""
