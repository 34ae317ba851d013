"""Polls that stand still before each of their requests, until a test lets the one of its choice go on."""

import abc
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import requests

from shared.errors import Cancelled, Failure, Unauthorized
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.account import WebDavAccount
from shared.webdav.client import WebDavClient
from shared.webdav.retrying import RetryingStore
from shared.webdav.store import Connections, Href, Store

SECONDS_TO_ANSWER = 30.0
_METHODS = {
    "list": "PROPFIND",
    "download": "GET",
    "upload": "PUT",
    "move": "MOVE",
    "clean": "DELETE",
    "mkdir": "MKCOL",
}


class Killed(BaseException):
    """The process is no more."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one request.

    Attributes:
        error: makes what its sender gets instead of an answer; None for the answer.
        after: whether the request has taken effect by then.
    """

    error: Callable[[], BaseException] | None = None
    after: bool = False

    def __repr__(self) -> str:
        return f"{self.error() if self.error else 'fine'!r} {'after' if self.after else 'before'}"


FINE = Fate()


class Worker(threading.Thread):
    """One poll of one process, which moves only while `step` lets it.

    Args:
        work: the poll.
        may_log_in: whether the server still takes the password that it was started with.

    Attributes:
        request: the method and address it wants to ask for next; None once the poll is over.
        end: what ended the poll before its time.
        error: what ended it and is none of the ends that a poll may have.
    """

    def __init__(self, work: Callable[[], object], may_log_in: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.request: tuple[str, str] | None = None
        self.end: BaseException | None = None
        self.error: BaseException | None = None
        self._work = work
        self._may_log_in = may_log_in
        self._fate = FINE
        self._dead = False
        self._go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)

    def begin(self) -> None:
        """Run up to the first request."""
        self.start()
        self._wait()

    def step(self, fate: Fate = FINE) -> None:
        """Let the next request meet its fate, and run up to the one after it."""
        self._fate = fate
        self._go.release()
        self._wait()

    def finish(self) -> None:
        """Let everything that is left go well."""
        while self.request is not None:
            self.step()

    def _wait(self) -> None:
        assert self._stands.acquire(timeout=SECONDS_TO_ANSWER), f"hangs after {self.request}"
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        try:
            self._work()
        except (Failure, Cancelled, Killed) as end:
            self.end = end
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error
        self.request = None
        self._stands.release()

    def at_request(self, method: str, href: str, after: bool) -> None:
        """Called in this thread, around each request."""
        if self._dead:
            raise Killed
        if not after:
            self.request = method, href
            self._stands.release()
            self._go.acquire()
            if not self._may_log_in():
                raise Unauthorized("the password is an old one")
        if self._fate.error is not None and after == self._fate.after:
            error = self._fate.error()
            self._dead = isinstance(error, Killed)
            raise error


class Puppet(abc.ABC):
    """One daemon in this process, each of whose requests waits for its turn; started anew once it has ended."""

    def __init__(self, stop: StopToken) -> None:
        self._stop = stop
        self._worker: Worker | None = None

    @abc.abstractmethod
    def close(self) -> None:
        """Forget everything."""

    @property
    def request(self) -> tuple[str, str] | None:
        """What it is about to ask, if it is in the midst of a poll."""
        return self._worker.request if self._worker else None

    def step(self, fate: Fate = FINE) -> None:
        """Let one request meet its fate."""
        assert self._worker
        self._worker.step(fate)

    def kill(self, *, after: bool) -> None:
        """End it before or after its next request, whatever it was about to do."""
        self.step(Fate(Killed, after))
        # The request itself may have been rejected; then the end comes with the next one.
        while self.request is not None:
            self.step(Fate(Killed))
        self.close()

    def ask_to_stop(self) -> None:
        """As a signal does."""
        self._stop.request()

    def end(self) -> BaseException | None:
        """Let the poll end well, if there is one; what ended it otherwise."""
        if self._worker is None:
            return None
        self._worker.finish()
        return self._worker.end


def show_request(method: str, href: str, after: bool) -> None:
    """Tell the worker that asks, if it is one; this is a `tests.contract.memory.Interference`."""
    thread = threading.current_thread()
    if isinstance(thread, Worker):
        thread.at_request(method, href, after)


class _ShownClient(WebDavClient):
    @contextlib.contextmanager
    def _request(self, action: str, href: Href, **options: Any) -> Iterator[requests.Response]:
        show_request(_METHODS[action], href, after=False)
        with super()._request(action, href, **options) as response:
            yield response
        show_request(_METHODS[action], href, after=True)


@dataclass(frozen=True)
class ShownAccount:
    """A real account, each request of whose clients is shown to the worker that sends it.

    Attributes:
        root_url, user_id: as in `Connections`; empty, images are published by claims.
    """

    account: WebDavAccount
    password: int
    root_url: str = ""
    user_id: str = ""

    def open(self, retry: RetryPolicy) -> Connections:
        return _ShownConnections(self.account, retry, self.root_url, self.user_id)


@dataclass(frozen=True)
class _ShownConnections:
    account: WebDavAccount
    retry: RetryPolicy
    root_url: str
    user_id: str

    @contextlib.contextmanager
    def connect(self) -> Iterator[Store]:
        with contextlib.closing(_ShownClient(self.account)) as client:
            yield RetryingStore(client, self.retry)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Login:
    """The account in memory, as somebody sees it who knows its password, which counts the rotations."""

    account: Any
    password: int

    def open(self, retry: RetryPolicy) -> Connections:
        connections: Connections = self.account.open(retry)
        return connections


class AtOnce(Executor):
    """Runs what is submitted in the thread that submits it, so that a worker sends one request after the other."""

    def submit[**P, T](self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - that is what a future is for
            future.set_exception(error)
        return future
