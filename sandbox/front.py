"""What stands before WebDAV: the log, delays, maintenance mode, passwords, and the addresses that are no WebDAV."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from sandbox.sabre import SabreError, no_such_file
from sandbox.wsgi import App, Body, Environ, StartResponse, answer

FAILURES_ALLOWED = 11
FAILURES_COUNT_FOR = 1800.0
LONGEST_DELAY = 25_000
VERSION = {"major": 32, "minor": 0, "micro": 1, "string": "32.0.1", "edition": "", "extendedSupport": False}
CAPABILITIES: dict[str, Any] = {
    "core": {"pollinterval": 60, "webdav-root": "remote.php/webdav"},
    "files": {
        "$comment": ('"blacklisted_files" is deprecated as of Nextcloud 30, use "forbidden_filenames" instead'),
        "blacklisted_files": [".htaccess"],
        "forbidden_filenames": [".htaccess"],
        "forbidden_filename_basenames": [],
        "forbidden_filename_characters": ["\\", "/"],
        "forbidden_filename_extensions": [".filepart", ".part"],
        "bigfilechunking": True,
        "chunked_upload": {"max_size": 104857600, "max_parallel_count": 5},
        "file_conversions": [],
        "windows_compatible_filenames": False,
        "comments": True,
        "undelete": True,
        "delete_from_trash": True,
        "versioning": True,
        "version_labeling": True,
        "version_deletion": True,
    },
    "dav": {
        "chunking": "1.0",
        "public_shares_chunking": False,
        "bulkupload": "1.0",
        "absence-supported": True,
        "absence-replacement": True,
    },
    "systemtags": {"enabled": True},
}
REFUSED = (
    "No public access to this resource., AppAPIAuth has not passed, This request is not for a federated calendar, {0}, "
    "No 'Authorization: Bearer' header found. Either the client didn't send one, or the server is mis-configured, {0}"
)
NO_HEADER = "No 'Authorization: Basic' header found. Either the client didn't send one, or the server is misconfigured"
WRONG_PASSWORD = "Username or password was incorrect"  # noqa: S105 -- a message
JSON = ("Content-Type", "application/json; charset=utf-8")
HTML = ("Content-Type", "text/html; charset=UTF-8")
NO_STORE = ("Cache-Control", "no-cache, no-store, must-revalidate")
PAGE = b"<!DOCTYPE html>\n<html><head><title>Nextcloud</title></head><body>%s</body></html>\n"
APACHE_NOT_FOUND = (
    b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">\n'
    b"<html><head>\n<title>404 Not Found</title>\n</head><body>\n<h1>Not Found</h1>\n"
    b"<p>The requested URL was not found on this server.</p>\n</body></html>\n"
)


@dataclass(frozen=True, slots=True)
class Record:
    """One request as the server saw it.

    `path` is decoded, without query; header names are in lower case; `status` is None where no answer was begun;
    `peer` is the client's port, one for each connection; `time` is time.monotonic() at its arrival, in seconds.
    """

    method: str
    path: str
    headers: dict[str, str]
    status: int | None
    peer: int
    time: float


class Log:
    """What was asked, in the order of the answers. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """Note a request."""
        with self._lock:
            self._records.append(record)

    def all(self) -> list[Record]:
        """All requests up to now."""
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._records.clear()


class Doorkeeper:
    """Knows the password, and who tried too many wrong ones."""

    def __init__(self, user: str, password: str, clock: Callable[[], float]) -> None:
        self.user = user
        self.password = password
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, list[float]] = {}

    def is_throttled(self, address: str) -> bool:
        """Whether too many wrong passwords came from an address; then the right one does not help."""
        since = self._clock() - FAILURES_COUNT_FOR
        with self._lock:
            self._failures[address] = [when for when in self._failures.get(address, ()) if when > since]
            return len(self._failures[address]) >= FAILURES_ALLOWED

    def delay(self, address: str) -> int:
        """Milliseconds for which Nextcloud says it would hold an answer up."""
        with self._lock:
            failures = len(self._failures.get(address, ()))
        return min(LONGEST_DELAY, 100 * 2**failures) if failures else 0

    def admits(self, address: str, user: str, password: str) -> bool:
        """Whether this is the account's login; a right one lets earlier wrong ones be forgotten."""
        right = (user, password) == (self.user, self.password)
        with self._lock:
            if right:
                self._failures.pop(address, None)
            else:
                self._failures.setdefault(address, []).append(self._clock())
        return right

    def forgive(self) -> None:
        """Forget all wrong passwords."""
        with self._lock:
            self._failures.clear()


