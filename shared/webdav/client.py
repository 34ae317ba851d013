"""The WebDAV client: every method sends one request through webdavclient3 and reads its answer.

webdavclient3's own calls send up to three requests each, read a login page as an empty folder and do not return
connections, so only its `Client.execute_request` is used. The protocol is RFC 4918; chunked uploads are Nextcloud's
("Chunked file upload" in its developer manual).
"""

import contextlib
import hashlib
import json
import re
import urllib.parse
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Protocol, override

from pydantic import SecretStr

from shared.errors import Failure, IntegrityError, NotAccepted, NotFound, NotWebDav, PreconditionFailed
from shared.retry import RequestObserver
from shared.webdav import http_errors
from shared.webdav.multistatus import parse
from shared.webdav.store import (
    BASIC,
    Assembled,
    Assembly,
    Entry,
    Href,
    Listing,
    Prop,
    Store,
    Stored,
    Wanted,
    strong,
)

with warnings.catch_warnings():
    # webdav3/urn.py contains an invalid escape sequence.
    warnings.simplefilter("ignore", SyntaxWarning)
    import requests
    import urllib3.exceptions
    import webdav3.client
    import webdav3.exceptions

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
LARGEST_LISTING = 256 * 2**20
CHUNK = 2**20
# The answers of a plain web server to a PROPFIND.
_NO_WEBDAV = (405, 501)
_PREFIXES = {"DAV:": "d", "http://owncloud.org/ns": "oc", "http://nextcloud.org/ns": "nc"}


class Credentials(Protocol):
    """Address and login, as in `shared.webdav.account.WebDavAccount`."""

    @property
    def base_url(self) -> str:
        """The folder that all others are relative to, with a slash at its end."""

    @property
    def username(self) -> str:
        """The login name."""

    @property
    def password(self) -> SecretStr:
        """The password of the account, or an app password."""

    @property
    def cacert(self) -> Path | None:
        """A file with a private certificate authority."""

    @property
    def timeout(self) -> float:
        """Seconds to wait for the next bytes of an answer."""


class _OneServer(requests.adapters.HTTPAdapter):
    """Looks up the connection pool of a session once; looking it up takes a fifth of each request's time."""

    _found: Any = None

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        if self._found is None:
            self._found = super().get_connection_with_tls_context(*arguments, **options)
        return self._found


