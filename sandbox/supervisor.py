"""Runs a server for as long as somebody holds this program's standard input open, then tidies up.

    python keeper.py FOLDER COMMAND...

The end of standard input comes when the holder closes it and when the holder dies, however it dies (SIGKILL too,
and whichever of its threads started this). Then the server is ended and FOLDER removed. Should this program itself
be killed, the kernel kills the server: PR_SET_PDEATHSIG is told of the death of the *thread* that forked, which here
is the only one. Imports nothing of the project, to start quickly.
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
    """Keep the server; see the module's text."""
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
        # It keeps nothing, so there is nothing to end in order.
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
