"""How the target of a MOVE is written (RFC 4918, 10.3)."""

import threading

from shared.webdav.store import Href

# What a server answers if it does not recognize itself in the Destination header (RFC 4918, 9.9.4).
_NOT_RECOGNIZED = (400, 502)


class DestinationForm:
    """The form of the Destination header that a server accepts, learned from its answers; shared by all its clients.

    A URI is usual. Where a proxy ends TLS and passes the header on as it is, the server does not recognize itself in
    it: most then take a path, and Apache a URI with its own scheme. A MOVE that is rejected is not repeated here, since
    502 may also come from a proxy that has lost the answer; the next MOVE uses the next form.

    Args:
        host: scheme, host and port of the server.
    """

    def __init__(self, host: str) -> None:
        scheme, _, rest = host.partition("://")
        self._forms = (host, "", f"{'http' if scheme == 'https' else 'https'}://{rest}")
        self._lock = threading.Lock()
        self._known = False
        self.prefix = host

    def header(self, target: Href) -> str:
        """The header for a target."""
        return f"Destination: {self.prefix}{target}"

    def learn(self, used: str, status: int) -> None:
        """Learn from the answer to a MOVE.

        Args:
            used: the prefix of its target.
            status: of the answer.
        """
        with self._lock:
            if status not in _NOT_RECOGNIZED:
                self._known = self._known or used == self.prefix
            elif not self._known and used == self.prefix:
                self.prefix = self._forms[(self._forms.index(used) + 1) % len(self._forms)]
