"""The WebDAV client: every method sends one request through webdavclient3 and reads its answer.

webdavclient3's own calls send up to three requests each, read a login page as an empty folder and do not return
connections, so only its `Client.execute_request` is used. The protocol is RFC 4918; chunked uploads are Nextcloud's
("Chunked file upload" in its developer manual).
"""

import contextlib
import hashlib
import json
import re
import socket
import urllib.parse
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, override

from pydantic import SecretStr

from shared.errors import (
    Failure,
    IntegrityError,
    NotAccepted,
    NotFound,
    NotWebDav,
    PreconditionFailed,
    ServerUnreachable,
)
from shared.retry import RequestObserver
from shared.webdav import http_errors
from shared.webdav.destination import DestinationForm
from shared.webdav.etags import normal_etag, same_etag
from shared.webdav.http_dates import http_time
from shared.webdav.multistatus import first_failure, parse
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
from shared.webdav.watchdog import Watchdog

with warnings.catch_warnings():
    # webdav3/urn.py contains an invalid escape sequence.
    warnings.simplefilter("ignore", SyntaxWarning)
    import requests
    import urllib3.exceptions
    import webdav3.client
    import webdav3.exceptions

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
# Seconds for a whole answer, in addition to those for its bytes (up or down) at the slowest rate, bytes per second.
LONGEST_ANSWER = 300.0
SLOWEST_RATE = 4096
LARGEST_LISTING = 256 * 2**20
LARGEST_JSON = 16 * 2**20
# If the server states no length.
LARGEST_DOWNLOAD = 4 * 2**30
CHUNK = 2**20
# The answers of a plain web server to a PROPFIND.
_NO_WEBDAV = (405, 501)
# Answers that say nothing about what kind of server it is.
_TRANSIENT = (408, 425, 429, 502, 503, 504)
_PREFIXES = {"DAV:": "d", "http://owncloud.org/ns": "oc", "http://nextcloud.org/ns": "nc"}


class Credentials(Protocol):
    """Address and login, as in `shared.webdav.account.WebDavAccount`."""

    @property
    def base_url(self) -> str:
        """The folder that all others are relative to, with a slash at its end."""

    @property
    def username(self) -> str:
        """The login name; empty to send none."""

    @property
    def password(self) -> SecretStr:
        """The password of the account, or an app password."""

    @property
    def cacert(self) -> Path | None:
        """A file with a private certificate authority."""

    @property
    def timeout(self) -> float:
        """Seconds to wait for the next bytes of an answer."""

    @property
    def longest(self) -> float:
        """Seconds for a whole answer, in addition to those for the bytes of a file."""


