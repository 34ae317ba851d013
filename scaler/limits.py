"""How many processors and how much memory this process may use, as its container sees it."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# What the interpreter, OpenCV and ten connections take beside the images.
OWN_SHARE = 160 * 2**20
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Limits:
    """What computing may use.

    Attributes:
        cores: images that compute at one time.
        memory: bytes that they may take together.
    """

    cores: int
    memory: int


def limits(max_memory: int | None) -> Limits:
    """The limits of this process; `max_memory` (bytes) in place of what its container leaves."""
    return Limits(_cores(), max_memory if max_memory is not None else _memory())


def _cores() -> int:
    # os.process_cpu_count is only there from Python 3.13 on.
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = []
    for folder in _own_cgroups():
        with contextlib.suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))
        with contextlib.suppress(OSError, ValueError):
            old = int((folder / "cpu.cfs_quota_us").read_text())
            if old > 0:
                quotas.append(old / int((folder / "cpu.cfs_period_us").read_text()))
    return max(1, min(available, *(round(quota) for quota in quotas))) if quotas else available


def _memory() -> int:
    """Three quarters of what the container may have, less our own share; without one half of what is free."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    bounds = [free // 2]
    for folder in _own_cgroups():
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):
                bounds.append(int((folder / name).read_text()) * 3 // 4 - OWN_SHARE)
    return max(64 * 2**20, min(bounds))


def _own_cgroups() -> Iterator[Path]:
    """The folders of this process's control groups, innermost first, in version 2 and 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for root in [_CGROUPS, *(_CGROUPS / name for name in controllers.split(",") if name in ("memory", "cpu"))]:
            inner = root / path.strip("/")
            yield from [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
