"""The processes of a private Vault: its server and the supervisor, which work in its folder."""

import os
import signal
import time
from pathlib import Path

from shared.private_vault.layout import Layout, lock


def processes_in(folder: Path) -> dict[int, str]:
    """The processes that work in a folder, with their programs' names."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found[int(process.name)] = (process / "comm").read_text().strip()
        except OSError:
            continue
    return found


def wait_for_end(layout: Layout) -> None:
    """Wait until no server runs, and until its supervisor, which gives up the lock first, has ended too."""
    lock(layout.server_lock).close()
    deadline = time.monotonic() + 20
    while processes_in(layout.folder) and time.monotonic() < deadline:
        time.sleep(0.02)


def kill_some(layout: Layout, which: str = "all") -> None:
    """Kill the server ("bao"), the supervisor ("python") or both ("all")."""
    for pid, name in processes_in(layout.folder).items():
        if which in ("all", name) or (which == "python" and name != "bao"):
            os.kill(pid, signal.SIGKILL)