class _OneServer(requests.adapters.HTTPAdapter):
    """Caches the connection pool of a session: the lookup takes a fifth of each request's time."""

    def __init__(self) -> None:
        super().__init__()
        self._found: Any = None
        self._socket: socket.socket | None = None

    @override
    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        if self._found is None:
            self._found = super().get_connection_with_tls_context(*arguments, **options)
            self._found.ConnectionCls = self._remembered(self._found.ConnectionCls)
        return self._found

    def _remembered(self, kind: Any) -> Any:
        """A connection whose socket is remembered, also while its answer is read."""
        adapter = self

        class Connection(kind):  # type: ignore[misc]  # only known when it runs
            def connect(self) -> None:
                super().connect()
                adapter._socket = self.sock

        return Connection

    @override
    def close(self) -> None:
        # The pool manager only forgets its pools, which are closed once nothing refers to them.
        found, self._found = self._found, None
        if found is not None:
            found.close()
        super().close()

    def break_off(self) -> None:
        """Close the connection, even while it is in use."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not that of `SSLSocket`, which also drops the TLS state that the reader is still using.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Digest(requests.auth.HTTPDigestAuth):
    """Digest authentication (RFC 7616), with non-ASCII user names and bounded responses."""

    @override
    def build_digest_header(self, method: str, url: str) -> Any:
        header = super().build_digest_header(method, url)  # type: ignore[no-untyped-call]  # it has no types
        return header and header.encode()

    @override
    def handle_401(self, r: requests.Response, **options: Any) -> requests.Response:
        if r.status_code == 401:
            _finish(r)
        response: requests.Response = super().handle_401(r, **options)  # type: ignore[no-untyped-call]  # it has no types
        return response


class _WantsDigest(Exception):
    """The server accepts the password only as a digest."""


@dataclass
class Findings:
    """Findings about a server, shared by the clients of one account.

    Attributes:
        destination: how the target of a MOVE is written.
        digest: it accepts the password only as a digest.
    """

    destination: DestinationForm
    watchdog: Watchdog = field(default_factory=Watchdog)
    digest: bool = False

    @classmethod
    def at(cls, base_url: str) -> Self:
        """Empty findings for the server at this address."""
        return cls(DestinationForm(_host_of(base_url)))


class WebDavClient(Store):
    """A client with one connection, for one thread at a time."""

    def __init__(
        self, account: Credentials, observer: RequestObserver | None = None, findings: Findings | None = None
    ) -> None:
        self._account = account
        self._observer = observer or RequestObserver()
        self._findings = findings or Findings.at(account.base_url)
        self._host = _host_of(account.base_url)
        self._root = _root_of(account.base_url)
        self._response: requests.Response | None = None
        # The beginning of the server's description of an error.
        self._said = b""
        self._reached = False
        self._broken_off = False
        self._client = webdav3.client.Client({"webdav_hostname": self._host, "disable_check": True})
        self._client.timeout = (CONNECT_TIMEOUT, account.timeout)
        self._authenticate()
        self._client.session.hooks["response"].append(self._remember)
        self._server = _OneServer()
        self._client.session.mount(self._host, self._server)
        self._ask_environment_once()

    def _authenticate(self) -> None:
        name, password = self._account.username, self._account.password.get_secret_value()
        if not name:
            return
        # As bytes, because requests encodes strings in Latin-1, and Nextcloud reads UTF-8 (RFC 7617, 2.1).
        basic = (name.encode(), password.encode())
        self._client.session.auth = _Digest(name, password) if self._findings.digest else basic

    def _ask_environment_once(self) -> None:
        """Read proxies and certificates from the environment once; requests would read them for every request."""
        session, cacert = self._client.session, self._account.cacert
        verify = str(cacert) if cacert else True
        settings = session.merge_environment_settings(self._host + self._root, {}, None, verify, None)
        session.proxies, self._client.verify = settings["proxies"], settings["verify"]
        session.trust_env = False

    def move_to(self, base_url: str) -> None:
        """Use another base address on the same server from now on."""
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
        headers = ["Accept-Encoding: identity"]
        with self._request("download", entry.href, headers=headers, length=entry.size or 0) as response:
            if response.status_code != 200:
                raise self._unexpected("GET", entry.href, response)
            differs = _is_other_version(response, entry)
            try:
                _save(response, entry, target)
            except IntegrityError as error:
                if differs:
                    raise _replaced(entry) from error
                raise
        if differs:
            self._check_unchanged(entry)
        return str(response.headers.get("OC-Checksum", ""))

    def _check_unchanged(self, entry: Entry) -> None:
        """Raise unless a file is still listed as it was: some servers send another ETag or date than listed."""
        there = None
        # Where even that fails nothing is known to be unchanged.
        with contextlib.suppress(NotWebDav):
            there = self.stat(entry.href)
        if there is None or (there.etag, there.size, there.modified) != (entry.etag, entry.size, entry.modified):
            raise _replaced(entry)

    @override
    def put(self, href: Href, data: bytes, *, chunk_of: Href | None = None) -> Stored:
        headers = ["X-Hash: sha256"]
        if chunk_of is not None:
            headers += [self._findings.destination.header(chunk_of), f"OC-Total-Length: {len(data)}"]
        with self._request("upload", href, headers=headers, data=data, length=len(data)) as response:
            if response.status_code not in (200, 201, 204):
                raise self._unexpected("PUT", href, response)
            hash_there, etag = response.headers.get("X-Hash-SHA256"), normal_etag(response.headers.get("ETag"))
        if hash_there is not None and hash_there.lower() != hashlib.sha256(data).hexdigest():
            raise IntegrityError(f"{_shown(href)} arrived on the server with another SHA-256 than it was sent with")
        return Stored(confirmed=hash_there is not None, etag=etag)

    @override
    def move(self, source: Href, target: Href, *, if_match: str | None = None) -> None:
        destination = self._findings.destination
        prefix = destination.prefix
        headers = [f"Destination: {prefix}{target}", "Overwrite: F"]
        if if_match is not None:
            headers.append(f"If-Match: {if_match}")
        try:
            with self._request("move", source, headers=headers) as response:
                if response.status_code == 207:
                    raise self._failed_inside("MOVE", source, response)
                if response.status_code not in (201, 204):
                    raise self._unexpected("MOVE", source, response)
        finally:
            if self._status is not None:
                destination.learn(prefix, self._status)

    @override
    def assemble(self, upload: Href, target: Entry, assembly: Assembly) -> Assembled:
        headers = [
            self._findings.destination.header(target.href),
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
                normal_etag(response.headers.get("ETag")),
                _number(response.headers.get("OC-FileId")),
                response.status_code == 201,
            )

    @override
    def delete(self, href: Href, *, for_good: bool = False) -> None:
        headers = ["X-NC-Skip-Trashbin: true"] if for_good else None
        with contextlib.suppress(NotFound), self._request("clean", href, headers=headers) as response:
            if response.status_code == 207:
                raise self._failed_inside("DELETE", href, response)
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
            if self._status == 405:
                return False
            raise

    @override
    def get_json(self, href: Href) -> object:
        headers = ["OCS-APIRequest: true", "Accept: application/json"]
        with self._request("download", href, headers=headers) as response:
            if response.status_code != 200:
                raise self._unexpected("GET", href, response)
            try:
                return json.loads(_body(response, LARGEST_JSON))
            except ValueError as error:
                raise self._unexpected("GET", href, response) from error

    def is_nextcloud(self, root: Href) -> bool:
        """Whether a folder is the root of a Nextcloud, determined without sending the password.

        Raises:
            Failure: it does not answer, or not now.
        """
        session = self._client.session
        login, session.auth = session.auth, None
        try:
            with self._request("download", Href(root + "status.php")) as response:
                status = json.loads(_body(response, LARGEST_JSON)) if response.status_code == 200 else None
            return isinstance(status, dict) and "versionstring" in status
        except ValueError:
            return False
        except Failure as error:
            if self._status is None or self._status in _TRANSIENT or isinstance(error, ServerUnreachable):
                raise
            return False
        finally:
            session.auth = login

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
            return parse(_body(response, LARGEST_LISTING), href, response.headers.get("Date"), wanted, marked)

    # --- request and answer -----------------------------------------------------------------------------------------

    @property
    def _status(self) -> int | None:
        """Of the last answer; None if none came."""
        return None if self._response is None else int(self._response.status_code)

    @contextlib.contextmanager
    def _request(
        self,
        action: str,
        href: Href,
        *,
        headers: list[str] | None = None,
        data: bytes | None = None,
        length: int = 0,
    ) -> Iterator[requests.Response]:
        """Send one request and always read its answer to the end, so that the connection is kept.

        Args:
            length: bytes that are sent or expected, for the time limit.
        """
        self._response, self._said, self._broken_off = None, b"", False
        seconds = self._account.longest + length / SLOWEST_RATE
        try:
            with self._findings.watchdog.limit(seconds, self._break_off):
                response = self._send(action, href, headers, data)
                try:
                    yield response
                finally:
                    _finish(response)
        except (
            webdav3.exceptions.WebDavException,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise self._translated(action, href, error) from error

    def _send(self, action: str, href: Href, headers: list[str] | None, data: bytes | None) -> requests.Response:
        response: requests.Response
        try:
            response = self._client.execute_request(action, href, data=data, headers_ext=headers)
        except _WantsDigest:
            response = self._client.execute_request(action, href, data=data, headers_ext=headers)
        return response

    def _break_off(self) -> None:
        self._broken_off = True
        self._server.break_off()

    def _remember(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Keep the response, which webdavclient3's exceptions leave out; read errors, so the connection is kept."""
        self._response = response
        self._reached = True
        self._observer.answered(str(response.request.method), response.status_code)
        if response.is_redirect:
            response.close()
            raise http_errors.redirected(self._host, response.headers["Location"])
        if response.status_code >= 400:
            self._said = _finish(response)
        if response.status_code == 401 and isinstance(self._client.session.auth, tuple):
            offered = response.headers.get("WWW-Authenticate", "").lower()
            if "digest" in offered and "basic" not in offered:
                self._findings.digest = True
                self._authenticate()
                raise _WantsDigest

    def _translated(self, action: str, href: Href, error: Exception) -> Failure:
        response = self._response
        if self._broken_off:
            method = self._client.requests[action]
            return ServerUnreachable(
                f"{self._host} did not finish answering {method} {_shown(href)} in time",
                "Is the server overloaded, or the connection to it very slow?",
            )
        if not isinstance(error, webdav3.exceptions.WebDavException) or response is None:
            return http_errors.transport_error(self._host, error, self._account.cacert, reached=self._reached)
        method = response.request.method
        target = urllib.parse.urlsplit(response.request.headers.get("Destination", "")).path
        request = f"{method} {_shown(href)}" + (f" to {_shown(Href(target))}" if target else "")
        if response.status_code == 407:
            return http_errors.proxy_wants_login(self._host)
        if method == "PROPFIND" and response.status_code in _NO_WEBDAV:
            return http_errors.not_webdav(int(response.status_code), response.headers, request)
        return http_errors.error_of(int(response.status_code), response.headers, request, self._said)

    def _unexpected(self, method: str, href: Href, response: requests.Response) -> Failure:
        return http_errors.not_webdav(int(response.status_code), response.headers, f"{method} {_shown(href)}")

    def _failed_inside(self, method: str, href: Href, response: requests.Response) -> Failure:
        """The error in a multistatus, which says that a DELETE or a MOVE was not done (RFC 4918, 9.6.1 and 9.9.4)."""
        status = first_failure(_body(response, LARGEST_LISTING))
        if status is None:
            return self._unexpected(method, href, response)
        return http_errors.error_of(status, {}, f"{method} {_shown(href)}")


