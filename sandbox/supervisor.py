"""Runs a server for as long as the parent process keeps this program's standard input open, then cleans up.

    python supervisor.py FOLDER COMMAND...

Standard input ends when the parent closes it and when the parent dies, even by SIGKILL and whichever of its threads
started this. The server is killed then, and FOLDER removed. If this program itself is killed, the kernel kills the
server: PR_SET_PDEATHSIG acts on the death of the *thread* that forked, and here there is only one. This module imports
nothing of the project, to start quickly.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the server; see the module's docstring."""
    folder, *command = sys.argv[1:]
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    try:
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen(  # noqa: S603 -- the command is the sandbox's own
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
            )
        sys.stdin.buffer.read()
        # The server stores nothing, so it need not shut down in an orderly way.
        server.kill()
        server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _die_with_parent() -> None:
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)


if __name__ == "__main__":
    main()
