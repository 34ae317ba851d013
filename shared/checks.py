"""`--check`: one line for each thing that a poll needs."""

import contextlib
from collections.abc import Iterator

from shared.errors import Failure
from shared.logging import show


class Checks:
    """Prints a line for each check, and remembers whether one failed."""

    def __init__(self) -> None:
        self.exit_status = 0

    @contextlib.contextmanager
    def trying(self, what: str) -> Iterator[list[str]]:
        """Run one check; the caller appends details to the list.

        Raises:
            Skip: it failed, so checks that depend on it are pointless.
        """
        found: list[str] = []
        try:
            yield found
        except Failure as failure:
            self.exit_status = 1
            self._line("FAILED", what, failure.message)
            if failure.hint:
                show(f"        → {failure.hint}")
            raise Skip from None
        self._line("ok", what, *found)

    def _line(self, verdict: str, what: str, *found: str) -> None:
        tail = ": " + ", ".join(found) if found else ""
        show(f"{verdict: <7} {what}{tail}")


class Skip(Exception):
    """A check failed that others depend on."""
