"""Files and tags in a Nextcloud: the one room that speaks HTTP to it, through nc_py_api.

Of nc_py_api only the session is used: its `listdir` and `get_tags` ask thousands of times for what one PROPFIND tells,
and its `move` can raise after the server has moved. Every method sends one request, once.
"""

import os
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from mover import responses
from mover.config import Account
from mover.responses import Folder
from mover.selection import File, Path, Tag
from shared.errors import Failure, NotFound, NotWebDav
from shared.webdav import http_errors
from shared.webdav.multistatus import path_of

# It would load the nearest .env into the environment of this process.
os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")

import niquests
from nc_py_api import AsyncNextcloud  # type: ignore[import-untyped]  # it has no types

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0

_NAMESPACES = 'xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns"'
_FILE = "<d:prop><d:resourcetype/><d:getetag/><d:getcontenttype/><oc:fileid/><nc:system-tags/></d:prop>"
_TAG = "<d:prop><oc:id/><oc:display-name/><oc:can-assign/></d:prop>"
_RIGHTS = "<d:prop><oc:permissions/></d:prop>"


class Nextcloud:
    """One account's files and tags; all methods raise the errors of `shared.errors`.

    Args:
        account: where and who.

    Attributes:
        user_id: as the server has it, which may not be the login name; found out by `log_in`.
    """

    def __init__(self, account: Account) -> None:
        self.user_id = ""
        self._root = account.root
        self._host = account.root.rstrip("/")
        self._top: Path = ()
        self._verify: bool | str = str(account.cacert) if account.cacert else True
        # Whatever is left out here is taken from the environment.
        self._client = AsyncNextcloud(
            nextcloud_url=self._host,
            nc_auth_user=account.username,
            nc_auth_pass=account.password.get_secret_value(),
            dav_url_suffix="remote.php/dav",
            npa_timeout=READ_TIMEOUT,
            npa_timeout_dav=READ_TIMEOUT,
            npa_nc_cert=self._verify,
        )

    async def close(self) -> None:
        """Hang up; nc_py_api has no way of its own to do so."""
        await self._client._session.adapter.close()
        await self._client._session.adapter_dav.close()

    async def log_in(self) -> None:
        """Ask who the login name is, which everything else needs.

        Raises:
            NotWebDav: whatever answers is not a Nextcloud.
        """
        url = f"{self._root}ocs/v1.php/cloud/user?format=json"
        try:
            response = await self._send("GET", url, (200,), {"OCS-APIRequest": "true", "Accept": "application/json"})
            user_id = response.json()["ocs"]["data"]["id"]
        except (NotFound, ValueError, LookupError, TypeError):
            raise NotWebDav(
                f"{self._host} does not answer as a Nextcloud",
                "The mover needs one: correct webdav/url (https://host/remote.php/dav/files/USER/) in Vault.",
            ) from None
        self.user_id = str(user_id)
        self._top = tuple(path_of(self._files) or ())

    async def list_folder(self, folder: Path) -> Folder:
        """A folder and its direct children, with their tags where the server tells."""
        response = await self._propfind(self._address(folder), "1", _FILE)
        return responses.folder(response, self._top, folder)

    async def stat(self, path: Path) -> File | None:
        """What lies there, None if nothing does."""
        try:
            response = await self._propfind(self._address(path), "0", _FILE)
        except NotFound:
            return None
        return responses.folder(response, self._top, path).itself

    async def permissions(self, path: Path) -> str | None:
        """What the account may do there, as Nextcloud's letters ("RGDNVCK"); None if nothing is there."""
        try:
            return responses.permissions(await self._propfind(self._address(path), "0", _RIGHTS))
        except NotFound:
            return None

    async def tags(self) -> list[Tag]:
        """All tags that the account can see."""
        return responses.tags(await self._propfind(f"{self._root}remote.php/dav/systemtags/", "1", _TAG))

    async def tagged(self, tag: Tag, folder: Path) -> list[File]:
        """Everything that carries a tag, anywhere in the account; nothing if there is no such tag any more.

        Args:
            folder: is asked, which does not limit the search, but has to be there.
        """
        rules = f"<oc:filter-rules><oc:systemtag>{tag.id}</oc:systemtag></oc:filter-rules>"
        body = f"<oc:filter-files {_NAMESPACES}>{_FILE}{rules}</oc:filter-files>"
        response = await self._send("REPORT", self._address(folder), (207, 412), _XML, body)
        return [] if response.status_code == 412 else responses.files(response.content or b"", self._top)

    async def move(self, file: File, target: Path) -> None:
        """Move, never over another file. Any error leaves open what happened.

        Raises:
            PreconditionFailed: the target is taken, or the file was changed or taken away.
            NotFound: the file is not there.
            ParentNotFound: the target's folder is not there, or is a file.
        """
        headers = {"Destination": self._address(target), "Overwrite": "F"}
        if file.etag:
            headers["If-Match"] = file.etag
        await self._send("MOVE", urllib.parse.urljoin(self._root, file.href), (201,), headers)

    async def untag(self, file: File, tag: Tag) -> bool:
        """Take a tag off; False if it was not on the file, or one of them is no more."""
        try:
            await self._send(
                "DELETE", f"{self._root}remote.php/dav/systemtags-relations/files/{file.id}/{tag.id}", (204,)
            )
        except NotFound:
            return False
        return True

    async def make_folder(self, folder: Path) -> bool:
        """Make a folder; False if something of that name was there.

        Raises:
            ParentNotFound: the folder that it should lie in is not there, or is a file.
        """
        response = await self._send("MKCOL", self._address(folder), (201, 405))
        return int(response.status_code or 0) == 201

    # --- one request ------------------------------------------------------------------------------------------------

    @property
    def _files(self) -> str:
        return f"{self._root}remote.php/dav/files/{urllib.parse.quote(self.user_id, safe='')}/"

    def _address(self, path: Path) -> str:
        return self._files + "/".join(urllib.parse.quote(part, safe="") for part in path)

    async def _propfind(self, url: str, depth: str, properties: str) -> bytes:
        body = f"<d:propfind {_NAMESPACES}>{properties}</d:propfind>"
        response = await self._send("PROPFIND", url, (207,), {**_XML, "Depth": depth}, body)
        return response.content or b""

    async def _send(
        self, method: str, url: str, hoped_for: Sequence[int], headers: Mapping[str, str] | None = None, body: str = ""
    ) -> niquests.Response:
        what = f"{method} {urllib.parse.unquote(urllib.parse.urlsplit(url).path)}"
        try:
            response: niquests.Response = await self._client._session.adapter_dav.request(
                method,
                url,
                data=body.encode() or None,
                headers=dict(headers or {}),
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                # Said again, since REQUESTS_CA_BUNDLE would count for more than the session's own.
                verify=self._verify,
                # The password would go along.
                allow_redirects=False,
            )
        except (niquests.RequestException, OSError) as error:
            raise _unreachable(self._host, error) from None
        code = int(response.status_code or 0)
        told: Any = response.headers
        if code in hoped_for:
            return response
        if response.is_redirect:
            raise http_errors.redirected(self._host, told["Location"])
        raise http_errors.error_of(code, told, what) if code >= 400 else http_errors.not_webdav(code, told, what)


_XML = {"Content-Type": "application/xml; charset=utf-8"}


def _unreachable(host: str, error: Exception) -> Failure:
    if not isinstance(error, niquests.RequestException) and getattr(error, "errno", None) is None:
        # Of niquests, where a file of certificates is missing.
        return NotWebDav(f"The image server cannot be asked ({error})", "Check WEBDAV_CACERT.")
    if isinstance(error, niquests.exceptions.SSLError):
        return http_errors.untrusted(host)
    if isinstance(error, niquests.Timeout):
        return http_errors.away(host, "does not answer in time")
    if "[Errno 111]" in str(error) or "refused" in str(error):
        return http_errors.away(host, "refuses connections")
    if "NameResolutionError" in str(error):
        return http_errors.away(host, "cannot be found by its name")
    return http_errors.away(host, f"broke the connection off ({type(error).__name__})")
