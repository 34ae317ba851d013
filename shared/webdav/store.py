"""The interface to an image server; every supported server passes its tests in tests/contract.

Terms:
    Href: a percent-encoded absolute path, as sent over the wire (RFC 4918, 8.3). Hrefs from a listing are used
        unchanged: encoding them again could name another file.
    Entry: one resource as a listing describes it; Listing: a collection and its direct members.
    Store: a client of one server; one method is one request. Connections: where threads borrow a store.
"""

import functools
import itertools
import tempfile
import urllib.parse
from collections.abc import Callable, Collection, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NewType, Protocol

from shared.errors import IntegrityError
from shared.retry import RetryPolicy

Href = NewType("Href", str)

type Wanted = Callable[[str], bool]
"""Whether entries of this name are wanted."""


THROWAWAY = ".jupyterhub-images-"
"""Prefix of the names of our throwaway test files."""


class Prop(StrEnum):
    """A property that a listing can ask for: RFC 4918, 15, RFC 4331, 3, and those of ownCloud and Nextcloud."""

    TYPE = "{DAV:}resourcetype"
    SIZE = "{DAV:}getcontentlength"
    ETAG = "{DAV:}getetag"
    MODIFIED = "{DAV:}getlastmodified"
    MEDIA_TYPE = "{DAV:}getcontenttype"
    LOCKS = "{DAV:}lockdiscovery"
    AVAILABLE = "{DAV:}quota-available-bytes"
    FILE_ID = "{http://owncloud.org/ns}fileid"
    PERMISSIONS = "{http://owncloud.org/ns}permissions"
    CHECKSUMS = "{http://owncloud.org/ns}checksums"
    UPLOADED = "{http://nextcloud.org/ns}upload_time"
    TAGS = "{http://nextcloud.org/ns}system-tags"
    PRINCIPAL = "{DAV:}current-user-principal"
    # Of a tag itself, in the collections of tags.
    TAG_ID = "{http://owncloud.org/ns}id"
    TAG_NAME = "{http://owncloud.org/ns}display-name"
    TAG_ASSIGNABLE = "{http://owncloud.org/ns}can-assign"


BASIC = (Prop.TYPE, Prop.SIZE, Prop.ETAG, Prop.MODIFIED, Prop.FILE_ID, Prop.UPLOADED)
"""The properties that distinguish the versions of a file on every server."""


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A collaborative tag of a Nextcloud.

    Attributes:
        id: empty if a listing leaves it out, as the first servers did that list tags.
        removable: whether the account may remove it from a file.
    """

    name: str
    id: str
    removable: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource as the server lists it; None or empty for what was not asked for or is not known.

    Attributes:
        name: decoded, as it came (NFC or NFD).
        size: bytes; None for collections.
        etag: with its quotes, whether the server lists them or not.
        modified: seconds since 1970; clients can set it.
        uploaded: seconds since 1970 by the server's clock; only on Nextcloud.
        file_id: stays the same when a file is moved; only on Nextcloud and ownCloud.
        permissions: Nextcloud's letters (`RGDNVWCK`).
        checksums: the words of `OC-Checksum` that were sent with the content.
        available: bytes that can still be stored in a collection; negative if the server does not know.
        tags: of a file; None if the server does not list them.
        principal: the address of the account itself (RFC 5397).
        locked: whether it has a WebDAV lock (RFC 4918, 15.8).
    """

    name: str
    href: Href
    is_folder: bool
    size: int | None
    etag: str | None
    modified: float | None
    uploaded: float | None = None
    file_id: str | None = None
    permissions: str | None = None
    checksums: str = ""
    media_type: str = ""
    available: int | None = None
    tags: tuple[Tag, ...] | None = None
    principal: Href | None = None
    locked: bool = False

    @property
    def tree_etag(self) -> str | None:
        """The ETag of a collection if it changes whenever something in it does, else None.

        Only Nextcloud and ownCloud, which have file ids, propagate a change to the ETags of all folders above it.
        """
        return self.etag if self.file_id is not None else None


