"""Daemons whose standard streams are closed, broken or full, as after `| head` or on a full disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.program import free_port

SHELL = {
    "closed": "exec 0<&- 1>&- 2>&-",
    "only standard error closed": "exec 2>&-",
    "only standard output closed": "exec 1>&-",
    "full": "exec 1>/dev/full 2>/dev/full",
    "reader gone": "exec 1> >(exec true) 2>&1; sleep 0.3",
}
SCALER = [sys.executable, "-c", "from scaler.main import main; main()"]


def run(streams: str, *command: str, folder: Path, **environ: str) -> int:
    """Run a command behind such streams, and return its exit status."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "VAULT_TOKEN": "hvs.unknown"} | environ
    shell = ["bash", "-c", f'{SHELL[streams]}; exec "$@"', "bash"]
    done = subprocess.run(
        [*shell, *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return done.returncode


@pytest.mark.parametrize("streams", ["closed", "full", "reader gone"])
def test_the_log_file_gets_everything_and_the_status_is_right(streams: str, tmp_path: Path) -> None:
    file = tmp_path / "log"
    address = f"http://127.0.0.1:{free_port()}"
    arguments = ("--once", "--log-file", str(file))
    assert run(streams, *SCALER, *arguments, folder=tmp_path, VAULT_ADDR=address) == 2
    (line,) = file.read_text().splitlines()
    assert "refuses connections" in line
    # Nothing is there to see it, but it must not fail in another way either.
    assert run(streams, *SCALER, "--check", folder=tmp_path, VAULT_ADDR=address) == 1


@pytest.mark.parametrize("streams", SHELL)
def test_no_file_gets_the_number_of_a_stream(streams: str, tmp_path: Path) -> None:
    code = (
        "import os, sys; from shared import streams; streams.secure()\n"
        "number = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n"
        "os.write(1, b'x') if sys.argv[2] == 'closed' else None\n"
        "assert not (sys.stdin.isatty() or sys.stdout.isatty() or sys.stderr.isatty())\n"
        "os.write(number, str(number).encode())\n"
    )
    file = tmp_path / "file"
    assert run(streams, sys.executable, "-c", code, str(file), streams, folder=tmp_path) == 0
    assert int(file.read_text()) > 2


def test_a_terminal_that_lacks_a_character_gets_an_escape_sequence(tmp_path: Path) -> None:
    code = "from shared import streams, logging; streams.secure(); logging.show('é → ü')"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=True)
    assert done.stdout.decode("latin-1") == "é \\u2192 ü\n"
