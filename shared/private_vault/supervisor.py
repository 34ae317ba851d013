"""Runs the private Vault's server for as long as a process uses it.

    python -m shared.private_vault.supervisor FOLDER

Returns once the server is ready, no matter who started it, and leaves a process behind that restarts the server if it
dies and stops it when it is no longer used. Users hold a lock that the kernel releases when they end, however they
end. If this process is killed, so is the server, and the next user starts both again.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import IO

from shared.private_vault.layout import Layout, Lock, private_files, try_lock
from shared.private_vault.server import SECONDS_TO_START, Server, ServerError, answers, installed_version

READY = "ready"
LOOK_EVERY = 0.5
SNAPSHOTS_KEPT = 3
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A server that dies this often in a short time does not recover by another start.
_MOST_RESTARTS = 5
_RESTARTS_COUNT_FOR = 60.0


def main() -> None:
    """Start the server unless it runs, or report on standard error why it does not start."""
    layout = Layout(Path(sys.argv[1]))
    try:
        _start(layout)
    except (ServerError, OSError) as error:
        sys.exit(f"{error}")


def _start(layout: Layout) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not answers(layout):
        if held := try_lock(layout.server_lock):
            return _become(layout, held)
        if time.monotonic() > deadline:
            raise ServerError(f"The private Vault does not answer although it runs; see {layout.log}")
        time.sleep(0.1)
    return None


def _become(layout: Layout, held: Lock) -> None:
    """Supervise in a separate process; return when the server is ready."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        held.close()
        with os.fdopen(reader) as said:
            answer = said.read()
        if answer != READY:
            raise ServerError(answer or f"Its process was killed; see {layout.log}")
        return
    os.close(reader)
    os.setsid()
    # A caller that waits for our output must not wait for the server.
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.chdir(layout.folder)
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_STOPS, signal.SIGCHLD})
    with private_files(), held, os.fdopen(writer, "w") as said:
        try:
            supervise(layout, said)
        except (ServerError, OSError) as error:
            if not said.closed:
                said.write(str(error))
    os._exit(0)


def supervise(layout: Layout, said: IO[str]) -> None:
    """Keep the server running until a signal or a request arrives, or it is no longer used.

    Args:
        said: gets READY when the server is ready for the first time, and is closed.

    Raises:
        ServerError: it does not start, or keeps dying.
    """
    layout.stop_request.unlink(missing_ok=True)
    _snapshot_before_upgrade(layout)
    deaths: list[float] = []
    while True:
        with Server(layout) as server:
            server.unseal()
            layout.write(layout.version, installed_version())
            layout.write(layout.address, server.address)
            if not said.closed:
                said.write(READY)
                said.close()
            if _end(layout, server):
                return
        deaths = [when for when in deaths if time.monotonic() - when < _RESTARTS_COUNT_FOR] + [time.monotonic()]
        if len(deaths) > _MOST_RESTARTS:
            raise ServerError(f"OpenBao keeps exiting; see {layout.log}")


def _end(layout: Layout, server: Server) -> bool:
    """Wait until the server has to be stopped, and stop it: True. False if it died."""
    while server.running:
        received = signal.sigtimedwait({*_STOPS, signal.SIGCHLD}, LOOK_EVERY)
        if (received and received.si_signo in _STOPS) or layout.stop_request.exists():
            return True
        if unused := try_lock(layout.use_lock):
            # A process that wants to use it now waits until it is stopped, and starts another.
            with unused:
                server.stop()
            return True
    return False


def stop(layout: Layout) -> bool:
    """Stop the server and wait for its end; False if it did not run.

    Raises:
        ServerError: it does not stop.
    """
    deadline = time.monotonic() + SECONDS_TO_START
    ran = False
    while not (held := try_lock(layout.server_lock)):
        ran = True
        layout.stop_request.touch(mode=0o600)
        if time.monotonic() > deadline:
            raise ServerError("The private Vault does not stop")
        time.sleep(0.1)
    held.close()
    layout.stop_request.unlink(missing_ok=True)
    return ran


def _snapshot_before_upgrade(layout: Layout) -> None:
    """Copy the data of another version of OpenBao before this one changes it; no server runs now."""
    last, now = layout.holds("version"), installed_version()
    if not last or last == now:
        return
    layout.snapshots.mkdir(exist_ok=True)
    for half in layout.snapshots.glob("*.new"):
        shutil.rmtree(half)
    name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-openbao-{last}"
    half = layout.snapshots / f"{name}.new"
    shutil.copytree(layout.data, half)
    half.rename(layout.snapshots / name)
    for old in sorted(layout.snapshots.iterdir())[:-SNAPSHOTS_KEPT]:
        shutil.rmtree(old)


if __name__ == "__main__":
    main()
