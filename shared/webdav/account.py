"""The account on the image server, from the `webdav` secret: what kind of server it is, and the user id there."""

import contextlib
import urllib.parse
from pathlib import Path
from typing import override

from pydantic import BaseModel, ConfigDict, SecretStr

from shared.config import urls
from shared.config.settings import WebDavSecret
from shared.errors import NotFound, NotWebDav
from shared.retry import RetryPolicy
from shared.webdav.client import READ_TIMEOUT, is_nextcloud
from shared.webdav.pool import ConnectionPool
from shared.webdav.store import Href, Prop

_REMOTE_PHP = "/remote.php/"


class WebDavAccount(BaseModel):
    """Address and login; small and picklable, so that a worker process can open its own connections.

    Attributes:
        base_url: the folder that all others are relative to, percent-encoded, with a slash at its end.
        cacert: a file with the certificate authority of the server, where it is one of the user's own.
        is_host: `base_url` may be only the root of a Nextcloud; then the account's files are meant.
        timeout: seconds to wait for the next bytes of an answer.
    """

    model_config = ConfigDict(frozen=True)

    base_url: str
    username: str
    password: SecretStr
    cacert: Path | None = None
    is_host: bool = False
    timeout: float = READ_TIMEOUT

    @override
    def __str__(self) -> str:
        parts = urllib.parse.urlsplit(self.base_url)
        return f"{parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()} as {self.username}"

    def open(self, retry: RetryPolicy) -> ConnectionPool:
        """Find out what the server is, and the user id there: two requests at most.

        Raises:
            ServerUnreachable, NotWebDav: the server did not answer, or not as a WebDAV server.
            Unauthorized: it rejected the password.
        """
        base = self.base_url
        if self.is_host and _REMOTE_PHP not in base and is_nextcloud(base, self.cacert):
            base += "remote.php/webdav/"
        connections = ConnectionPool(self.model_copy(update={"base_url": base}), retry)
        if _REMOTE_PHP in base:
            try:
                self._move_to_user(connections, urls.server_root(base), urls.inside_account(base))
            except BaseException:
                connections.close()
                raise
        return connections

    def _move_to_user(self, connections: ConnectionPool, root: str, folder: str) -> None:
        """Address the files by the user id, which may differ from the login name: only `remote.php/webdav` has none."""
        top = Href(urllib.parse.urlsplit(root).path + "remote.php/dav/")
        with contextlib.suppress(NotFound, NotWebDav), connections.connect() as store:
            entry = store.stat(top, (Prop.PRINCIPAL,))
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
        is_host=not secret.url or urllib.parse.urlsplit(base).path == "/",
    )


def _last_part(principal: Href | None) -> str:
    """The user id in `/remote.php/dav/principals/users/ID/` (RFC 3744, 2; RFC 5397)."""
    before, _, last = (principal or "").rstrip("/").rpartition("/")
    return urllib.parse.unquote(last) if before.endswith("/principals/users") else ""
