"""Borrowing a store of an account, in a time that passes only where somebody waits."""

import contextlib
from collections.abc import Iterator

from shared.retry import ATTEMPTS, RetryPolicy
from shared.webdav.store import Account, Store
from tests.fake_time import FakeTime


@contextlib.contextmanager
def connected(account: Account, retry: RetryPolicy | None = None) -> Iterator[Store]:
    """A store, and its connection closed afterwards."""
    connections = account.open(retry or RetryPolicy(FakeTime().stop(), ATTEMPTS))
    try:
        with connections.connect() as store:
            yield store
    finally:
        connections.close()
