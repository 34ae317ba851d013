"""Files on a WebDAV server: the one room that speaks HTTP to the image server, through webdavclient3.

webdavclient3's own calls send up to three requests each, read a login page as an empty folder and do not return
connections; so only its `Client.execute_request` is used, once a step, and every answer is read here.
"""

import contextlib
import functools
import hashlib
import threading
import urllib.parse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr

from shared import retry as retry_module
from shared.config.settings import WebDavSecret
from shared.errors import (
    Failure,
    IntegrityError,
    LocalIOError,
    NotAccepted,
    NotFound,
    NotWebDav,
    PreconditionFailed,
    Unauthorized,
)
from shared.retry import RetryPolicy
from shared.webdav import http_errors
from shared.webdav.multistatus import parse
from shared.webdav.store import Entry, Href, Listing, Store, Wanted, strong

with warnings.catch_warnings():
    # An escape in webdav3/urn.py, which is compiled at its first import.
    warnings.simplefilter("ignore", SyntaxWarning)
    import requests
    import urllib3.exceptions
    import webdav3.client
    import webdav3.exceptions

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
PAUSE_AFTER_UNAUTHORIZED = 60.0
LARGEST_LISTING = 256 * 2**20
CHUNK = 2**20
# What a plain web server answers to a PROPFIND.
_NO_WEBDAV = (405, 501)

_PROPERTIES = b"""<?xml version="1.0" encoding="utf-8"?>
<d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns"><d:prop>\
<d:resourcetype/><d:getcontentlength/><d:getetag/><d:getlastmodified/><oc:fileid/><nc:upload_time/>\
</d:prop></d:propfind>"""


class WebDavAccount(BaseModel):
    """Where the files are and who asks for them; small and picklable, so that a worker makes its own client.

    Attributes:
        base_url: the folder that all others are relative to, percent-encoded, with a slash at its end.
        cacert: a file with the certificate authority of the server, where it is one of the user's own.
    """

    model_config = ConfigDict(frozen=True)

    base_url: str
    username: str
    password: SecretStr
    cacert: Path | None = None

    @contextlib.contextmanager
    def connect(self) -> Iterator[Store]:
        """Borrow a client that nobody else uses meanwhile; its connection is kept for the next who asks."""
        client = _borrow(self)
        try:
            yield client
        finally:
            _give_back(self, client)


_idle: dict[WebDavAccount, list["WebDavStore"]] = {}
_idle_lock = threading.Lock()
_refused: dict[WebDavAccount, tuple[Unauthorized, float]] = {}


def _borrow(account: WebDavAccount) -> "WebDavStore":
    with _idle_lock:
        idle = _idle.get(account)
        if idle:
            return idle.pop()
    return WebDavStore(account, retry_module.of_process())


def _give_back(account: WebDavAccount, client: "WebDavStore") -> None:
    with _idle_lock:
        for other in [known for known in _idle if known != account]:
            # The settings changed: nobody will ask for the old account again.
            for old in _idle.pop(other):
                old.close()
        _idle.setdefault(account, []).append(client)


@functools.lru_cache(maxsize=1)
def files_of(webdav: WebDavSecret, cacert: Path | None) -> WebDavAccount:
    """The account that a `webdav` secret describes.

    Folders are relative to `url`; without it to `host_url`, or, where that is a Nextcloud's bare root, to the account's
    files, which `/remote.php/webdav/` leads to whatever the user's id is.

    Raises:
        ServerUnreachable, NotWebDav: the server could not be asked whether it is a Nextcloud.
    """
    base = webdav.url or webdav.host_url
    if not webdav.url and "/remote.php/" not in base and _is_nextcloud(base, cacert):
        base += "remote.php/webdav/"
    return WebDavAccount(base_url=base, username=webdav.username, password=webdav.password, cacert=cacert)


def _is_nextcloud(root: str, cacert: Path | None) -> bool:
    """Whether a server says so, without being shown a password."""
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
        raise _unreachable(root.rstrip("/"), error) from None


class _OneServer(requests.adapters.HTTPAdapter):
    """Keeps the one pool that all requests of a session go to: finding it again would take a fifth of each."""

    _found: Any = None

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        if self._found is None:
            self._found = super().get_connection_with_tls_context(*arguments, **options)
        return self._found


