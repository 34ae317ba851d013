"""The processes of `--dask local`: forked from one that imports what they need while the daemon still starts."""

import contextlib
import os
import signal
from collections.abc import Iterator
from multiprocessing import forkserver, set_forkserver_preload

PRELOADED = "scaler.local_preload"
# Terminals and service managers send these to all processes; the daemon stops its workers after their last images.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def prepare() -> str:
    """Start the process that forks them; call this before distributed is imported, which takes as long.

    Returns:
        how they are to be started, as multiprocessing calls it.
    """
    # As `load_opencv` does for a daemon; it must be set before numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    set_forkserver_preload([PRELOADED])
    try:
        with _ignoring_stops():
            forkserver.ensure_running()
    except OSError:
        # It listens on a socket in the folder for temporary files, whose path can be too long for that.
        return "spawn"
    return "forkserver"


@contextlib.contextmanager
def _ignoring_stops() -> Iterator[None]:
    """Processes that are started now inherit that; Ctrl-C would show their tracebacks before they could ignore it."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
