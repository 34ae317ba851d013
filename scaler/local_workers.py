"""The processes of `--dask local`: forked from one that imports what they need while the daemon still starts."""

import os
from multiprocessing import forkserver, set_forkserver_preload

# What `allocator` and `load_opencv` set for a daemon; the C library and OpenBLAS read it at the start of a process.
_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(64 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
    "OPENBLAS_NUM_THREADS": "1",
}


def prepare() -> None:
    """Start the process that forks them; call this before distributed is imported, which takes as long."""
    os.environ.update(_ENVIRONMENT)
    set_forkserver_preload(["scaler.local_preload"])
    forkserver.ensure_running()
