"""Imported by the processes of `--dask local`, or by the one that forks them: what they need for their tasks."""

import signal

from scaler.allocator import keep_blocks
from scaler.local_workers import STOPS
from shared.start import importing

with importing():
    import scaler.dask_worker
    import scaler.images.codecs  # noqa: F401 - for the processes that are forked

keep_blocks()

# Processes that are not forked have not inherited that these are blocked.
for number in STOPS:
    signal.signal(number, signal.SIG_IGN)
