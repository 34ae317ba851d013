"""What the server was asked."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One request as the server saw it.

    `path` is decoded, without query; header names are in lower case; `status` is None where no answer was begun;
    `peer` is the client's port, one for each connection; `time` is time.monotonic() at its arrival, in seconds.
    """

    method: str
    path: str
    headers: dict[str, str]
    status: int | None
    peer: int
    time: float


class Log:
    """What was asked, in the order of the answers. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """Note a request."""
        with self._lock:
            self._records.append(record)

    def all(self) -> list[Record]:
        """All requests up to now."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._records.clear()
