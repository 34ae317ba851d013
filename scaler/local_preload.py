"""Imported by the processes of `--dask local`, or by the one that forks them: what they need for their tasks."""

import signal

from scaler.allocator import keep_blocks
from shared.start import importing

with importing():
    import scaler.dask_worker
    import scaler.images.codecs  # noqa: F401 - for the processes that are forked

keep_blocks()

# Terminals and service managers send these to all processes; the daemon stops its workers after their last images.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
