"""Getting between a client and its server, whatever kind that is, one store call at a time."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.retry import RetryPolicy
from shared.webdav.store import (
    BASIC,
    Account,
    Assembled,
    Assembly,
    Connections,
    Entry,
    Href,
    Listing,
    Prop,
    Store,
    Stored,
    Wanted,
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a store's method.

    Attributes:
        method: its name.
        href: of what it is about.
        target: of a move.
        after: whether it has taken effect; each call is shown before and after.
    """

    method: str
    href: Href
    target: Href | None
    after: bool


type Spy = Callable[[Call], None]


class Killed(BaseException):
    """The process is no more."""


class StopAt:
    """Lets the process die at the n-th moment between requests: 0 is before the first, 1 after it, and so on.

    Attributes:
        reached: the moments so far; greater than `n` if the process died.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.reached = 0

    def __call__(self, call: Call) -> None:
        del call
        self.reached += 1
        # The dead send nothing any more.
        if self.reached > self.n:
            raise Killed


@dataclass(frozen=True)
class SpiedAccount:
    """An account whose clients show every call to a spy, which may raise, or change what lies on the server."""

    account: Account
    spy: Spy

    def open(self, retry: RetryPolicy) -> Connections:
        return SpiedConnections(self.account.open(retry), self.spy)


@dataclass(frozen=True)
class SpiedConnections:
    """The connections of a `SpiedAccount`."""

    connections: Connections
    spy: Spy

    @property
    def root_url(self) -> str:
        return self.connections.root_url

    @property
    def user_id(self) -> str:
        return self.connections.user_id

    @contextlib.contextmanager
    def connect(self) -> Iterator[Store]:
        with self.connections.connect() as store:
            yield SpiedStore(store, self.spy)

    def close(self) -> None:
        self.connections.close()


class SpiedStore(Store):
    """A client of a `SpiedAccount`."""

    def __init__(self, store: Store, spy: Spy) -> None:
        self._store = store
        self._spy = spy

    @contextlib.contextmanager
    def _shown(self, method: str, href: Href, target: Href | None = None) -> Iterator[None]:
        self._spy(Call(method, href, target, after=False))
        yield
        self._spy(Call(method, href, target, after=True))

    def href(self, folder: str, name: str = "") -> Href:
        return self._store.href(folder, name)

    def list_folder(
        self, folder: Href, properties: Collection[Prop] = BASIC, wanted: Wanted | None = None, *, marked: str = ""
    ) -> Listing:
        with self._shown("list_folder", folder):
            return self._store.list_folder(folder, properties, wanted, marked=marked)

    def stat(self, href: Href, properties: Collection[Prop] = BASIC) -> Entry | None:
        with self._shown("stat", href):
            return self._store.stat(href, properties)

    def get(self, entry: Entry, target: Path) -> str:
        with self._shown("get", entry.href):
            return self._store.get(entry, target)

    def put(self, href: Href, data: bytes, *, chunk_of: Href | None = None) -> Stored:
        with self._shown("put", href):
            return self._store.put(href, data, chunk_of=chunk_of)

    def put_new(self, address: Callable[[], Href], data: bytes, *, chunk_of: Href | None = None) -> tuple[Href, Stored]:
        def shown() -> Href:
            href = address()
            self._spy(Call("put", href, None, after=False))
            return href

        href, stored = self._store.put_new(shown, data, chunk_of=chunk_of)
        self._spy(Call("put", href, None, after=True))
        return href, stored

    def move(self, source: Href, target: Href, *, if_match: str | None = None) -> None:
        with self._shown("move", source, target):
            self._store.move(source, target, if_match=if_match)

    def assemble(self, upload: Href, target: Entry, assembly: Assembly) -> Assembled:
        with self._shown("assemble", upload, target.href):
            return self._store.assemble(upload, target, assembly)

    def delete(self, href: Href, *, for_good: bool = False) -> None:
        with self._shown("delete", href):
            self._store.delete(href, for_good=for_good)

    def make_folder(self, folder: Href) -> bool:
        with self._shown("make_folder", folder):
            return self._store.make_folder(folder)

    def get_json(self, href: Href) -> object:
        with self._shown("get_json", href):
            return self._store.get_json(href)