class WebDavClient(Store):
    """A client with one connection, for one thread at a time."""

    def __init__(self, account: Credentials, observer: RequestObserver | None = None) -> None:
        url = urllib.parse.urlsplit(account.base_url)
        self._host = f"{url.scheme}://{url.netloc}"
        self._root = _root_of(account.base_url)
        self._response: requests.Response | None = None
        self._observer = observer or RequestObserver()
        self._client = webdav3.client.Client({"webdav_hostname": self._host, "disable_check": True})
        self._client.timeout = (CONNECT_TIMEOUT, account.timeout)
        self._client.verify = str(account.cacert) if account.cacert else True
        # As bytes, because requests encodes strings in Latin-1, and Nextcloud reads UTF-8 (RFC 7617, 2.1).
        self._client.session.auth = (account.username.encode(), account.password.get_secret_value().encode())
        self._client.session.hooks["response"].append(self._remember)
        self._client.session.mount(self._host, _OneServer())
        self._ask_environment_once()

    def _ask_environment_once(self) -> None:
        """Read proxies and certificates from the environment once; requests would read them for every request."""
        session = self._client.session
        settings = session.merge_environment_settings(self._host + self._root, {}, None, self._client.verify, None)
        session.proxies, self._client.verify = settings["proxies"], settings["verify"]
        session.trust_env = False

    def move_to(self, base_url: str) -> None:
        """Take folders relative to another address of the same server from now on."""
        self._root = _root_of(base_url)

    def close(self) -> None:
        """Close the connection."""
        self._client.session.close()

    @override
    def href(self, folder: str, name: str = "") -> Href:
        parts = [part for part in folder.split("/") if part]
        if name:
            parts.append(name)
        if any(part in (".", "..") for part in parts):
            raise NotAccepted(f"{folder}/{name} is not a path inside the account")
        path = self._root + "/".join(urllib.parse.quote(part, safe="") for part in parts)
        return Href(path if name or not parts else path + "/")

    @override
    def list_folder(
        self, folder: Href, properties: Collection[Prop] = BASIC, wanted: Wanted | None = None, *, marked: str = ""
    ) -> Listing:
        return self._propfind(folder, "1", properties, wanted, marked)

    @override
    def stat(self, href: Href, properties: Collection[Prop] = BASIC) -> Entry | None:
        try:
            return self._propfind(href, "0", properties).itself
        except NotFound:
            return None

    @override
    def get(self, entry: Entry, target: Path) -> str:
        # Apache's mod_deflate changes the ETag, and a compressed body has another length.
        with self._request("download", entry.href, headers=["Accept-Encoding: identity"]) as response:
            if response.status_code != 200:
                raise self._unexpected("GET", entry.href, response)
            etag = response.headers.get("ETag")
            if strong(entry.etag) and etag is not None and etag != entry.etag:
                raise PreconditionFailed(f"{_shown(entry.href)} was replaced since it was listed")
            length = 0
            with target.open("wb") as file:
                for chunk in response.iter_content(CHUNK):
                    length += file.write(chunk)
            expected = int(response.headers.get("Content-Length", length))
            if length != expected or (entry.size is not None and length != entry.size):
                raise IntegrityError(
                    f"{_shown(entry.href)} came with {length} bytes instead of {entry.size or expected}"
                )
            return str(response.headers.get("OC-Checksum", ""))

    @override
    def put(self, href: Href, data: bytes, *, chunk_of: Href | None = None) -> Stored:
        headers = ["X-Hash: sha256"]
        if chunk_of is not None:
            headers += [f"Destination: {self._host}{chunk_of}", f"OC-Total-Length: {len(data)}"]
        with self._request("upload", href, headers=headers, data=data) as response:
            if response.status_code not in (200, 201, 204):
                raise self._unexpected("PUT", href, response)
            hash_there, etag = response.headers.get("X-Hash-SHA256"), response.headers.get("ETag")
        if hash_there is not None and hash_there.lower() != hashlib.sha256(data).hexdigest():
            raise IntegrityError(f"{_shown(href)} arrived on the server with another SHA-256 than it was sent with")
        return Stored(confirmed=hash_there is not None, etag=etag)

    @override
    def move(self, source: Href, target: Href, *, if_match: str | None = None) -> None:
        headers = [f"Destination: {self._host}{target}", "Overwrite: F"]
        if if_match is not None:
            headers.append(f"If-Match: {if_match}")
        with self._request("move", source, headers=headers) as response:
            if response.status_code not in (201, 204):
                raise self._unexpected("MOVE", source, response)

    @override
    def assemble(self, upload: Href, target: Entry, assembly: Assembly) -> Assembled:
        headers = [
            f"Destination: {self._host}{target.href}",
            # RFC 4918, 10.4: a condition on the file; If-Match would apply to the upload.
            f"If: <{target.href}> ([{target.etag}])",
            # Without it an upload that lost its chunk would empty the file.
            f"OC-Total-Length: {assembly.length}",
            f"X-OC-MTime: {assembly.modified}",
            f"OC-Checksum: {assembly.checksums}",
        ]
        with self._request("move", Href(upload + ".file"), headers=headers) as response:
            if response.status_code not in (201, 204):
                raise self._unexpected("MOVE", upload, response)
            return Assembled(
                response.headers.get("ETag"), _number(response.headers.get("OC-FileId")), response.status_code == 201
            )

    @override
    def delete(self, href: Href, *, for_good: bool = False) -> None:
        headers = ["X-NC-Skip-Trashbin: true"] if for_good else None
        with contextlib.suppress(NotFound), self._request("clean", href, headers=headers) as response:
            if response.status_code not in (200, 202, 204):
                raise self._unexpected("DELETE", href, response)

    @override
    def make_folder(self, folder: Href) -> bool:
        try:
            with self._request("mkdir", folder) as response:
                if response.status_code != 201:
                    raise self._unexpected("MKCOL", folder, response)
                return True
        except NotAccepted:
            if self._response is not None and self._response.status_code == 405:
                return False
            raise

    @override
    def get_json(self, href: Href) -> object:
        headers = ["OCS-APIRequest: true", "Accept: application/json"]
        with self._request("download", href, headers=headers) as response:
            if response.status_code != 200:
                raise self._unexpected("GET", href, response)
            try:
                return json.loads(_body(response))
            except ValueError as error:
                raise self._unexpected("GET", href, response) from error

    def _propfind(
        self,
        href: Href,
        depth: str,
        properties: Collection[Prop],
        wanted: Wanted | None = None,
        marked: str = "",
    ) -> Listing:
        headers = [f"Depth: {depth}", "Content-Type: application/xml; charset=utf-8"]
        with self._request("list", href, headers=headers, data=_propfind_body(properties)) as response:
            if response.status_code != 207:
                raise self._unexpected("PROPFIND", href, response)
            return parse(_body(response), href, response.headers.get("Date"), wanted, marked)

    # --- request and answer -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _request(
        self, action: str, href: Href, *, headers: list[str] | None = None, data: bytes | None = None
    ) -> Iterator[requests.Response]:
        """Send one request and always read its answer to the end, so that the connection is kept."""
        self._response = None
        try:
            response = self._client.execute_request(action, href, data=data, headers_ext=headers)
            try:
                yield response
            finally:
                _finish(response)
        except (webdav3.exceptions.WebDavException, requests.RequestException, OSError) as error:
            raise self._translated(href, error) from error

    def _remember(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Keep the response, which webdavclient3's exceptions leave out; read errors, so the connection is kept."""
        self._response = response
        self._observer.answered(str(response.request.method), response.status_code)
        if response.is_redirect:
            response.close()
            raise http_errors.redirected(self._host, response.headers["Location"])
        if response.status_code >= 400:
            _finish(response)

    def _translated(self, href: Href, error: webdav3.exceptions.WebDavException | OSError) -> Failure:
        response = self._response
        if not isinstance(error, webdav3.exceptions.WebDavException) or response is None:
            return http_errors.transport_error(self._host, error)
        method = response.request.method
        target = urllib.parse.urlsplit(response.request.headers.get("Destination", "")).path
        request = f"{method} {_shown(href)}" + (f" to {_shown(Href(target))}" if target else "")
        if method == "PROPFIND" and response.status_code in _NO_WEBDAV:
            return http_errors.not_webdav(int(response.status_code), response.headers, request)
        return http_errors.error_of(int(response.status_code), response.headers, request)

    def _unexpected(self, method: str, href: Href, response: requests.Response) -> Failure:
        return http_errors.not_webdav(int(response.status_code), response.headers, f"{method} {_shown(href)}")


def is_nextcloud(root: str, cacert: Path | None) -> bool:
    """Whether a server is a Nextcloud, found out without sending a password.

    Raises:
        ServerUnreachable, NotWebDav: it does not answer, or not as expected.
    """
    try:
        answer = requests.get(
            root + "status.php",
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            verify=str(cacert) if cacert else True,
            allow_redirects=False,
        )
        return answer.status_code == 200 and "versionstring" in answer.json()
    except (requests.exceptions.JSONDecodeError, TypeError):
        return False
    except OSError as error:
        raise http_errors.transport_error(root.rstrip("/"), error) from error


def _root_of(base_url: str) -> str:
    path = urllib.parse.urlsplit(base_url).path
    return path if path.endswith("/") else path + "/"


def _propfind_body(properties: Collection[Prop]) -> bytes:
    wanted = []
    for prop in properties:
        namespace, _, name = prop.removeprefix("{").partition("}")
        wanted.append(f"<{_PREFIXES[namespace]}:{name}/>")
    spaces = " ".join(f'xmlns:{prefix}="{namespace}"' for namespace, prefix in _PREFIXES.items())
    return (
        f'<?xml version="1.0" encoding="utf-8"?><d:propfind {spaces}><d:prop>{"".join(wanted)}</d:prop></d:propfind>'
    ).encode()


def _finish(response: requests.Response) -> None:
    """Read the rest of an answer if it is short: closing it unread would close the connection."""
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        response.raw.read(CHUNK)
    response.close()


def _body(response: requests.Response) -> bytes:
    parts, length = [], 0
    for chunk in response.iter_content(CHUNK):
        length += len(chunk)
        if length > LARGEST_LISTING:
            raise NotWebDav(f"The answer of the image server exceeds {LARGEST_LISTING // 2**20} MiB")
        parts.append(chunk)
    return b"".join(parts)


def _number(file_id: str | None) -> str | None:
    """The file id in `OC-FileId`, where it is padded with zeros and followed by the id of the instance."""
    match = re.match(r"0*(\d+)(?=\D|$)", file_id or "")
    return match[1] if match else None


def _shown(href: Href) -> str:
    return urllib.parse.unquote(href)
