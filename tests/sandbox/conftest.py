"""The servers under test."""

from collections.abc import Callable, Iterator

import pytest
import requests

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault

type Ask = Callable[..., requests.Response]


class Clock:
    """A clock that stands still until it is moved. `now` is in seconds."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of `nextcloud`."""
    return Clock()


@pytest.fixture
def nextcloud(clock: Clock) -> Iterator[Nextcloud]:
    """A server for one test."""
    with Nextcloud(clock=clock) as server:
        yield server


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    """A Vault for the tests of one module."""
    with Vault() as server:
        yield server


@pytest.fixture
def ask(nextcloud: Nextcloud) -> Iterator[Ask]:
    """Send a request on the account's files, such as a PUT of a.txt with data."""
    with requests.Session() as session:
        session.auth = (nextcloud.user, nextcloud.password)

        def send(method: str, path: str, **options: object) -> requests.Response:
            return session.request(method, nextcloud.files_url + path, timeout=20, **options)  # type: ignore[arg-type]

        yield send