class Front:
    """The WSGI application that the web server calls."""

    def __init__(self, webdav: App, doorkeeper: Doorkeeper, user_id: str, base_path: str) -> None:
        self.webdav = webdav
        self.doorkeeper = doorkeeper
        self.user_id = user_id
        self.base_path = base_path
        self.log = Log()
        self.latency = 0.0
        self.maintenance = False

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        arrived = time.monotonic()
        raw = urlsplit(environ["REQUEST_URI"]).path if "://" in environ["REQUEST_URI"] else environ["REQUEST_URI"]
        path = _decode(raw.split("?")[0])
        begun: list[int] = []

        def log(status: int | None) -> None:
            headers = {key[5:].lower().replace("_", "-"): value for key, value in environ.items() if key[:5] == "HTTP_"}
            headers |= {key.lower().replace("_", "-"): environ[key] for key in CONTENT_KEYS if key in environ}
            peer = int(environ["REMOTE_PORT"])
            self.log.add(Record(environ["REQUEST_METHOD"], path, headers, status, peer, arrived))

        def begin(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            begun.append(int(status[:3]))
            log(begun[0])
            if begun[0] in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
                # WsgiDAV closes the connection if there is no length, HTTP wants none here.
                headers = [header for header in headers if header[0] != "Content-Length"]
            return start_response(status, headers, exc_info)

        if self.latency:
            time.sleep(self.latency)
        try:
            yield from self._route(environ, begin, raw, path)
        except SabreError as refusal:
            yield from refusal.respond(environ, begin)
        except Exception as error:
            if begun:
                raise
            # As PHP does; a hung-up connection would not tell what is wrong with the sandbox.
            failure = SabreError(HTTPStatus.INTERNAL_SERVER_ERROR, type(error).__name__, str(error))
            yield from failure.respond(environ, begin)
        finally:
            if not begun:
                log(None)

    def _route(self, environ: Environ, start_response: StartResponse, raw: str, path: str) -> Body:
        inside = path.removeprefix(self.base_path)
        known = path == self.base_path or path.startswith(self.base_path + "/")
        if not known or "%2f" in raw.lower() or "\0" in path:
            headers = [("Content-Type", "text/html; charset=iso-8859-1")]
            return answer(environ, start_response, HTTPStatus.NOT_FOUND, headers, APACHE_NOT_FOUND)
        if inside == "/status.php":
            return self._status(environ, start_response)
        if inside.startswith(("/ocs/v1.php/", "/ocs/v2.php/")):
            return self._ocs(environ, start_response, inside)
        if inside.startswith(("/remote.php/dav", "/remote.php/webdav")):
            return self._webdav(environ, start_response, inside)
        return self._page(environ, start_response, inside)

    def _status(self, environ: Environ, start_response: StartResponse) -> Body:
        status = {
            "installed": True,
            "maintenance": self.maintenance,
            "needsDbUpgrade": False,
            "version": "32.0.1.2",
            "versionstring": "32.0.1",
            "edition": "",
            "productname": "Nextcloud",
            "extendedSupport": False,
        }
        headers = [("Access-Control-Allow-Origin", "*"), ("Content-Type", "application/json")]
        return answer(environ, start_response, HTTPStatus.OK, headers, _json(status))

    def _page(self, environ: Environ, start_response: StartResponse, path: str) -> Body:
        if self.maintenance:
            headers = [("X-Nextcloud-Maintenance-Mode", "1"), ("Retry-After", "120"), ("Connection", "close"), HTML]
            page = PAGE % b"Maintenance mode"
            return answer(environ, start_response, HTTPStatus.SERVICE_UNAVAILABLE, headers, page)
        if environ["REQUEST_METHOD"] == "PROPFIND":
            return answer(environ, start_response, HTTPStatus.METHOD_NOT_ALLOWED, [HTML])
        if path in ("", "/", "/index.php"):
            headers = [("Location", f"http://{environ['HTTP_HOST']}{self.base_path}/index.php/login"), HTML]
            return answer(environ, start_response, HTTPStatus.FOUND, headers)
        status = HTTPStatus.OK if path == "/index.php/login" else HTTPStatus.NOT_FOUND
        return answer(environ, start_response, status, [HTML], PAGE % b"Log in")

    def _ocs(self, environ: Environ, start_response: StartResponse, path: str) -> Body:
        reply = _Ocs(environ, start_response, new="/v2.php/" in path)
        if self.maintenance:
            headers = [("X-Nextcloud-Maintenance-Mode", "1"), ("Connection", "close")]
            return reply.failure(503, HTTPStatus.SERVICE_UNAVAILABLE, "Service unavailable", headers)
        called = path.partition(".php")[2]
        login = _login(environ)
        if login is None and called == "/cloud/capabilities":
            return self._capabilities(environ, reply, {}, [])
        address = environ["REMOTE_ADDR"]
        if called != "/cloud/capabilities" and self.doorkeeper.is_throttled(address):
            return reply.failure(429, HTTPStatus.TOO_MANY_REQUESTS, "Reached maximum delay", [])
        if login is None or not self.doorkeeper.admits(address, *login):
            headers = [("WWW-Authenticate", 'Basic realm="Authorisation Required"')]
            return reply.failure(997, HTTPStatus.UNAUTHORIZED, "Unauthorised", headers)
        user = [("X-User-Id", self.user_id)]
        if "HTTP_OCS_APIREQUEST" not in environ:
            body = _json({"message": "CSRF check failed"})
            return answer(environ, start_response, HTTPStatus.PRECONDITION_FAILED, [NO_STORE, *user, JSON], body)
        if called == "/cloud/capabilities":
            return self._capabilities(environ, reply, CAPABILITIES, user)
        if called == "/cloud/user":
            name = self.user_id.title()
            account = {"enabled": True, "id": self.user_id, "displayname": name, "display-name": name}
            return reply.data(account, user)
        return reply.failure(998, HTTPStatus.NOT_FOUND, "Invalid query, please check the syntax.", [])

    def _capabilities(
        self, environ: Environ, reply: "_Ocs", known: dict[str, Any], headers: list[tuple[str, str]]
    ) -> Body:
        brute_force = {"delay": self.doorkeeper.delay(environ["REMOTE_ADDR"]), "allow-listed": False}
        data = {"version": VERSION, "capabilities": known | {"bruteforce": brute_force}}
        etag = hashlib.md5(_json(data)).hexdigest()  # noqa: S324
        return reply.data(data, [*headers, ("ETag", f'"{etag}"')])

    def _webdav(self, environ: Environ, start_response: StartResponse, path: str) -> Body:
        if self.maintenance:
            exception = r"OCA\DAV\Exception\ServerMaintenanceMode"
            raise SabreError(HTTPStatus.SERVICE_UNAVAILABLE, exception, "System is in maintenance mode.")
        self._admit(environ)
        names = path.split("/")
        if ".." in names or "." in names:
            first = next(index for index, name in enumerate(names) if name in (".", ".."))
            raise no_such_file("/" + "/".join(names[5 : first + 1]))
        environ["SCRIPT_NAME"] = self.base_path
        environ["PATH_INFO"] = path
        environ["wsgidav.auth.user_name"] = self.user_id
        # The web server reads what is left of a body, WsgiDAV's own way of doing so is not needed.
        environ["wsgidav.all_input_read"] = 1
        return self.webdav(environ, start_response)

    def _admit(self, environ: Environ) -> None:
        address = environ["REMOTE_ADDR"]
        if self.doorkeeper.is_throttled(address):
            extra = '  <o:hint xmlns:o="o:">too many requests</o:hint>\n'
            exception = r"OCA\DAV\Connector\Sabre\Exception\TooManyRequests"
            raise SabreError(HTTPStatus.TOO_MANY_REQUESTS, exception, "", extra=extra)
        login = _login(environ)
        if login and self.doorkeeper.admits(address, *login):
            return
        message = REFUSED.format(WRONG_PASSWORD if login else NO_HEADER)
        realm = 'Basic realm="Nextcloud", charset="UTF-8"'
        if environ.get("HTTP_X_REQUESTED_WITH") == "XMLHttpRequest":
            message, realm = "Cannot authenticate over ajax calls", 'DummyBasic realm="Nextcloud"'
        headers = [("WWW-Authenticate", realm)]
        raise SabreError(HTTPStatus.UNAUTHORIZED, "NotAuthenticated", message, headers=headers)


CONTENT_KEYS = ("CONTENT_LENGTH", "CONTENT_TYPE")


class _Ocs:
    """Answers of Nextcloud's own interface, in its older or newer form."""

    def __init__(self, environ: Environ, start_response: StartResponse, *, new: bool) -> None:
        self._environ = environ
        self._start_response = start_response
        self._new = new

    def data(self, data: Any, headers: list[tuple[str, str]]) -> Body:
        return self._answer("ok", 200 if self._new else 100, "OK", data, HTTPStatus.OK, headers)

    def failure(self, code: int, status: int, message: str, headers: list[tuple[str, str]]) -> Body:
        return self._answer("failure", code, message, [], status, headers)

    def _answer(
        self, word: str, code: int, message: str, data: Any, status: int, headers: list[tuple[str, str]]
    ) -> Body:
        meta = {"status": word, "statuscode": code, "message": message}
        if not self._new:
            meta |= {"totalitems": "", "itemsperpage": ""}
        body = _json({"ocs": {"meta": meta, "data": data}})
        return answer(self._environ, self._start_response, status, [NO_STORE, *headers, JSON], body)


def _decode(raw: str) -> str:
    """A path from a request line; what is not UTF-8 is taken for Latin-1, as Nextcloud does."""
    octets = unquote_to_bytes(raw.encode("latin-1"))
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _login(environ: Environ) -> tuple[str, str] | None:
    scheme, _, encoded = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded).decode().partition(":")
    except ValueError:
        return None
    return user, password


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
