"""Real processes of the daemons, cheap enough to be killed by the hundred: forked where everything is imported already.

As a program it reads one JSON object a line (`daemon`, `arguments`, `environment`, `log`), starts that daemon in a
child, and answers with its process id; a bare process id it answers with the exit status of that child, once it ended.
"""

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click


class Nursery:
    """Starts daemons; lives in a `with` block."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Nursery":
        assert self._ask("") == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)

    def start(self, daemon: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> "Child":
        """Start a daemon; its output is appended to a file."""
        order = {"daemon": daemon, "arguments": arguments, "environment": dict(environment), "log": str(log)}
        return Child(self, int(self._ask(json.dumps(order))))

    def wait(self, pid: int) -> int:
        """The exit status of a child, negative for the signal that ended it."""
        return int(self._ask(str(pid)))

    def _ask(self, line: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


class Child:
    """A running daemon."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self._status: int | None = None

    def kill(self) -> None:
        """Kill it, whatever it is doing; it may have come to its end before."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; the exit status."""
        if self._status is None:
            self._status = self._nursery.wait(self.pid)
        return self._status


@contextlib.contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery, ready to start daemons."""
    with Nursery() as ready:
        yield ready


def _serve() -> None:
    import mover.check
    import mover.main
    import mover.service
    import scaler.check
    import scaler.config
    import scaler.images.codecs
    import scaler.main
    import scaler.service
    import shared.app
    import shared.config.vault

    assert mover.check
    assert mover.service
    assert scaler.check
    assert scaler.service
    assert scaler.images.codecs
    assert scaler.config
    assert shared.app
    assert shared.config.vault
    daemons = {"scaler": scaler.main.main, "mover": mover.main.main}
    signal.signal(signal.SIGINT, _not_me)
    gc.freeze()
    for line in sys.stdin:
        answer = "ready"
        if line.startswith("{"):
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                _become(order)
                _run(daemons[order["daemon"]], order["arguments"])
            answer = str(pid)
        elif line.strip():
            answer = str(os.waitstatus_to_exitcode(os.waitpid(int(line), 0)[1]))
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def _not_me(_number: int, _frame: FrameType | None) -> None:
    """Ctrl-C at the tests is not meant for the nursery, which ends with them."""


def _run(daemon: click.Command, arguments: Sequence[str]) -> NoReturn:
    """Run it and end: tidying up the memory of all that was imported takes longer than the work itself."""
    status: object = 1
    try:
        daemon.main(arguments, prog_name=daemon.name)
    except SystemExit as end:
        status = end.code
    finally:
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def _become(order: Mapping[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(order["environment"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, to in ((0, nothing), (1, log), (2, log)):
        os.dup2(to, number)


if __name__ == "__main__":
    _serve()