@dataclass(frozen=True, slots=True)
class Listing:
    """A collection and its direct members.

    Attributes:
        now: the server's own clock (its Date header), seconds since 1970; None if unknown.
        unreadable: members that the server did not describe, each with the status it gave instead.
    """

    itself: Entry
    entries: tuple[Entry, ...]
    now: float | None
    unreadable: tuple[tuple[str, int], ...] = ()

    @property
    def names(self) -> set[str]:
        """The names of all members, with those that the server did not describe: they are there."""
        return {entry.name for entry in self.entries} | {name for name, _ in self.unreadable}

    def complaint(self, folder: str) -> str:
        """A message about the members that the server did not describe; empty if there are none."""
        if not self.unreadable:
            return ""
        named = ", ".join(f"{name} (status {status})" for name, status in self.unreadable[:5])
        more = f" and {len(self.unreadable) - 5} more" if len(self.unreadable) > 5 else ""
        return f"{len(self.unreadable)} in {folder} cannot be read and are ignored: {named}{more}"


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer to an upload.

    Attributes:
        confirmed: whether the server confirmed the SHA-256 of what arrived.
        etag: of the file now; None if unknown.
    """

    confirmed: bool
    etag: str | None


@dataclass(frozen=True, slots=True)
class Assembly:
    """The properties of a file after a chunked upload was assembled onto it.

    Attributes:
        length: bytes of all chunks.
        modified: its date, seconds since 1970.
        checksums: stored with the content, at most 255 characters.
    """

    length: int
    modified: int
    checksums: str


@dataclass(frozen=True, slots=True)
class Assembled:
    """The answer to the assembly of an upload; None for what the server leaves out.

    Attributes:
        created: whether the server created a new file instead of replacing one.
    """

    etag: str | None
    file_id: str | None
    created: bool


def strong(etag: str | None) -> bool:
    """Whether an ETag is a strong validator, which distinguishes any two versions (RFC 9110, 8.8.1 and 8.8.3)."""
    return etag is not None and not etag.startswith("W/")


class Store(Protocol):
    """An image server, used by one thread at a time. One method is one request.

    All methods raise the errors of `shared.errors`. A store from `Connections` repeats all requests except `move` and
    `assemble`.
    """

    def href(self, folder: str, name: str = "") -> Href:
        """The address of a folder (relative to the account's base, decoded), or of a name in it."""
        ...

    def list_folder(
        self, folder: Href, properties: Collection[Prop] = BASIC, wanted: Wanted | None = None, *, marked: str = ""
    ) -> Listing:
        """The folder and its direct members (PROPFIND, Depth 1).

        Args:
            properties: to request for each entry.
            wanted: entries of other names may be left out, so that thousands of them need not be read.
            marked: entries whose checksums contain this text are listed anyway.

        Raises:
            NotFound: there is no such folder.
        """
        ...

    def stat(self, href: Href, properties: Collection[Prop] = BASIC) -> Entry | None:
        """The resource at an address; None if there is none (PROPFIND, Depth 0)."""
        ...

    def get(self, entry: Entry, target: Path) -> str:
        """Download to a file; return the words of `OC-Checksum`.

        Raises:
            PreconditionFailed: it is not the version that was listed.
            IntegrityError: the length differs from the listed one.
        """
        ...

    def put(self, href: Href, data: bytes, *, chunk_of: Href | None = None) -> Stored:
        """Upload to a name that is not used otherwise.

        Args:
            chunk_of: the file that this only chunk will replace, so that a full quota is reported here.

        Raises:
            IntegrityError: another SHA-256 arrived.
            NotFound, ParentNotFound: the folder is not there.
        """
        ...

    def put_new(self, address: Callable[[], Href], data: bytes, *, chunk_of: Href | None = None) -> tuple[Href, Stored]:
        """Like `put`, with an address for each attempt; returns the last one.

        The server may execute an unanswered attempt late; if its body was cut off, a Nextcloud empties the file then.
        """
        href = address()
        return href, self.put(href, data, chunk_of=chunk_of)

    def move(self, source: Href, target: Href, *, if_match: str | None = None) -> None:
        """Move, never over another file (RFC 4918, 9.9 with `Overwrite: F`). Sent once.

        Raises:
            PreconditionFailed: the target is taken, or `if_match` is not the source's ETag.
            NotFound: the source does not exist.
            ParentNotFound: the target's folder does not exist.
        """
        ...

    def assemble(self, upload: Href, target: Entry, assembly: Assembly) -> Assembled:
        """Replace the content of a file with a chunked upload if it is still the version that was listed. Sent once.

        Raises:
            PreconditionFailed: it is another version; nothing was changed.
            NotFound: the file or the upload does not exist.
        """
        ...

    def delete(self, href: Href, *, for_good: bool = False) -> None:
        """Delete; it is not an error if nothing is there.

        Args:
            for_good: bypass the trash bin if the server allows it; only for files that the scaler created.
        """
        ...

    def make_folder(self, folder: Href) -> bool:
        """Create a folder (MKCOL); False if something of that name exists (rclone returns True then too)."""
        ...

    def get_json(self, href: Href) -> object:
        """An answer of Nextcloud's OCS API, such as its capabilities.

        Raises:
            NotWebDav: it is not JSON.
        """
        ...


def put_verified(
    store: Store,
    href: Href,
    data: bytes,
    *,
    chunk_of: Href | None = None,
    another: Callable[[], Href] | None = None,
) -> None:
    """Upload and verify: by the SHA-256 that the server confirms, by the size that it lists, or by a download.

    Args:
        another: the address for a further attempt, as in `Store.put_new`; the last one holds the data.

    Raises:
        IntegrityError: the server has something else.
        NotFound, ParentNotFound: the folder does not exist.
    """
    addresses = itertools.chain([href], iter(another, None) if another else itertools.repeat(href))
    size: int | None = 0
    # One retry, since it may arrive complete the second time.
    for _ in range(2):
        href, stored = store.put_new(functools.partial(next, addresses), data, chunk_of=chunk_of)
        if stored.confirmed:
            return
        there = store.stat(href)
        size = there.size if there else 0
        if size is None and there is not None:
            size = _downloaded_size(store, there)
        if size == len(data):
            return
    raise IntegrityError(f"{urllib.parse.unquote(href)} arrived with {size} bytes instead of {len(data)}")


def _downloaded_size(store: Store, entry: Entry) -> int:
    """The size of a file whose length the server does not list."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        store.get(entry, file)
        return file.stat().st_size


class Connections(Protocol):
    """Lends threads a store of one account."""

    @property
    def root_url(self) -> str:
        """The root of the Nextcloud (or ownCloud) that the account is on, with a slash at its end; empty elsewhere."""

    @property
    def user_id(self) -> str:
        """The id of the account there."""

    def connect(self) -> AbstractContextManager[Store]:
        """A store for this thread alone."""
        ...

    def close(self) -> None:
        """Close all connections that are not in use."""
        ...


class Account(Hashable, Protocol):
    """Address and login; small and picklable, so that a worker process can open its own connections."""

    def open(self, retry: RetryPolicy) -> Connections:
        """Open connections that retry by this policy."""
        ...
