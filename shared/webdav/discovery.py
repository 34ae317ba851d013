"""What kind of server an address leads to, found out without sending a password."""

import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from shared.config import urls
from shared.errors import NotWebDav
from shared.webdav import http_errors

_TIMEOUT = (10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Server:
    """A server and the folder that all others are relative to.

    Attributes:
        root_url: of the Nextcloud; of the address otherwise.
        url: of the folder.
    """

    root_url: str
    url: str
    is_nextcloud: bool


def discover(address: str, cacert: Path | None) -> Server:
    """Find a Nextcloud at an address, such as one copied from a browser, or a folder of another WebDAV server.

    Args:
        address: as typed; https if it says nothing else.

    Raises:
        ValueError: it is no address.
        Failure: nothing there speaks WebDAV; the message says what does.
    """
    url = urls.normal(_without_query(address if "://" in address else f"https://{address}"))
    for root in _roots(url):
        if _is_nextcloud(root, cacert):
            in_files = "/remote.php/" in url
            return Server(root, url if in_files else f"{root}remote.php/webdav/", is_nextcloud=True)
    _check_webdav(url, cacert)
    return Server(url, url, is_nextcloud=False)


def _without_query(address: str) -> str:
    parts = urllib.parse.urlsplit(address.strip())
    return parts._replace(query="", fragment="").geturl()


def _roots(url: str) -> Iterator[str]:
    """Where a Nextcloud may be: the address up to its web interface or its files, and the root of the host."""
    yield from dict.fromkeys((urls.nextcloud_root(url), urllib.parse.urljoin(url, "/")))


def _is_nextcloud(root: str, cacert: Path | None) -> bool:
    response = _request("GET", f"{root}status.php", cacert)
    try:
        return response.status_code == 200 and "versionstring" in response.json()
    except (requests.exceptions.JSONDecodeError, TypeError):
        return False


def _check_webdav(url: str, cacert: Path | None) -> None:
    response = _request("PROPFIND", url, cacert)
    # Without a login a server answers 401; 403 and 404 are said again, with more reason, once there is one.
    if response.status_code not in (207, 401, 403, 404):
        raise http_errors.not_webdav(response.status_code, response.headers, f"PROPFIND {url}")


def _request(method: str, url: str, cacert: Path | None) -> requests.Response:
    host = urllib.parse.urlsplit(url).netloc
    try:
        response = _send(method, url, cacert)
    except OSError as error:
        if url.startswith("http:") and _speaks_tls(url):
            raise _wants_https(host) from error
        if isinstance(error, requests.exceptions.SSLError) and _speaks_plainly(url):
            raise NotWebDav(f"{host} does not speak https", f"Its address begins with http: http://{host}/") from error
        raise http_errors.transport_error(host, error) from error
    if url.startswith("http:") and (_leads_to_https(response) or (response.status_code == 400 and _speaks_tls(url))):
        raise _wants_https(host)
    return response


def _leads_to_https(response: requests.Response) -> bool:
    return response.is_redirect and response.headers["Location"].startswith("https:")


def _wants_https(host: str) -> NotWebDav:
    return NotWebDav(f"{host} does not take http", f"Its address begins with https: https://{host}/")


def _send(method: str, url: str, cacert: Path | None) -> requests.Response:
    verify = str(cacert) if cacert else True
    headers = {"Depth": "0"}
    return requests.request(method, url, headers=headers, timeout=_TIMEOUT, verify=verify, allow_redirects=False)


def _speaks_tls(url: str) -> bool:
    """Whether TLS is spoken at the port, whoever vouches for the certificate."""
    try:
        _send("GET", "https:" + url.partition(":")[2], None)
    except requests.exceptions.SSLError as error:
        return "CERTIFICATE_VERIFY_FAILED" in str(error)
    except OSError:
        return False
    return True


def _speaks_plainly(url: str) -> bool:
    """Whether HTTP without TLS is spoken at the port."""
    try:
        return _send("GET", "http:" + url.partition(":")[2], None).status_code != 400
    except OSError:
        return False
