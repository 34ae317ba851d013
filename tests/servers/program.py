"""Running a server program for as long as a `with` block lasts, and not longer than the tests live."""

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from sandbox import supervisor

HOST = "127.0.0.1"
SECONDS_TO_START = 20.0
ATTEMPTS = 3


class FileServer:
    """A running server; `folder` is what `url` leads to."""

    username = "alice"
    password: str

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder / "files"
        self.url = f"http://{HOST}:{port}/"


def need(program: str) -> str:
    """The path of a program; the test is skipped where it is missing."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Whether a server answers a GET with 200."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def running(prepare: Callable[[Path, int], tuple[Sequence[str], Mapping[str, str]]]) -> Iterator[tuple[Path, int]]:
    """Run a server in a folder of its own.

    Args:
        prepare: gets the folder and a port, and gives the command and its environment.

    Yields:
        the folder and the port, once somebody answers there. Both end with the block, and with this process.
    """
    for attempt in range(1, ATTEMPTS + 1):
        folder = Path(tempfile.mkdtemp(prefix="test-server-"))
        port = free_port()
        command, environment = prepare(folder, port)
        process = subprocess.Popen(
            [sys.executable, "-I", supervisor.__file__, str(folder), *command],
            stdin=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        assert process.stdin
        try:
            # Another program may have taken the port meanwhile.
            if _listens(port) or attempt == ATTEMPTS:
                yield folder, port
                return
        finally:
            process.stdin.close()
            process.wait()


def _listens(port: int) -> bool:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False
