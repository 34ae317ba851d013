"""Retry as a decorator around a store: in the client, one method is one request."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import override

from shared.retry import RetryPolicy
from shared.webdav.store import BASIC, Assembled, Assembly, Entry, Href, Listing, Prop, Store, Stored, Wanted


class RetryingStore(Store):
    """A store that repeats every request except MOVE.

    A MOVE whose answer was lost may have worked. Then the answer to a second one is misleading, and another file may
    be under the old name.
    """

    def __init__(self, store: Store, retry: RetryPolicy) -> None:
        self._store = store
        self._retry = retry

    @override
    def href(self, folder: str, name: str = "") -> Href:
        return self._store.href(folder, name)

    @override
    def list_folder(
        self, folder: Href, properties: Collection[Prop] = BASIC, wanted: Wanted | None = None, *, marked: str = ""
    ) -> Listing:
        return self._retry(lambda: self._store.list_folder(folder, properties, wanted, marked=marked))

    @override
    def stat(self, href: Href, properties: Collection[Prop] = BASIC) -> Entry | None:
        return self._retry(lambda: self._store.stat(href, properties))

    @override
    def get(self, entry: Entry, target: Path) -> str:
        return self._retry(lambda: self._store.get(entry, target))

    @override
    def put(self, href: Href, data: bytes, *, chunk_of: Href | None = None) -> Stored:
        return self._retry(lambda: self._store.put(href, data, chunk_of=chunk_of))

    @override
    def put_new(self, address: Callable[[], Href], data: bytes, *, chunk_of: Href | None = None) -> tuple[Href, Stored]:
        return self._retry(lambda: self._store.put_new(address, data, chunk_of=chunk_of))

    @override
    def move(self, source: Href, target: Href, *, if_match: str | None = None) -> None:
        self._retry.once(lambda: self._store.move(source, target, if_match=if_match))

    @override
    def assemble(self, upload: Href, target: Entry, assembly: Assembly) -> Assembled:
        return self._retry.once(lambda: self._store.assemble(upload, target, assembly))

    @override
    def delete(self, href: Href, *, for_good: bool = False) -> None:
        self._retry(lambda: self._store.delete(href, for_good=for_good))

    @override
    def make_folder(self, folder: Href) -> bool:
        return self._retry(lambda: self._store.make_folder(folder))

    @override
    def get_json(self, href: Href) -> object:
        return self._retry(lambda: self._store.get_json(href))
