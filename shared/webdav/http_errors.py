"""The mapping from HTTP statuses and transport errors to `shared.errors`; for both daemons."""

import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from shared.errors import (
    Failure,
    Forbidden,
    LocalIOError,
    Locked,
    NotAccepted,
    NotAsked,
    NotFound,
    NotWebDav,
    ParentNotFound,
    PreconditionFailed,
    ServerUnavailable,
    ServerUnreachable,
    StorageFull,
    Unauthorized,
)
from shared.transport_errors import Peer, TransportProblem, explain, proxy_rejected
from shared.webdav.http_dates import http_time

_ADDRESS = (
    "Is webdav/url the address of a WebDAV folder, and not of a login page? On a Nextcloud it is"
    " https://HOST/remote.php/dav/files/USER/."
)
# What nginx, Apache, Go, cheroot and lighttpd say with status 400 to plain HTTP on a port for TLS.
_WANTS_TLS = (b"to HTTPS port", b"SSL-enabled server port", b"to an HTTPS server", b"only speaks HTTPS", b"SSL/TLS")


def error_of(status: int, headers: Mapping[str, str], request: str, body: bytes = b"") -> Failure:
    """The error for a status of 400 or more (RFC 9110, 15.5 and 15.6; RFC 4918, 11).

    Args:
        status: the HTTP status.
        headers: of the response.
        request: the request, for the message.
        body: the beginning of the server's description of it.
    """
    message = f"{request} was answered with status {status}"
    match status:
        case 400 if any(words in body for words in _WANTS_TLS):
            return NotAsked(
                f"{message}: that port expects TLS",
                "Use https:// instead of http:// in webdav/url, or correct the port.",
            )
        case 401:
            return _unauthorized(request, headers.get("WWW-Authenticate", ""))
        case 403:
            return Forbidden(message, "The account lacks a right here, or the server does not accept the name.")
        case 404:
            return NotFound(message)
        case 409:
            return ParentNotFound(message, "The target's folder does not exist.")
        case 412:
            return PreconditionFailed(message)
        case 507:
            return StorageFull(message, "The account's storage is full: free some space; the next poll continues then.")
        case 503 if headers.get("X-Nextcloud-Maintenance-Mode") == "1" or b"maintenance mode" in body:
            return ServerUnavailable(
                f"{message}: the Nextcloud is in maintenance mode",
                "Wait until its administrator ends that (`occ maintenance:mode --off`); the daemon then continues.",
                retry_after=_retry_after(headers),
                status=status,
            )
        case 423:
            return Locked(message, "Someone is editing the file; it is tried again once it is unlocked.")
        case 501 | 505:
            return NotAccepted(message, "The server, or a proxy in front of it, does not support this request.")
        case _ if status >= 500 or status in (408, 425, 429):
            return ServerUnavailable(message, retry_after=_retry_after(headers), status=status)
        case _:
            return NotAccepted(message)


def _unauthorized(request: str, challenge: str) -> Unauthorized:
    schemes = [scheme for scheme in ("Bearer", "Negotiate", "NTLM") if scheme.lower() in challenge.lower()]
    if schemes and not any(known in challenge.lower() for known in ("basic", "digest")):
        return Unauthorized(
            f"The image server does not accept a user name and password, only {' or '.join(schemes)}"
            f" (status 401 to {request})",
            "Ask its administrator for an address that accepts them, such as one for app passwords.",
        )
    return Unauthorized(
        f"The image server rejected the user name or password (status 401 to {request})",
        "Check webdav/username and webdav/password in Vault. An app password works only with the user name shown"
        " when it was created, which may be neither the e-mail address nor the displayed name; an account with single"
        " sign-on or two-factor authentication needs one.",
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3). A date is compared with the server's own clock."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked)
    until, now = http_time(asked), http_time(headers.get("Date"))
    return None if until is None or now is None else max(until - now, 0.0)


def not_webdav(status: int, headers: Mapping[str, str], request: str) -> NotWebDav:
    """An answer that no WebDAV server gives to this request."""
    kind = headers.get("Content-Type", "no type").partition(";")[0]
    return NotWebDav(f"{request} was answered with status {status} and {kind}, which is not WebDAV", _ADDRESS)


def redirected(host: str, location: str) -> NotWebDav:
    """A redirect; none is followed, since the password would be sent with it.

    Args:
        host: scheme, host and port of the request.
        location: where the redirect leads.
    """
    hint = "Set webdav/url to the address of the WebDAV folder itself. " + _ADDRESS
    try:
        where = urllib.parse.urlsplit(urllib.parse.urljoin(f"{host}/", location))
        port = f":{where.port}" if where.port else ""
        target = f"{where.scheme}://{where.hostname or ''}{port}{where.path}"
        asked = urllib.parse.urlsplit(host)
        if where.hostname == asked.hostname and (asked.scheme, where.scheme) == ("http", "https"):
            hint = "Use https:// instead of http:// in webdav/url."
        elif where.hostname == asked.hostname and (asked.scheme, where.scheme) == ("https", "http"):
            hint = (
                "It leads away from TLS: the administrator must configure the server for the TLS-terminating proxy"
                " (`overwriteprotocol` of a Nextcloud)."
            )
    except ValueError:
        target = "an invalid address"
    return NotWebDav(f"{host} answers with a redirect to {target}", hint)


def transport_error(host: str, error: Exception, cacert: Path | None = None, *, reached: bool = False) -> Failure:
    """The error for an exception of requests, urllib3 or niquests.

    Args:
        host: scheme, host and port.
        cacert: the file that WEBDAV_CACERT names.
        reached: the server has answered before.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    # Those two are what the libraries raise for everything that comes from the network.
    if isinstance(error, OSError) and error.errno is not None and not kinds & {"RequestException", "HTTPError"}:
        return LocalIOError(
            f"A download cannot be written to the local disk ({error.strerror})",
            "Free some space there, or set TMPDIR.",
        )
    return _failure(explain(error, _peer(host, cacert), reached=reached))


def proxy_wants_login(host: str) -> Failure:
    """Status 407, from a proxy."""
    return _failure(proxy_rejected(_peer(host, None)))


def _peer(host: str, cacert: Path | None) -> Peer:
    return Peer(host, "webdav/url in Vault", "WEBDAV_CACERT", cacert)


def _failure(problem: TransportProblem) -> Failure:
    kind = NotAsked if problem.permanent else ServerUnreachable
    return kind(problem.message, problem.hint)
