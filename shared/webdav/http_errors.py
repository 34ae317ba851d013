"""The mapping from HTTP statuses and transport errors to `shared.errors`."""

import urllib.parse
from collections.abc import Mapping

from shared.errors import (
    Failure,
    Forbidden,
    LocalIOError,
    Locked,
    NotAccepted,
    NotFound,
    NotWebDav,
    ParentNotFound,
    PreconditionFailed,
    ServerUnavailable,
    ServerUnreachable,
    StorageFull,
    Unauthorized,
)


def error_of(status: int, headers: Mapping[str, str], request: str) -> Failure:
    """The error that a status of 400 or more stands for (RFC 9110, 15.5 and 15.6; RFC 4918, 11).

    Args:
        status: the HTTP status.
        headers: of the response; only Retry-After in seconds is read.
        request: the request, for the message.
    """
    message = f"{request} was answered with status {status}"
    match status:
        case 401:
            return Unauthorized(
                f"The image server rejected the user name or password (status 401 to {request})",
                "Check webdav/username and webdav/password in Vault; an account with single sign-on or a second factor"
                " needs an app password.",
            )
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
        case 423:
            return Locked(message, "Somebody is editing the file; it is tried again when it is unlocked.")
        case 501 | 505:
            return NotAccepted(message, "The server, or a proxy in front of it, does not support this request.")
        case 408 | 425 | 429:
            return ServerUnavailable(message, retry_after=_seconds(headers.get("Retry-After")))
        case _ if status >= 500:
            return ServerUnavailable(message, retry_after=_seconds(headers.get("Retry-After")))
        case _:
            return NotAccepted(message)


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.strip().isdecimal() else None


def not_webdav(status: int, headers: Mapping[str, str], request: str) -> NotWebDav:
    """An answer that no WebDAV server gives to this request."""
    kind = headers.get("Content-Type", "no type").partition(";")[0]
    return NotWebDav(
        f"{request} was answered with status {status} and {kind}, which is not WebDAV",
        "Is webdav/url the address of a WebDAV folder, and not of a login page?",
    )


def redirected(host: str, location: str) -> NotWebDav:
    """A redirect; none is followed, since the password would be sent along."""
    try:
        where = urllib.parse.urlsplit(location)
        target = f"{where.scheme}://{where.hostname}{where.path}"
    except ValueError:
        target = "an invalid address"
    return NotWebDav(
        f"{host} answers with a redirect to {target}",
        "Put the address of the WebDAV folder itself into webdav/url.",
    )


def transport_error(host: str, error: Exception) -> Failure:
    """The error that an exception of requests or niquests stands for.

    nc_py_api raises those of niquests, which have the same names as those of requests, so they are recognized by name.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    if "RequestException" not in kinds:
        return _local(error)
    if "SSLError" in kinds:
        return NotWebDav(
            f"The certificate of {host} is not trusted",
            "Name the file with its certificate authority in WEBDAV_CACERT.",
        )
    if "Timeout" in kinds:
        return _unreachable(host, "does not answer in time")
    if "NameResolutionError" in text:
        return _unreachable(host, "cannot be found by its name")
    if "[Errno 111]" in text or "refused" in text:
        return _unreachable(host, "refuses connections")
    return _unreachable(host, f"closed the connection ({type(error).__name__})")


def _unreachable(host: str, how: str) -> ServerUnreachable:
    return ServerUnreachable(f"{host} {how}", "Is the server running, and the address right?")


def _local(error: Exception) -> Failure:
    if not isinstance(error, OSError) or error.errno is None:
        # Raised by requests and niquests if a file of certificates is missing.
        return NotWebDav(f"The image server cannot be reached ({error})", "Check WEBDAV_CACERT.")
    return LocalIOError(
        f"A download cannot be written to the local disk ({error.strerror})", "Free some space there, or set TMPDIR."
    )