def _host_of(base_url: str) -> str:
    url = urllib.parse.urlsplit(base_url)
    return f"{url.scheme}://{url.netloc}"


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


def _finish(response: requests.Response) -> bytes:
    """Read the rest of an answer if it is short, since closing it unread would close the connection; return it."""
    rest = b""
    # A RuntimeError says that it is compressed and was read in part.
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError, RuntimeError):
        rest = response.raw.read(CHUNK)
    response.close()
    return rest


def _body(response: requests.Response, limit: int) -> bytes:
    """The whole body, unpacked.

    Raises:
        NotWebDav: it is larger than the limit.
    """
    parts, length = [], 0
    for chunk in response.iter_content(CHUNK):
        length += len(chunk)
        if length > limit:
            response.close()
            raise NotWebDav(f"The answer of the image server exceeds {limit // 2**20} MiB")
        parts.append(chunk)
    return b"".join(parts)


def _save(response: requests.Response, entry: Entry, target: Path) -> None:
    """Write a body to a file and check its length.

    Raises:
        IntegrityError: it is shorter or longer.
    """
    sent = response.headers.get("Content-Length", "")
    # The length of compressed content says nothing.
    announced = int(sent) if sent.isdecimal() and "Content-Encoding" not in response.headers else None
    expected = announced if entry.size is None else entry.size
    length = 0
    with target.open("wb") as file:
        for chunk in response.iter_content(CHUNK):
            length += file.write(chunk)
            if length > (LARGEST_DOWNLOAD if expected is None else expected):
                response.close()
                raise IntegrityError(f"{_shown(entry.href)} came with more than {expected} bytes")
    if expected is not None and length != expected:
        raise IntegrityError(f"{_shown(entry.href)} came with {length} bytes instead of {expected}")


def _is_other_version(response: requests.Response, entry: Entry) -> bool:
    """Whether a download seems to be of another version than was listed, by its ETag, or else by its date."""
    etag = normal_etag(response.headers.get("ETag"))
    if etag is not None and entry.etag is not None and strong(entry.etag):
        return not same_etag(etag, entry.etag)
    modified = http_time(response.headers.get("Last-Modified"))
    return modified is not None and entry.modified is not None and modified != entry.modified


def _replaced(entry: Entry) -> PreconditionFailed:
    return PreconditionFailed(f"{_shown(entry.href)} was replaced since it was listed")


def _number(file_id: str | None) -> str | None:
    """The file id in `OC-FileId`, where it is padded with zeros and followed by the id of the instance."""
    match = re.match(r"0*(\d+)(?=\D|$)", file_id or "")
    return match[1] if match else None


def _shown(href: Href) -> str:
    return urllib.parse.unquote(href)
