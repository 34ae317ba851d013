"""A daemon in the background of a shell that is killed."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

JOB = """
import signal, sys
from pathlib import Path
from shared.shutdown import StopToken, stop_on_signals
from shared.terminal import hang_up_with_terminal

if sys.argv[2] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
stop = StopToken()
with stop_on_signals(stop):
    hang_up_with_terminal(stop, 0.05)
    Path(sys.argv[1], "runs").touch()
    stopped = stop.pause(3 if sys.argv[2] != "plain" else 60)
Path(sys.argv[1], "stopped" if stopped else "went on").touch()
"""


@pytest.mark.parametrize("how", ["plain", "nohup", "setsid"])
def test_a_terminal_that_vanishes_is_a_hang_up_unless_it_was_meant(tmp_path: Path, how: str) -> None:
    shell, terminal = pty.fork()
    if shell == 0:
        # In a group of its own it is a background job, which the kernel does not tell that its shell is gone.
        group = {"start_new_session": True} if how == "setsid" else {"process_group": 0}
        subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path), how], **group)
        time.sleep(100)
        os._exit(1)
    wait_for(tmp_path / "runs")
    os.kill(shell, signal.SIGKILL)
    os.waitpid(shell, 0)
    os.close(terminal)
    wait_for(tmp_path / ("stopped" if how == "plain" else "went on"))


def wait_for(file: Path) -> None:
    """Wait until a file is there; pytest's timeout ends a wait in vain."""
    while not file.exists():
        time.sleep(0.02)
