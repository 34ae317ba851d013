"""What the daemons ask of an image server: the contract that every store in the tests keeps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NewType, Protocol

# A percent-encoded absolute path, as it goes over the wire. What a listing said is used as it came: re-encoding could
# name another file.
Href = NewType("Href", str)

type Wanted = Callable[[str], bool]
"""Whether an entry of this name matters."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder as the server lists it.

    Attributes:
        name: decoded, as it came (NFC or NFD).
        size: bytes; None for folders and where the server does not say.
        etag: with its quotes; None where there is none.
        modified: seconds since 1970; None where unknown.
        uploaded: seconds since 1970 by the server's clock, whatever date the client set; only Nextcloud tells.
    """

    name: str
    href: Href
    is_folder: bool
    size: int | None
    etag: str | None
    modified: float | None
    uploaded: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A folder and its direct children.

    Attributes:
        now: the server's own clock, seconds since 1970; None where it does not say.
        etag_tells: whether the folder's ETag changes with everything in it (Nextcloud and ownCloud; not Apache).
    """

    itself: Entry
    entries: tuple[Entry, ...]
    now: float | None
    etag_tells: bool = False

    @property
    def folder_etag(self) -> str | None:
        """The ETag that changes whenever something in the folder does; None where no ETag says that."""
        return self.itself.etag if self.etag_tells else None


def strong(etag: str | None) -> bool:
    """Whether an ETag tells two versions apart (RFC 9110, 8.8.3)."""
    return etag is not None and not etag.startswith("W/")


class Store(Protocol):
    """An image server, used by one thread at a time.

    All methods raise the errors of `shared.errors`; all but `move` try again by themselves where that is safe.
    """

    def href(self, folder: str, name: str = "") -> Href:
        """The address of a folder, relative to the account's base and decoded, or of a name in it."""
        ...

    def list_folder(self, folder: Href, wanted: Wanted | None = None) -> Listing:
        """The folder and its direct children; NotFound where there is none.

        Args:
            wanted: others may be left out, so that thousands of them are not read for nothing.
        """
        ...

    def etag(self, folder: Href) -> str | None:
        """The folder's ETag where that tells whether anything in it changed, None elsewhere."""
        ...

    def stat(self, href: Href) -> Entry | None:
        """What lies there, None if nothing does."""
        ...

    def get(self, entry: Entry, target: Path) -> None:
        """Download to a file.

        Raises:
            PreconditionFailed: another version lies there than was listed.
            IntegrityError: the length is not the listed one.
        """
        ...

    def put(self, href: Href, data: bytes, *, verify: bool = True) -> None:
        """Upload under a name of one's own, and make sure that the bytes arrived.

        Args:
            verify: whether to look at the size where the answer tells nothing; False if a listing shows it next.

        Raises:
            IntegrityError: the server holds something else.
            NotFound, ParentNotFound: the folder is not there.
        """
        ...

    def move(self, source: Href, target: Href, *, if_match: str | None = None) -> None:
        """Move, never over another file. Sent once; only NotFound and PreconditionFailed are certain answers.

        Raises:
            PreconditionFailed: the target is taken, or `if_match` is not the source's ETag.
            NotFound: the source is not there.
            ParentNotFound: the target's folder is not there.
        """
        ...

    def delete(self, href: Href) -> None:
        """Delete; nothing there is as good."""
        ...

    def make_folder(self, folder: Href) -> bool:
        """Make a folder; True if it was made, False if something of that name was there (rclone says True then too)."""
        ...
