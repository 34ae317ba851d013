"""The processes of `--dask local`: forked from one that imports what they need while the daemon still starts."""

import os
from multiprocessing import forkserver, set_forkserver_preload

PRELOADED = "scaler.local_preload"


def prepare() -> str:
    """Start the process that forks them; call this before distributed is imported, which takes as long.

    Returns:
        how they are to be started, as multiprocessing calls it.
    """
    # As `load_opencv` does for a daemon; it must be set before numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    set_forkserver_preload([PRELOADED])
    try:
        forkserver.ensure_running()
    except OSError:
        # It listens on a socket in the folder for temporary files, whose path can be too long for that.
        return "spawn"
    return "forkserver"
