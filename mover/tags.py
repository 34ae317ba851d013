"""Tags of a Nextcloud, through nc_py_api; the only module that imports it.

nc_py_api is asynchronous, so it runs in its own thread and event loop. What it cannot list in one request (which tags
are in use, and whether they may be removed) is listed by the WebDAV client instead.
"""

import asyncio
import os
import threading
import unicodedata
import urllib.parse
import weakref
from collections.abc import Coroutine
from typing import Any

from shared.config import urls
from shared.errors import NotFound, PreconditionFailed
from shared.webdav import http_errors
from shared.webdav.account import WebDavAccount
from shared.webdav.client import CONNECT_TIMEOUT, READ_TIMEOUT
from shared.webdav.store import Connections, Entry, Href, Tag

# Otherwise nc_py_api loads the nearest .env file into the environment of this process.
os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")

from nc_py_api import AsyncNextcloud, NextcloudException  # type: ignore[import-untyped]  # it has no types


class TagClient:
    """The tags of one account's files; several threads may use it at once.

    Args:
        found: connections of the account, which know its user id.
    """

    def __init__(self, account: WebDavAccount, found: Connections) -> None:
        self._inside = unicodedata.normalize("NFC", urls.inside_account(account.base_url))
        self._user_id = found.user_id
        self._cacert = account.cacert
        self._host = found.root_url.rstrip("/")
        self._dav = urllib.parse.urlsplit(found.root_url).path + "remote.php/dav"
        # Anything omitted here would be read from the environment.
        self._nextcloud = AsyncNextcloud(
            nextcloud_url=self._host,
            nc_auth_user=account.username,
            nc_auth_pass=account.password.get_secret_value(),
            dav_url_suffix="remote.php/dav",
            npa_timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            npa_timeout_dav=(CONNECT_TIMEOUT, READ_TIMEOUT),
            npa_nc_cert=str(account.cacert) if account.cacert else True,
        )
        # One loop for all threads, whose requests then wait for the server at the same time.
        self._loop = _ClosableLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tags", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close the connections."""
        self._run(_close_connections())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def unassign(self, file: Entry, tag: Tag) -> bool:
        """Remove a tag from a file; False if the file did not have it, or either is gone. One request."""
        request = f"DELETE {self._dav}/systemtags-relations/files/{file.file_id}/{tag.id}"
        try:
            self._call(request, self._nextcloud.files.unassign_tag(file.file_id, tag.id))
        except NotFound:
            return False
        return True

    def tagged(self, tag: Tag) -> list[tuple[str, Entry]]:
        """Everything in the account that has a tag, each with its folder relative to the account's base.

        One request, and two more in the first call. It searches the whole account, so it is only for servers whose
        listings leave tags out.
        """
        try:
            nodes = self._call(
                f"REPORT {self._dav}/files/{self._user_id}",
                self._nextcloud.files.list_by_criteria(tags=[tag.id]),
            )
        except PreconditionFailed:
            # The tag is gone.
            return []
        base = f"{self._inside}/" if self._inside else ""
        return [
            (node.user_path.removeprefix(base).rpartition("/")[0], self._entry(node, tag))
            for node in nodes
            if node.user_path.startswith(base)
        ]

    def _entry(self, node: Any, tag: Tag) -> Entry:
        return Entry(
            name=node.name,
            href=Href(urllib.parse.quote(f"{self._dav}/files/{self._user_id}/{node.user_path}")),
            is_folder=node.is_dir,
            size=None,
            etag=node.etag or None,
            modified=None,
            file_id=str(node.info.fileid),
            media_type=node.info.mimetype,
            tags=(tag,),
        )

    def _run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _call[T](self, request: str, call: Coroutine[Any, Any, T]) -> T:
        try:
            return self._run(call)
        except NextcloudException as error:
            headers = error.response.headers if error.response is not None else {}
            kind = http_errors.error_of if error.status_code >= 400 else http_errors.not_webdav
            raise kind(error.status_code, headers, request) from error
        except OSError as error:
            # The exceptions of niquests are OSErrors.
            raise http_errors.transport_error(self._host, error, self._cacert) from error


class _ClosableLoop(asyncio.SelectorEventLoop):
    """Keeps track of its connections, because nc_py_api has no way to close them."""

    def __init__(self) -> None:
        super().__init__()
        self.transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        transport, protocol = await super().create_connection(*args, **options)
        self.transports.add(transport)
        return transport, protocol


async def _close_connections() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _ClosableLoop)  # noqa: S101 - for mypy
    # urllib3-future watches idle connections.
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for transport in list(loop.transports):
        transport.abort()
    # The transports close in the loop's next turn.
    await asyncio.sleep(0)
