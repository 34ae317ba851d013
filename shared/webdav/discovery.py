"""Detects the kind of server at an address without sending a password."""

import contextlib
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from shared.config import urls
from shared.errors import Forbidden, Unauthorized
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.account import WebDavAccount
from shared.webdav.pool import ConnectionPool
from shared.webdav.store import Href

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server and the folder that all others are relative to.

    Attributes:
        root_url: of the Nextcloud; of the address otherwise.
        url: of the folder.
    """

    root_url: str
    url: str
    is_nextcloud: bool


def discover(address: str, cacert: Path | None) -> Server:
    """Find a Nextcloud at an address, such as one copied from a browser, or a folder of another WebDAV server.

    Args:
        address: as typed; https unless it names another scheme.

    Raises:
        ValueError: it is not an address.
        Failure: nothing there speaks WebDAV; the message says what does.
    """
    url = urls.normal(_without_query(address if "://" in address else f"https://{address}"))
    nobody = WebDavAccount(
        base_url=url, username="", password=SecretStr(""), cacert=cacert, timeout=_SECONDS, longest=_SECONDS
    )
    with contextlib.closing(ConnectionPool(nobody, RetryPolicy(StopToken(), attempts=1))) as connections:
        for root in _roots(url):
            if connections.is_nextcloud(_path(root)):
                in_files = "/remote.php/" in url
                return Server(root, url if in_files else f"{root}remote.php/webdav/", is_nextcloud=True)
        # Without a login a server answers 401; 403 and 404 are reported again, with better reason, after the login.
        with connections.connect() as store, contextlib.suppress(Unauthorized, Forbidden):
            store.stat(_path(url))
    return Server(url, url, is_nextcloud=False)


def _without_query(address: str) -> str:
    parts = urllib.parse.urlsplit(address.strip())
    return parts._replace(query="", fragment="").geturl()


def _roots(url: str) -> Iterator[str]:
    """Where a Nextcloud may be: the address up to its web interface or its files, and the root of the host."""
    yield from dict.fromkeys((urls.nextcloud_root(url), urllib.parse.urljoin(url, "/")))


def _path(url: str) -> Href:
    return Href(urllib.parse.urlsplit(url).path)
