"""Limits how many images are processed at once, by cores and memory.

Ten threads may wait for the network, but ten that decode and encode at once on two cores are slower than two, and take
far more memory. The limits of this process are read from its control groups (Linux's documents cgroup-v1 and
cgroup-v2).
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Bytes that the interpreter, OpenCV and ten connections take.
OWN_SHARE = 160 * 2**20
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Limits:
    """What computing may use.

    Attributes:
        cores: images processed at the same time.
        memory: bytes that they may take together.
    """

    cores: int
    memory: int


def limits(max_memory: int | None) -> Limits:
    """The limits of this process; `max_memory` (bytes) replaces the container's limit."""
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
    """Three quarters of the container's limit minus our own share; at most half of the free memory."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    bounds = [free // 2]
    for folder in _own_cgroups():
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):
                bounds.append(int((folder / name).read_text()) * 3 // 4 - OWN_SHARE)
    return max(64 * 2**20, min(bounds))


def _own_cgroups() -> Iterator[Path]:
    """The folders of this process's control groups (version 2 and 1), innermost first."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for root in [_CGROUPS, *(_CGROUPS / name for name in controllers.split(",") if name in ("memory", "cpu"))]:
            inner = root / path.strip("/")
            yield from [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]


@dataclass(frozen=True, slots=True)
class _Waiter:
    size: int
    ready: threading.Event


class MemoryBudget:
    """Admits threads in the order of their calls, so that a large image does not starve."""

    def __init__(self, limits: Limits) -> None:
        self._cores = limits.cores
        self.memory = limits.memory
        self._computing = 0
        self._held = 0
        self._queue: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def acquire(self, size: int) -> Iterator["Reservation"]:
        """Reserve `size` bytes and one core; `Reservation.shrink` returns the core and most of the bytes.

        Raises:
            ValueError: it can never fit.
        """
        if size > self.memory:
            raise ValueError(f"{size} bytes do not fit into {self.memory}")
        waiter = _Waiter(size, threading.Event())
        with self._lock:
            self._queue.append(waiter)
            self._admit()
        waiter.ready.wait()
        reservation = Reservation(self, size)
        try:
            yield reservation
        finally:
            reservation.shrink(0)

    def _admit(self) -> None:
        """Wake exactly the threads that fit now."""
        while self._queue and self._fits(self._queue[0].size):
            waiter = self._queue.popleft()
            self._computing += 1
            self._held += waiter.size
            waiter.ready.set()

    def _fits(self, size: int) -> bool:
        return self._computing < self._cores and self._held + size <= self.memory

    def give_back(self, size: int, cores: int) -> None:
        """Return bytes and cores of a reservation."""
        with self._lock:
            self._held -= size
            self._computing -= cores
            self._admit()


class Reservation:
    """Memory reserved for one image, and a core until `shrink`."""

    def __init__(self, budget: MemoryBudget, size: int) -> None:
        self._budget = budget
        self._size = size
        self._cores = 1

    def shrink(self, size: int) -> None:
        """Return the core, and all but `size` bytes."""
        self._budget.give_back(self._size - size, self._cores)
        self._size, self._cores = size, 0
