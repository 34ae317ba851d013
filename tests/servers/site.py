"""One account on some server, as a test sees it: through the store, and behind its back."""

import itertools
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from pydantic import SecretStr

from shared.webdav.account import WebDavAccount
from shared.webdav.store import Account

# Long enough for a file to be settled on every server.
AGE = 3600.0
# What Apache keeps its own notes in.
_NOTES = ".DAV"


QUIRKS = {
    "no etags": "lists no ETag",
    "no dots": "leaves names that begin with a dot out of listings",
    "cuts names": "cuts the name of a MOVE's target at `;` and `?`",
    "makes folders": "makes the folder that a MOVE leads to",
}


class Site(Protocol):
    """An account whose base is an empty folder that no other test uses; paths are relative to it.

    Attributes:
        kind: of server.
        account: what `scaler` gets.
        conditional: whether the server looks at If-Match.
        hashes: whether it answers an upload with a hash.
        quirks: what else is different about it, of QUIRKS.
    """

    kind: str
    conditional: bool
    hashes: bool
    quirks: frozenset[str]

    @property
    def account(self) -> Account: ...

    def make_folder(self, path: str) -> None:
        """Make a folder and all above it."""
        ...

    def write(self, path: str, data: bytes, *, age: float = AGE) -> None:
        """Put a file there that was last changed `age` seconds ago."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all below it."""
        ...

    def files(self) -> dict[str, bytes]:
        """All files, hidden ones too, by path."""
        ...


class OnDisk(Protocol):
    """A server over a folder on disk."""

    folder: Path

    @property
    def url(self) -> str: ...

    @property
    def username(self) -> str: ...

    @property
    def password(self) -> str: ...


_numbers = itertools.count(1)


@dataclass
class DiskSite:
    """A site whose files lie in a folder on disk.

    Attributes:
        url: of the base, percent-encoded, with a slash at its end.
        folder: where that is on disk.
    """

    kind: str
    url: str
    folder: Path
    username: str
    password: str
    conditional: bool = True
    hashes: bool = False
    quirks: frozenset[str] = frozenset()

    @property
    def account(self) -> WebDavAccount:
        return WebDavAccount(base_url=self.url, username=self.username, password=SecretStr(self.password))

    def make_folder(self, path: str) -> None:
        for folder in [self.folder / path, *(self.folder / path).parents]:
            if folder.is_relative_to(self.folder):
                folder.mkdir(exist_ok=True, parents=True)
                # The server may run as another user.
                folder.chmod(0o777)

    def write(self, path: str, data: bytes, *, age: float = AGE) -> None:
        file = self.folder / path
        if not file.parent.is_dir():
            self.make_folder(str(file.parent.relative_to(self.folder)))
        fresh = self.folder.parent / f"new-{next(_numbers)}"
        fresh.write_bytes(data)
        changed = time.time() - age
        os.utime(fresh, (changed, changed))
        # Whole and dated from the first moment on, for whoever looks at the same time.
        fresh.replace(file)

    def remove(self, path: str) -> None:
        target = self.folder / path
        if target.is_dir():
            for inner in target.iterdir():
                self.remove(str(inner.relative_to(self.folder)))
            target.rmdir()
        else:
            target.unlink()

    def files(self) -> dict[str, bytes]:
        found = {}
        for file in self.folder.rglob("*"):
            path = file.relative_to(self.folder)
            if file.is_file() and _NOTES not in path.parts:
                found[str(path)] = file.read_bytes()
        return found


def fresh_site(
    kind: str,
    server: OnDisk,
    *,
    path: str = "",
    conditional: bool = True,
    hashes: bool = False,
    quirks: Collection[str] = (),
) -> DiskSite:
    """A new base on a server.

    Args:
        path: folders between the server's own base and this one's.
    """
    top = f"site-{next(_numbers)}"
    inner = f"{top}/{path}".rstrip("/")
    site = DiskSite(
        kind,
        f"{server.url}{quote(inner)}/",
        server.folder / inner,
        server.username,
        server.password,
        conditional,
        hashes,
        frozenset(quirks),
    )
    above = DiskSite(kind, server.url, server.folder, "", "")
    above.make_folder(inner)
    return site
