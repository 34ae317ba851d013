"""Authentication, and the throttling of addresses that tried too many wrong passwords."""

import base64
import threading
from collections.abc import Callable

from sandbox.wsgi import Environ

FAILURES_ALLOWED = 11
FAILURES_COUNT_FOR = 1800.0
LONGEST_DELAY = 25_000


class Auth:
    """Knows the login, and which addresses tried wrong ones. `clock` tells the time in seconds."""

    def __init__(self, user: str, password: str, clock: Callable[[], float]) -> None:
        self.user = user
        self.password = password
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, list[float]] = {}

    def is_throttled(self, address: str) -> bool:
        """Whether an address sent too many wrong passwords; the right one is not accepted then either."""
        since = self._clock() - FAILURES_COUNT_FOR
        with self._lock:
            self._failures[address] = [when for when in self._failures.get(address, ()) if when > since]
            return len(self._failures[address]) >= FAILURES_ALLOWED

    def delay(self, address: str) -> int:
        """The delay in milliseconds that Nextcloud's capabilities report for an address."""
        with self._lock:
            failures = len(self._failures.get(address, ()))
        return min(LONGEST_DELAY, 100 * 2**failures) if failures else 0

    def admits(self, address: str, user: str, password: str) -> bool:
        """Whether this is the account's login. A right login clears the wrong ones from its address."""
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
