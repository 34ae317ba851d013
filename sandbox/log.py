"""The log of the requests that the server got."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One request as the server saw it.

    path: decoded, without the query. headers: names in lower case. status: None if no answer was begun.
    peer: the client's port, one for each connection. time: time.monotonic() at its arrival, in seconds.
    """

    method: str
    path: str
    headers: dict[str, str]
    status: int | None
    peer: int
    time: float


class Log:
    """The requests in the order of their answers. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """Add a request."""
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
