"""An image server in memory, as quick as a dictionary, whose every request a test can fail."""

import contextlib
import itertools
import threading
import time
import unicodedata
import urllib.parse
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from shared.errors import IntegrityError, NotAccepted, NotFound, ParentNotFound, PreconditionFailed
from shared.retry import RetryPolicy
from shared.webdav.retrying import RetryingStore
from shared.webdav.store import (
    BASIC,
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

Interference = Callable[[str, Href, bool], None]
"""Gets each request's method (`PROPFIND`, `GET`, `PUT`, `MOVE`, `DELETE`, `MKCOL`) and address, twice: before it takes
effect (False) and after (True). What it raises is what the client gets; failures that are worth another try are tried
again, as a real client does."""


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    etag: str
    modified: float


def _nobody(_method: str, _href: Href, _after: bool) -> None:
    pass


class MemoryServer:
    """The files of one account; safe for threads. It is a `Site`, and the account itself.

    Args:
        clock: the server's time, seconds since 1970.
        conditional: whether it looks at If-Match, and keeps a file's ETag when it is moved.
        etag_tells: whether a folder's ETag changes with everything in it.
    """

    kind = "memory"
    hashes = True
    quirks: frozenset[str] = frozenset()

    def __init__(
        self, *, clock: Callable[[], float] = time.time, conditional: bool = True, etag_tells: bool = True
    ) -> None:
        self.clock = clock
        self.conditional = conditional
        self.etag_tells = etag_tells
        self.interfere: Interference = _nobody
        self.log: list[tuple[str, str]] = []
        self._files: dict[str, _File] = {}
        self._folders: dict[str, str] = {"": '"0"'}
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)

    # --- what a test does behind the store's back -------------------------------------------------------------------

    @property
    def account(self) -> "MemoryServer":
        return self

    def make_folder(self, path: str) -> None:
        with self._lock:
            parts = path.split("/")
            for end in range(1, len(parts) + 1):
                self._folders.setdefault("/".join(parts[:end]), self._new_etag())
            self._touch(path)

    def write(self, path: str, data: bytes, *, age: float = 3600.0) -> None:
        with self._lock:
            if _parent(path):
                self.make_folder(_parent(path))
            self._files[path] = _File(data, self._new_etag(), self.clock() - age)
            self._touch(path)

    def remove(self, path: str) -> None:
        with self._lock:
            for known in [known for known in self._files if _within(known, path)]:
                del self._files[known]
            for known in [known for known in self._folders if _within(known, path)]:
                del self._folders[known]
            self._touch(path)

    def files(self) -> dict[str, bytes]:
        with self._lock:
            return {path: file.data for path, file in self._files.items()}

    # --- the account ------------------------------------------------------------------------------------------------

    def open(self, retry: RetryPolicy) -> Connections:
        """Clients."""
        return MemoryConnections(self, retry)

    def _new_etag(self) -> str:
        return f'"{next(self._numbers)}"'

    def _touch(self, path: str) -> None:
        """Pass a change up to the root."""
        while path:
            path = _parent(path)
            if path in self._folders:
                self._folders[path] = self._new_etag()

    # --- one request each -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _request(self, method: str, href: Href) -> Iterator[str]:
        self.interfere(method, href, False)
        with self._lock:
            self.log.append((method, urllib.parse.unquote(href)))
            yield self._resolve(href)
        self.interfere(method, href, True)

    def _resolve(self, href: Href) -> str:
        """The path of what lies at an address, whatever Unicode form it was asked in."""
        path = urllib.parse.unquote(href).strip("/")
        wanted = unicodedata.normalize("NFC", path)
        for known in itertools.chain(self._files, self._folders):
            if unicodedata.normalize("NFC", known) == wanted:
                return known
        return path

    def propfind(self, href: Href, *, depth: int) -> Listing:
        with self._request("PROPFIND", href) as path:
            itself = self._entry(path)
            if itself is None:
                raise NotFound(f"{path} does not exist")
            children = [known for known in (*self._files, *self._folders) if known and _parent(known) == path]
            entries = [entry for child in children if (entry := self._entry(child))] if depth else []
            return Listing(itself, tuple(entries), self.clock())

    def _entry(self, path: str) -> Entry | None:
        href = Href("/" + urllib.parse.quote(path))
        name = path.rpartition("/")[2]
        if path in self._folders:
            href = href if href == "/" else Href(href + "/")
            # What has a file id passes its changes on to the ETags above it.
            file_id = "1" if self.etag_tells else None
            return Entry(
                name, href, is_folder=True, size=None, etag=self._folders[path], modified=None, file_id=file_id
            )
        file = self._files.get(path)
        if file is None:
            return None
        # Like the dates of HTTP, in whole seconds.
        return Entry(name, href, False, len(file.data), file.etag, float(int(file.modified)))

    def get(self, entry: Entry) -> bytes:
        with self._request("GET", entry.href) as path:
            file = self._files.get(path)
            if file is None:
                raise NotFound(f"{path} does not exist")
            if entry.etag is not None and file.etag != entry.etag:
                raise PreconditionFailed(f"{path} was replaced")
            if entry.size is not None and len(file.data) != entry.size:
                raise IntegrityError(f"{path} came with another length")
            return file.data

    def put(self, href: Href, data: bytes) -> None:
        with self._request("PUT", href) as path:
            if _parent(path) not in self._folders:
                raise ParentNotFound(f"{_parent(path)} does not exist")
            self._files[path] = _File(data, self._new_etag(), self.clock())
            self._touch(path)

    def move(self, source: Href, target: Href, if_match: str | None) -> None:
        with self._request("MOVE", source) as path:
            there = self._resolve(target)
            file = self._files.get(path)
            if file is None:
                raise NotFound(f"{path} does not exist")
            if self.conditional and if_match is not None and file.etag != if_match:
                raise PreconditionFailed(f"{path} was replaced")
            if there in self._files or there in self._folders:
                raise PreconditionFailed(f"{there} is taken")
            if _parent(there) not in self._folders:
                raise ParentNotFound(f"{_parent(there)} does not exist")
            del self._files[path]
            self._files[there] = file if self.conditional else replace(file, etag=self._new_etag())
            self._touch(path)
            self._touch(there)

    def delete(self, href: Href) -> None:
        with self._request("DELETE", href) as path:
            if path in self._files or path in self._folders:
                self.remove(path)

    def mkcol(self, href: Href) -> bool:
        with self._request("MKCOL", href) as path:
            if path in self._files or path in self._folders:
                return False
            if _parent(path) not in self._folders:
                raise ParentNotFound(f"{_parent(path)} does not exist")
            self.make_folder(path)
            return True


