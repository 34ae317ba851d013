"""Connections limited in number at any one time."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from shared.webdav.store import Connections, Store


@dataclass(frozen=True)
class LimitedConnections:
    """Connections that wait for a limit before they are lent, so that few requests reach a server at once.

    Attributes:
        limit: entered before a store is lent and left when it is returned; a semaphore, also one of several processes.
    """

    connections: Connections
    limit: AbstractContextManager[object]

    @property
    def root_url(self) -> str:
        """As that of the connections."""
        return self.connections.root_url

    @property
    def user_id(self) -> str:
        """As that of the connections."""
        return self.connections.user_id

    @contextlib.contextmanager
    def connect(self) -> Iterator[Store]:
        """Lend a store to one thread, once the limit allows it."""
        with self.limit, self.connections.connect() as store:
            yield store

    def close(self) -> None:
        """Close all connections that are not lent."""
        self.connections.close()