class WebDavStore(Store):
    """One client with one connection, for one thread at a time.

    Args:
        account: where and who.
        retry: repeats what is safe to repeat; a MOVE is not, so `move` is tried once.
    """

    def __init__(self, account: WebDavAccount, retry: RetryPolicy) -> None:
        self._account = account
        url = urllib.parse.urlsplit(account.base_url)
        self._host = f"{url.scheme}://{url.netloc}"
        self._root = url.path if url.path.endswith("/") else url.path + "/"
        self._retry = retry
        self._last: requests.Response | None = None
        self._client = webdav3.client.Client({"webdav_hostname": self._host, "disable_check": True})
        self._client.timeout = (CONNECT_TIMEOUT, READ_TIMEOUT)
        self._client.verify = str(account.cacert) if account.cacert else True
        # As bytes, since requests would send them in Latin-1, and Nextcloud reads UTF-8.
        self._client.session.auth = (account.username.encode(), account.password.get_secret_value().encode())
        self._client.session.hooks["response"].append(self._remember)
        self._client.session.mount(self._host, _OneServer())
        self._ask_environment_once()

    def _ask_environment_once(self) -> None:
        """Take proxies and certificates from the environment now: requests would look again for every request."""
        session = self._client.session
        settings = session.merge_environment_settings(self._host + self._root, {}, None, self._client.verify, None)
        session.proxies, self._client.verify = settings["proxies"], settings["verify"]
        session.trust_env = False

    def close(self) -> None:
        """Close the connection."""
        self._client.session.close()

    def href(self, folder: str, name: str = "") -> Href:
        parts = [part for part in folder.split("/") if part]
        if name:
            parts.append(name)
        if any(part in (".", "..") for part in parts):
            raise NotAccepted(f"{folder}/{name} is not a path inside the account")
        path = self._root + "/".join(urllib.parse.quote(part, safe="") for part in parts)
        return Href(path if name or not parts else path + "/")

    def list_folder(self, folder: Href, wanted: Wanted | None = None) -> Listing:
        return self._retry(lambda: self._propfind(folder, depth="1", wanted=wanted))

    def etag(self, folder: Href) -> str | None:
        return self._retry(lambda: self._propfind(folder, depth="0")).folder_etag

    def stat(self, href: Href) -> Entry | None:
        def once() -> Entry | None:
            try:
                return self._propfind(href, depth="0").itself
            except NotFound:
                return None

        return self._retry(once)

    def get(self, entry: Entry, target: Path) -> None:
        self._retry(lambda: self._get(entry, target))

    def put(self, href: Href, data: bytes, *, verify: bool = True) -> None:
        self._retry(lambda: self._put(href, data, verify))

    def move(self, source: Href, target: Href, *, if_match: str | None = None) -> None:
        headers = [f"Destination: {self._host}{target}", "Overwrite: F"]
        if if_match is not None:
            headers.append(f"If-Match: {if_match}")
        self._retry.wait_for_backoff()
        with self._request("move", source, headers=headers) as response:
            if response.status_code not in (201, 204):
                raise self._unexpected("MOVE", source, response)

    def delete(self, href: Href) -> None:
        def once() -> None:
            with contextlib.suppress(NotFound), self._request("clean", href) as response:
                if response.status_code not in (200, 202, 204):
                    raise self._unexpected("DELETE", href, response)

        self._retry(once)

    def make_folder(self, folder: Href) -> bool:
        def once() -> bool:
            try:
                with self._request("mkdir", folder) as response:
                    if response.status_code != 201:
                        raise self._unexpected("MKCOL", folder, response)
                    return True
            except NotAccepted:
                if self._last is not None and self._last.status_code == 405:
                    return False
                raise

        return self._retry(once)

    # --- one request each -------------------------------------------------------------------------------------------

    def _propfind(self, href: Href, depth: str, wanted: Wanted | None = None) -> Listing:
        headers = [f"Depth: {depth}", "Content-Type: application/xml; charset=utf-8"]
        with self._request("list", href, headers=headers, data=_PROPERTIES) as response:
            if response.status_code != 207:
                raise self._unexpected("PROPFIND", href, response)
            return parse(_body(response), href, response.headers.get("Date"), wanted)

    def _get(self, entry: Entry, target: Path) -> None:
        # Apache's deflate changes the ETag, and a compressed body has another length.
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

    def _put(self, href: Href, data: bytes, verify: bool) -> None:
        with self._request("upload", href, headers=["X-Hash: sha256"], data=data) as response:
            if response.status_code not in (200, 201, 204):
                raise self._unexpected("PUT", href, response)
            hash_there = response.headers.get("X-Hash-SHA256")
        if hash_there is None:
            if verify:
                self._check_size(href, len(data))
        elif hash_there.lower() != hashlib.sha256(data).hexdigest():
            raise IntegrityError(f"{_shown(href)} arrived on the server with another SHA-256 than it was sent with")

    def _check_size(self, href: Href, size: int) -> None:
        there = self._propfind(href, depth="0").itself
        if there.size != size:
            raise IntegrityError(f"{_shown(href)} arrived on the server with {there.size} bytes instead of {size}")

    @contextlib.contextmanager
    def _request(
        self, action: str, href: Href, *, headers: list[str] | None = None, data: bytes | None = None
    ) -> Iterator[requests.Response]:
        """Send one request, and read its answer to the end whatever happens, so that the connection is kept."""
        self._last = None
        self._check_not_refused()
        try:
            response = self._client.execute_request(action, href, data=data, headers_ext=headers)
            try:
                yield response
            finally:
                _finish(response)
        except (webdav3.exceptions.WebDavException, requests.RequestException, OSError) as error:
            raise self._translated(href, error) from None

    def _check_not_refused(self) -> None:
        """Ask nothing with a password that was refused a moment ago: ten threads may have work left with it."""
        refusal, since = _refused.get(self._account, (None, 0.0))
        if refusal and self._retry.stop.clock() - since < PAUSE_AFTER_UNAUTHORIZED:
            raise refusal

    def _remember(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Keep what the exceptions of webdavclient3 leave out, and let an unread error not cost the connection."""
        self._last = response
        if response.is_redirect:
            response.close()
            raise http_errors.redirected(self._host, response.headers["Location"])
        if response.status_code >= 400:
            _finish(response)

    def _translated(self, href: Href, error: webdav3.exceptions.WebDavException | OSError) -> Failure:
        """The one place where foreign errors become ours."""
        response = self._last
        if isinstance(error, webdav3.exceptions.WebDavException) and response is not None:
            target = urllib.parse.urlsplit(response.request.headers.get("Destination", "")).path
            what = f"{response.request.method} {_shown(href)}" + (f" to {_shown(Href(target))}" if target else "")
            if response.request.method == "PROPFIND" and response.status_code in _NO_WEBDAV:
                return http_errors.not_webdav(int(response.status_code), response.headers, what)
            failure = http_errors.error_of(int(response.status_code), response.headers, what)
            if isinstance(failure, Unauthorized):
                _refused[self._account] = failure, self._retry.stop.clock()
            return failure
        return _unreachable(self._host, error)

    def _unexpected(self, method: str, href: Href, response: requests.Response) -> Failure:
        return http_errors.not_webdav(int(response.status_code), response.headers, f"{method} {_shown(href)}")


def _finish(response: requests.Response) -> None:
    """Read what is left of an answer, if that is little: closing it unread would close its connection with it."""
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        response.raw.read(CHUNK)
    response.close()


def _body(response: requests.Response) -> bytes:
    parts, length = [], 0
    for chunk in response.iter_content(CHUNK):
        length += len(chunk)
        if length > LARGEST_LISTING:
            raise NotWebDav("The answer to a listing does not end")
        parts.append(chunk)
    return b"".join(parts)


def _unreachable(host: str, error: Exception) -> Failure:
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return _local(error)
    if isinstance(error, requests.exceptions.SSLError):
        return http_errors.untrusted(host)
    if isinstance(error, requests.exceptions.Timeout):
        return http_errors.away(host, "does not answer in time")
    if isinstance(error, requests.exceptions.ConnectionError) and "refused" in str(error):
        return http_errors.away(host, "refuses connections")
    return http_errors.away(host, f"broke the connection off ({type(error).__name__})")


def _local(error: OSError) -> Failure:
    if error.errno is None:
        # Of requests, where a file of certificates is missing.
        return NotWebDav(f"The image server cannot be asked ({error})", "Check WEBDAV_CACERT.")
    return LocalIOError(
        f"A download cannot be written to the local disk ({error.strerror})", "Make room there, or set TMPDIR."
    )


def _shown(href: Href) -> str:
    return urllib.parse.unquote(href)
