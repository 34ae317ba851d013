"""The processes of `--dask local`: forked from one that imports what they need while the daemon still starts."""

import os
from multiprocessing import forkserver, set_forkserver_preload

PRELOADED = "scaler.local_preload"

# What `allocator` and `load_opencv` set for a daemon; the C library and OpenBLAS read it at the start of a process.
_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(64 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
    "OPENBLAS_NUM_THREADS": "1",
}


def prepare() -> str:
    """Start the process that forks them; call this before distributed is imported, which takes as long.

    Returns:
        how they are to be started, as multiprocessing calls it.
    """
    os.environ.update(_ENVIRONMENT)
    set_forkserver_preload([PRELOADED])
    try:
        forkserver.ensure_running()
    except OSError:
        # It listens on a socket in the folder for temporary files, whose path can be too long for that.
        return "spawn"
    return "forkserver"
