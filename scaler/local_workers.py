"""The processes of `--dask local`: forked from one that imports what they need while the daemon still starts."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from multiprocessing import forkserver, resource_tracker, set_forkserver_preload

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
        # It unblocks these signals when it starts.
        resource_tracker.ensure_running()
        with _blocked(STOPS):
            forkserver.ensure_running()
    except OSError:
        # It listens on a socket in the folder for temporary files, whose path can be too long for that.
        return "spawn"
    return "forkserver"


@contextlib.contextmanager
def _blocked(numbers: Iterable[int]) -> Iterator[None]:
    """Postpone signals to this process. Processes that it starts inherit that, and never get them.

    Ctrl-C would otherwise show their tracebacks before they could ignore it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
