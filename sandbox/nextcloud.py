"""A throwaway server on loopback that answers like Nextcloud 32 for one account."""

import logging
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from cheroot import wsgi
from wsgidav.mw.base_mw import BaseMiddleware
from wsgidav.wsgidav_app import WsgiDAVApp

from sandbox.account_access import AccountAccess
from sandbox.auth import Auth
from sandbox.files import FileServer
from sandbox.log import Record
from sandbox.resources import Account, FilesProvider
from sandbox.router import Router
from sandbox.tag_handlers import TOP, RootProvider, RootServer
from sandbox.tags import Tags
from sandbox.tree import Tree
from sandbox.upload_handlers import UploadServer
from sandbox.upload_resources import UploadsProvider
from sandbox.versions import VersionServer, VersionsProvider
from sandbox.wsgi import Body, Environ, StartResponse

HOST = "127.0.0.1"
THREADS = 40
# Longer than the pause between two polls, so that connections are still open then.
IDLE_SECONDS = 60

# Its lower levels are noise in the demo and the tests.
logging.getLogger("wsgidav").setLevel(logging.CRITICAL)


class Nextcloud(AccountAccess):
    """The server, running inside `with`: files on disk in a temporary folder, the rest in memory.

    user, password: the login; the password is random if not given. user_id: the account's id, if it is not the login.
    base_path: "/cloud" for a Nextcloud under a sub-path. latency: seconds by which every request is delayed.
    quota: bytes that the account may hold. clock: tells the server the time in seconds since 1970.
    """

    def __init__(
        self,
        *,
        user: str = "alice",
        password: str | None = None,
        user_id: str | None = None,
        base_path: str = "",
        latency: float = 0.0,
        quota: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="sandbox-nextcloud-")
        tree, tags = Tree(Path(self._temporary.name), clock), Tags(clock)
        super().__init__(Account(user_id or user, tree, tags, quota, base_path.rstrip("/")))
        self.user = user
        self.user_id = self._account.user_id
        self.folder = tree.folder
        self._auth = Auth(user, password or secrets.token_urlsafe(16), clock)
        self._router = Router(_webdav(self._account), self._auth, self._account)
        self._router.latency = latency
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._temporary.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._temporary.cleanup()

    def start(self) -> None:
        """Start listening, on the same port as before after a `stop`."""
        if self._server is not None:
            return
        server = _Server(
            (HOST, self._port),
            self._router,
            numthreads=THREADS,
            max=THREADS,
            request_queue_size=128,
            timeout=IDLE_SECONDS,
            shutdown_timeout=1,
        )
        server.prepare()
        # Connections inherit it, so that the port can be listened on again while they are closing.
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port = server.bind_addr[1]
        self._thread = threading.Thread(target=server.serve, name="sandbox-nextcloud", daemon=True)
        self._thread.start()
        self._server = server

    def stop(self) -> None:
        """Stop listening and close all connections; files, tags and passwords stay."""
        if self._server is None or self._thread is None:
            return
        self._server.stop()
        self._thread.join()
        self._server = None

    @property
    def url(self) -> str:
        """The server's root, without a trailing slash."""
        return f"http://{HOST}:{self._port}{self._account.base_path}"

    @property
    def files_url(self) -> str:
        """The address of the account's files, with a trailing slash."""
        return f"{self.url}/remote.php/dav/files/{self.user_id}/"

    @property
    def webdav_url(self) -> str:
        """The older address of the account's files, with a trailing slash."""
        return f"{self.url}/remote.php/webdav/"

    @property
    def password(self) -> str:
        """The current password."""
        return self._auth.password

    def set_password(self, password: str) -> None:
        """Change the password."""
        self._auth.password = password

    def forgive_failures(self) -> None:
        """Forget wrong passwords, as after half an hour."""
        self._auth.forgive()

    @property
    def requests(self) -> list[Record]:
        """The requests since the start or the last `clear_log`, in the order of their answers."""
        return self._router.log.all()

    def clear_log(self) -> None:
        """Empty the log of requests."""
        self._router.log.clear()

    @property
    def maintenance(self) -> bool:
        """Whether the server is in maintenance mode and answers 503."""
        return self._router.maintenance

    @maintenance.setter
    def maintenance(self, on: bool) -> None:
        self._router.maintenance = on

    @property
    def latency(self) -> float:
        """Seconds by which every request is delayed."""
        return self._router.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._router.latency = seconds

    @property
    def quota(self) -> int | None:
        """Bytes that the account may hold; None for no limit."""
        return self._account.quota

    @quota.setter
    def quota(self, size: int | None) -> None:
        self._account.quota = size


def _webdav(account: Account) -> WsgiDAVApp:
    files = FilesProvider(account, older=False)
    older = FilesProvider(account, older=True)
    return WsgiDAVApp(
        {
            "provider_mapping": {
                f"{TOP}/files/{account.user_id}": files,
                "/remote.php/webdav": older,
                f"{TOP}/uploads/{account.user_id}": UploadsProvider(account, files),
                f"{TOP}/versions/{account.user_id}": VersionsProvider(account),
                TOP: RootProvider(account, files),
            },
            "middleware_stack": [_Dispatch],
            "logging": {"enable": False},
            "http_authenticator": {"accept_basic": False, "accept_digest": False},
            "verbose": 0,
            "hotfixes": {"re_encode_path_info": False},
            "block_size": 1 << 18,
            "lock_storage": False,
            "property_manager": False,
        }
    )


class _Dispatch(BaseMiddleware):  # type: ignore[misc]  # WsgiDAV has no types
    """Replaces WsgiDAV's resolver: picks the request server for the address."""

    SERVERS: ClassVar = {
        FilesProvider: FileServer,
        UploadsProvider: UploadServer,
        VersionsProvider: VersionServer,
        RootProvider: RootServer,
    }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Body:
        provider: Any = environ["wsgidav.provider"]
        return self.SERVERS[type(provider)](provider, provider.account)(environ, start_response)


class _Server(wsgi.Server):
    """The web server, which stops quickly and logs nothing."""

    expiration_interval = 0.05
    # With the default of ten, a daemon's eleven connections would be closed after each answer.
    keep_alive_conn_limit = 1000

    def error_log(self, *_: object, **__: object) -> None:
        """Log nothing: tests make clients disappear on purpose."""
