"""A pool of connections of one account."""

import contextlib
import threading
from collections.abc import Iterator

from shared.retry import RetryPolicy
from shared.webdav.client import Credentials, Findings, WebDavClient
from shared.webdav.retrying import RetryingStore
from shared.webdav.store import Href, Store


class ConnectionPool:
    """Clients of one account; each is used by one thread at a time.

    Args:
        retry: repeats what is safe to repeat.

    Attributes:
        root_url: of the Nextcloud (or ownCloud) that the account is on, with a slash at its end; empty elsewhere.
        user_id: of the account there.
    """

    def __init__(self, account: Credentials, retry: RetryPolicy, *, root_url: str = "", user_id: str = "") -> None:
        self.root_url = root_url
        self.user_id = user_id
        self._account = account
        self._retry = retry
        self._findings = Findings.at(account.base_url)
        self._idle: list[WebDavClient] = []
        self._closed = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def connect(self) -> Iterator[Store]:
        """Lend a store to one thread."""
        with self._lent() as client:
            yield RetryingStore(client, self._retry)

    def is_nextcloud(self, root: Href) -> bool:
        """Whether a folder is the root of a Nextcloud, determined without sending the password.

        Raises:
            Failure: it does not answer, or not now.
        """
        with self._lent() as client:
            return self._retry(lambda: client.is_nextcloud(root))

    @contextlib.contextmanager
    def _lent(self) -> Iterator[WebDavClient]:
        with self._lock:
            client = self._idle.pop() if self._idle else None
            closed = self._closed
        client = client or WebDavClient(self._account, self._retry.observer, self._findings)
        client.move_to(self._account.base_url)
        try:
            yield client
        finally:
            with self._lock:
                # A client lent before `close` must not return to the pool.
                kept = closed == self._closed
                if kept:
                    self._idle.append(client)
            if not kept:
                client.close()

    def move_to(self, account: Credentials, *, root_url: str, user_id: str) -> None:
        """Use another address of the same server and account; stores that were lent before keep theirs."""
        self._account, self.root_url, self.user_id = account, root_url, user_id

    def close(self) -> None:
        """Close all connections; those that are lent, as soon as they are back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._closed += 1
        for client in idle:
            client.close()
        self._findings.watchdog.close()