@dataclass(frozen=True)
class MemoryConnections:
    """Clients of a `MemoryServer`, as patient as real ones."""

    server: MemoryServer
    retry: RetryPolicy
    root_url: str = ""
    user_id: str = ""

    @contextlib.contextmanager
    def connect(self) -> Iterator[Store]:
        yield RetryingStore(MemoryStore(self.server), self.retry)

    def close(self) -> None:
        pass


class MemoryStore(Store):
    """A client of a `MemoryServer`: one method, one request."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    def href(self, folder: str, name: str = "") -> Href:
        parts = [part for part in folder.split("/") if part] + ([name] if name else [])
        if any(part in (".", "..") for part in parts):
            raise NotAccepted(f"{folder}/{name} leads elsewhere")
        path = "/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)
        return Href(path if name or not parts else path + "/")

    def list_folder(
        self, folder: Href, properties: Collection[Prop] = BASIC, wanted: Wanted | None = None, *, marked: str = ""
    ) -> Listing:
        return self._server.propfind(folder, depth=1)

    def stat(self, href: Href, properties: Collection[Prop] = BASIC) -> Entry | None:
        with contextlib.suppress(NotFound):
            return self._server.propfind(href, depth=0).itself
        return None

    def get(self, entry: Entry, target: Path) -> str:
        target.write_bytes(self._server.get(entry))
        return ""

    def put(self, href: Href, data: bytes, *, chunk_of: Href | None = None) -> Stored:
        self._server.put(href, data)
        return Stored(confirmed=True, etag=None)

    def move(self, source: Href, target: Href, *, if_match: str | None = None) -> None:
        self._server.move(source, target, if_match)

    def assemble(self, upload: Href, target: Entry, assembly: Assembly) -> Assembled:
        raise NotAccepted("this server knows no chunked uploads")

    def delete(self, href: Href, *, for_good: bool = False) -> None:
        self._server.delete(href)

    def make_folder(self, folder: Href) -> bool:
        return self._server.mkcol(folder)

    def get_json(self, href: Href) -> object:
        raise NotFound(f"{href} does not exist")


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
