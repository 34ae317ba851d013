"""Detects a terminal that disappears silently, for example because the shell that started this process is killed."""

import os
import signal
import threading
import time
from pathlib import Path

from shared.shutdown import StopToken

_LOOK_EVERY = 2.0


def hang_up_with_terminal(stop: StopToken, look_every: float = _LOOK_EVERY) -> None:
    """Hang up (SIGHUP) once the controlling terminal is gone.

    Not if there was none from the start (setsid, systemd), nor if SIGHUP is ignored (nohup).
    """
    if _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        threading.Thread(target=_watch, args=(stop, look_every), name="terminal", daemon=True).start()


def _watch(stop: StopToken, look_every: float) -> None:
    while not stop.requested:
        time.sleep(look_every)
        if not _has_terminal():
            os.kill(os.getpid(), signal.SIGHUP)
            return


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal (proc(5), tty_nr); True if that cannot be determined."""
    try:
        status = Path("/proc/self/stat").read_text(errors="replace")
    except OSError:
        return True
    return status.rpartition(")")[2].split()[4] != "0"
