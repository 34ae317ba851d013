"""Who may come in."""

import base64
import threading
from collections.abc import Callable

from sandbox.wsgi import Environ

FAILURES_ALLOWED = 11
FAILURES_COUNT_FOR = 1800.0
LONGEST_DELAY = 25_000


class Auth:
    """Knows the password, and who tried too many wrong ones."""

    def __init__(self, user: str, password: str, clock: Callable[[], float]) -> None:
        self.user = user
        self.password = password
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, list[float]] = {}

    def is_throttled(self, address: str) -> bool:
        """Whether too many wrong passwords came from an address; then the right one does not help."""
        since = self._clock() - FAILURES_COUNT_FOR
        with self._lock:
            self._failures[address] = [when for when in self._failures.get(address, ()) if when > since]
            return len(self._failures[address]) >= FAILURES_ALLOWED

    def delay(self, address: str) -> int:
        """Milliseconds for which Nextcloud says it would hold an answer up."""
        with self._lock:
            failures = len(self._failures.get(address, ()))
        return min(LONGEST_DELAY, 100 * 2**failures) if failures else 0

    def admits(self, address: str, user: str, password: str) -> bool:
        """Whether this is the account's login; a right one lets earlier wrong ones be forgotten."""
        right = (user, password) == (self.user, self.password)
        with self._lock:
            if right:
                self._failures.pop(address, None)
            else:
                self._failures.setdefault(address, []).append(self._clock())
        return right

    def forgive(self) -> None:
        """Forget all wrong passwords."""
        with self._lock:
            self._failures.clear()


def login_of(environ: Environ) -> tuple[str, str] | None:
    """The name and password that a request carries, None if it carries none."""
    scheme, _, encoded = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded).decode().partition(":")
    except ValueError:
        return None
    return user, password
