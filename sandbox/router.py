"""The entry point: logging, latency, maintenance mode, passwords, and the addresses that are not WebDAV."""

import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from sandbox.auth import Auth, login_of
from sandbox.log import Log, Record
from sandbox.ocs import Ocs
from sandbox.resources import Account
from sandbox.sabre import SabreError, no_such_file
from sandbox.wsgi import HTML, App, Body, Environ, Headers, StartResponse, answer, json_bytes

NOT_AUTHENTICATED = (
    "No public access to this resource., AppAPIAuth has not passed, This request is not for a federated calendar, {0}, "
    "No 'Authorization: Bearer' header found. Either the client didn't send one, or the server is mis-configured, {0}"
)
NO_HEADER = "No 'Authorization: Basic' header found. Either the client didn't send one, or the server is misconfigured"
WRONG_PASSWORD = "Username or password was incorrect"  # noqa: S105 -- a message
PAGE = b"<!DOCTYPE html>\n<html><head><title>Nextcloud</title></head><body>%s</body></html>\n"
APACHE_NOT_FOUND = (
    b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">\n'
    b"<html><head>\n<title>404 Not Found</title>\n</head><body>\n<h1>Not Found</h1>\n"
    b"<p>The requested URL was not found on this server.</p>\n</body></html>\n"
)


class Router:
    """The WSGI application that the web server calls."""

    def __init__(self, webdav: App, auth: Auth, account: Account) -> None:
        self.webdav = webdav
        self.auth = auth
        self.user_id = account.user_id
        self.base_path = account.base_path
        self._ocs = Ocs(auth, account)
        self.log = Log()
        self.latency = 0.0
        self.maintenance = False

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        """Answer one request, and log it once."""
        arrived = time.monotonic()
        raw = urlsplit(environ["REQUEST_URI"]).path if "://" in environ["REQUEST_URI"] else environ["REQUEST_URI"]
        path = _decode(raw.split("?")[0])
        begun: list[int] = []

        def begin(status: str, headers: Headers, exc_info: Any = None) -> Any:
            begun.append(int(status[:3]))
            self.log.add(_record(environ, path, begun[0], arrived))
            if begun[0] in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
                # WsgiDAV closes the connection without a length, but HTTP allows none here.
                headers = [header for header in headers if header[0] != "Content-Length"]
            return start_response(status, headers, exc_info)

        if self.latency:
            time.sleep(self.latency)
        try:
            yield from self._route(environ, begin, raw, path)
        except SabreError as error:
            yield from error.respond(environ, begin)
        except Exception as error:
            if begun:
                raise
            # As PHP does. A closed connection would not show what is wrong with the sandbox.
            failure = SabreError(HTTPStatus.INTERNAL_SERVER_ERROR, type(error).__name__, str(error))
            yield from failure.respond(environ, begin)
        finally:
            if not begun:
                self.log.add(_record(environ, path, None, arrived))

    def _route(self, environ: Environ, start_response: StartResponse, raw: str, path: str) -> Body:
        inside = path.removeprefix(self.base_path)
        known = path == self.base_path or path.startswith(self.base_path + "/")
        if not known or "%2f" in raw.lower() or "\0" in path:
            headers = [("Content-Type", "text/html; charset=iso-8859-1")]
            return answer(environ, start_response, HTTPStatus.NOT_FOUND, headers, APACHE_NOT_FOUND)
        if inside == "/status.php":
            return self._status(environ, start_response)
        if inside.startswith(("/ocs/v1.php/", "/ocs/v2.php/")):
            return self._ocs.respond(environ, start_response, inside, maintenance=self.maintenance)
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
        return answer(environ, start_response, HTTPStatus.OK, headers, json_bytes(status))

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
        # The web server reads the rest of a body itself; WsgiDAV need not.
        environ["wsgidav.all_input_read"] = 1
        return self.webdav(environ, start_response)

    def _admit(self, environ: Environ) -> None:
        address = environ["REMOTE_ADDR"]
        if self.auth.is_throttled(address):
            extra = '  <o:hint xmlns:o="o:">too many requests</o:hint>\n'
            exception = r"OCA\DAV\Connector\Sabre\Exception\TooManyRequests"
            raise SabreError(HTTPStatus.TOO_MANY_REQUESTS, exception, "", extra=extra)
        login = login_of(environ)
        if login and self.auth.admits(address, *login):
            return
        message = NOT_AUTHENTICATED.format(WRONG_PASSWORD if login else NO_HEADER)
        realm = 'Basic realm="Nextcloud", charset="UTF-8"'
        if environ.get("HTTP_X_REQUESTED_WITH") == "XMLHttpRequest":
            message, realm = "Cannot authenticate over ajax calls", 'DummyBasic realm="Nextcloud"'
        headers = [("WWW-Authenticate", realm)]
        raise SabreError(HTTPStatus.UNAUTHORIZED, "NotAuthenticated", message, headers=headers)


def _record(environ: Environ, path: str, status: int | None, arrived: float) -> Record:
    headers = {key[5:].lower().replace("_", "-"): value for key, value in environ.items() if key[:5] == "HTTP_"}
    content = {"content-length": "CONTENT_LENGTH", "content-type": "CONTENT_TYPE"}
    headers |= {name: environ[key] for name, key in content.items() if environ.get(key)}
    return Record(environ["REQUEST_METHOD"], path, headers, status, int(environ["REMOTE_PORT"]), arrived)


def _decode(raw: str) -> str:
    """The decoded path of a request line. What is not UTF-8 is read as Latin-1, as in Nextcloud."""
    octets = unquote_to_bytes(raw.encode("latin-1"))
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")
