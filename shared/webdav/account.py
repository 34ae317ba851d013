"""The account on the image server, from the `webdav` secret: what kind of server it is, and the user id there."""

import urllib.parse
from pathlib import Path
from typing import override

from loguru import logger
from pydantic import BaseModel, ConfigDict, SecretStr

from shared.config import urls
from shared.config.settings import WebDavSecret
from shared.errors import NotAsked, NotFound, NotWebDav
from shared.retry import RetryPolicy
from shared.webdav.client import LONGEST_ANSWER, READ_TIMEOUT
from shared.webdav.pool import ConnectionPool
from shared.webdav.store import Account, Connections, Href, Prop

_REMOTE_PHP = "/remote.php/"


class WebDavAccount(BaseModel):
    """Address and login; small and picklable, so that a worker process can open its own connections.

    Attributes:
        base_url: the folder that all others are relative to, percent-encoded, with a slash at its end.
        cacert: a file with the certificate authority of the server, if it is private.
        is_host: `base_url` may be the root or a page of a Nextcloud; then the account's files are meant.
        timeout: seconds to wait for the next bytes of an answer.
        longest: seconds for a whole answer, in addition to those for the bytes of a file.
    """

    model_config = ConfigDict(frozen=True)

    base_url: str
    username: str
    password: SecretStr
    cacert: Path | None = None
    is_host: bool = False
    timeout: float = READ_TIMEOUT
    longest: float = LONGEST_ANSWER

    @override
    def __str__(self) -> str:
        return f"{urls.without_login(self.base_url)} as {self.username}"

    def open(self, retry: RetryPolicy) -> ConnectionPool:
        """Detect the kind of server, and the user id there: two requests at most.

        Raises:
            ServerUnreachable, NotWebDav: the server did not answer, or not as a WebDAV server.
            Unauthorized: it rejected the password.
        """
        base = self.base_url
        connections = ConnectionPool(self, retry)
        try:
            root = urls.nextcloud_root(base)
            if self.is_host and _REMOTE_PHP not in base and connections.is_nextcloud(_path(root)):
                base = f"{root}remote.php/webdav/"
            if _REMOTE_PHP in base:
                self._move_to_user(connections, root, urls.inside_account(base))
        except BaseException:
            connections.close()
            raise
        if urls.in_clear(base):
            logger.warning("{} is plain http: the password and the images can be read in transit. Use https://.", root)
        return connections

    def _move_to_user(self, connections: ConnectionPool, root: str, folder: str) -> None:
        """Address the files by the user id, which may differ from the login name: only `remote.php/webdav` has none."""
        top = Href(_path(root) + "remote.php/dav/")
        try:
            with connections.connect() as store:
                entry = store.stat(top, (Prop.PRINCIPAL,))
        except NotAsked:
            raise
        except NotFound:
            return
        except NotWebDav:
            # A Nextcloud has it, so this was a login page or a proxy, which is temporary.
            if connections.is_nextcloud(_path(root)):
                raise
            return
        user_id = _last_part(entry.principal if entry else None)
        if user_id:
            user, inside = urllib.parse.quote(user_id, safe=""), urllib.parse.quote(folder)
            files = f"{root}remote.php/dav/files/{user}/{inside}".rstrip("/") + "/"
            connections.move_to(self.model_copy(update={"base_url": files}), root_url=root, user_id=user_id)


def account_of(secret: WebDavSecret, cacert: Path | None) -> WebDavAccount:
    """The account that a `webdav` secret describes.

    Folders are relative to `url`; without it to `host_url`. If that is the bare root of a Nextcloud, they are relative
    to the account's files.
    """
    base = secret.url or secret.host_url
    return WebDavAccount(
        base_url=base,
        username=secret.username,
        password=secret.password,
        cacert=cacert,
        is_host=not secret.url or urls.nextcloud_root(base) != base or urllib.parse.urlsplit(base).path == "/",
    )


def open_as_nextcloud(account: Account, retry: RetryPolicy) -> Connections | None:
    """Connections to the files of a Nextcloud, if the address, which is not a WebDAV folder, belongs to one.

    Any folder of a host may be the root of a Nextcloud, so this is tried only if there is no such folder, and not if
    the address itself contains `dav`.

    Raises:
        Failure: the server does not answer, or rejected the password.
    """
    if not isinstance(account, WebDavAccount) or account.is_host or "dav" in _path(account.base_url).lower():
        return None
    connections = account.model_copy(update={"is_host": True}).open(retry)
    if connections.root_url:
        return connections
    connections.close()
    return None


def _path(url: str) -> Href:
    return Href(urllib.parse.urlsplit(url).path)


def _last_part(principal: Href | None) -> str:
    """The user id in `/remote.php/dav/principals/users/ID/` (RFC 3744, 2; RFC 5397)."""
    before, _, last = (principal or "").rstrip("/").rpartition("/")
    return urllib.parse.unquote(last) if before.endswith("/principals/users") else ""
