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

_ADDRESS = (
    "Is webdav/url the address of a WebDAV folder, and not of a login page? On a Nextcloud it is"
    " https://HOST/remote.php/dav/files/USER/."
)
# What nginx, Apache, Go, cheroot and lighttpd say with status 400 to plain HTTP on a port for TLS.
_WANTS_TLS = (b"to HTTPS port", b"SSL-enabled server port", b"to an HTTPS server", b"only speaks HTTPS", b"SSL/TLS")


def error_of(status: int, headers: Mapping[str, str], request: str, body: bytes = b"") -> Failure:
    """The error that a status of 400 or more stands for (RFC 9110, 15.5 and 15.6; RFC 4918, 11).

    Args:
        status: the HTTP status.
        headers: of the response.
        request: the request, for the message.
        body: the beginning of what the server says about it.
    """
    message = f"{request} was answered with status {status}"
    match status:
        case 400 if any(words in body for words in _WANTS_TLS):
            return NotAsked(
                f"{message}: that port expects TLS",
                "Put https:// instead of http:// into webdav/url, or correct the port.",
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
                retry_after=_seconds(headers.get("Retry-After")),
                status=status,
            )
        case 423:
            return Locked(message, "Somebody is editing the file; it is tried again when it is unlocked.")
        case 501 | 505:
            return NotAccepted(message, "The server, or a proxy in front of it, does not support this request.")
        case _ if status >= 500 or status in (408, 425, 429):
            return ServerUnavailable(message, retry_after=_seconds(headers.get("Retry-After")), status=status)
        case _:
            return NotAccepted(message)


def _unauthorized(request: str, challenge: str) -> Unauthorized:
    schemes = [scheme for scheme in ("Bearer", "Negotiate", "NTLM") if scheme.lower() in challenge.lower()]
    if schemes and not any(known in challenge.lower() for known in ("basic", "digest")):
        return Unauthorized(
            f"The image server takes no user name and password, but {' or '.join(schemes)} (status 401 to {request})",
            "Ask its administrator for an address that takes them, such as one for app passwords.",
        )
    return Unauthorized(
        f"The image server rejected the user name or password (status 401 to {request})",
        "Check webdav/username and webdav/password in Vault. An app password goes only with the user name that was"
        " shown when it was made, which may be neither the e-mail address nor the displayed name; an account with"
        " single sign-on or a second factor needs one.",
    )


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.strip().isdecimal() else None


def not_webdav(status: int, headers: Mapping[str, str], request: str) -> NotWebDav:
    """An answer that no WebDAV server gives to this request."""
    kind = headers.get("Content-Type", "no type").partition(";")[0]
    return NotWebDav(f"{request} was answered with status {status} and {kind}, which is not WebDAV", _ADDRESS)


def redirected(host: str, location: str) -> NotWebDav:
    """A redirect; none is followed, since the password would be sent along.

    Args:
        host: scheme, host and port that were asked.
        location: where the redirect leads.
    """
    hint = "Put the address of the WebDAV folder itself into webdav/url. " + _ADDRESS
    try:
        where = urllib.parse.urlsplit(urllib.parse.urljoin(f"{host}/", location))
        port = f":{where.port}" if where.port else ""
        target = f"{where.scheme}://{where.hostname or ''}{port}{where.path}"
        asked = urllib.parse.urlsplit(host)
        if where.hostname == asked.hostname and (asked.scheme, where.scheme) == ("http", "https"):
            hint = "Put https:// instead of http:// into webdav/url."
        elif where.hostname == asked.hostname and (asked.scheme, where.scheme) == ("https", "http"):
            hint = (
                "It leads away from TLS: the administrator has to tell the server that a proxy ends TLS before it"
                " (`overwriteprotocol` of a Nextcloud)."
            )
    except ValueError:
        target = "an invalid address"
    return NotWebDav(f"{host} answers with a redirect to {target}", hint)


def transport_error(host: str, error: Exception, cacert: Path | None = None, *, reached: bool = False) -> Failure:
    """The error that an exception of requests, urllib3 or niquests stands for.

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
