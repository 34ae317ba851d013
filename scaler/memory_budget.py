"""Who may compute: only as many images as there are cores, and only as many bytes as there is memory.

Ten threads may wait for the network; ten that decode and encode at once on two cores are slower than two, and take far
more memory.
"""

import contextlib
import functools
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from scaler.limits import Limits


@dataclass(frozen=True, slots=True)
class _Waiter:
    size: int
    ready: threading.Event


class MemoryBudget:
    """Lets threads in by turns, first come first served, so that a large image is not passed by for ever."""

    def __init__(self, limits: Limits) -> None:
        self._cores = limits.cores
        self._memory = limits.memory
        self._computing = 0
        self._held = 0
        self._queue: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def memory(self, size: int) -> Iterator["Reservation"]:
        """Hold `size` bytes and one core; give the core and most of the bytes back by `Reservation.shrink`.

        Raises:
            ValueError: it could never fit.
        """
        if size > self._memory:
            raise ValueError(f"{size} bytes do not fit into {self._memory}")
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
        """Wake those whose turn it is, and nobody else: a core is idle until the right one has looked."""
        while self._queue and self._fits(self._queue[0].size):
            waiter = self._queue.popleft()
            self._computing += 1
            self._held += waiter.size
            waiter.ready.set()

    def _fits(self, size: int) -> bool:
        return self._computing < self._cores and self._held + size <= self._memory

    def give_back(self, size: int, cores: int) -> None:
        """Take back bytes and cores from a reservation."""
        with self._lock:
            self._held -= size
            self._computing -= cores
            self._admit()


class Reservation:
    """Memory held by one image, and at first a core."""

    def __init__(self, gate: MemoryBudget, size: int) -> None:
        self._budget = gate
        self._size = size
        self._cores = 1

    def shrink(self, size: int) -> None:
        """Computing is over; keep only `size` bytes."""
        self._budget.give_back(self._size - size, self._cores)
        self._size, self._cores = size, 0


@functools.lru_cache(maxsize=4)
def budget_of(limits: Limits) -> MemoryBudget:
    """The gate of this process for these limits."""
    return MemoryBudget(limits)
