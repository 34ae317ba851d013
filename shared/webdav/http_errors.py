"""What an answer means that is not the one hoped for: the one mapping from HTTP to `shared.errors`."""

import urllib.parse
from collections.abc import Mapping

from shared.errors import (
    Failure,
    Forbidden,
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


def error_of(status: int, headers: Mapping[str, str], what: str) -> Failure:
    """The error that a status of 400 and more stands for.

    Args:
        status: the HTTP status.
        headers: of the answer; only Retry-After in seconds is looked at.
        what: the request, for the message.
    """
    said = f"{what} is answered with status {status}"
    match status:
        case 401:
            return Unauthorized(
                f"The image server refuses the user name or password (status 401 to {what})",
                "Check webdav/username and webdav/password in Vault; an account with single sign-on or a second factor"
                " needs an app password.",
            )
        case 403:
            return Forbidden(said, "The account lacks a right here, or the server does not take the name.")
        case 404:
            return NotFound(said)
        case 409:
            return ParentNotFound(said, "The folder it should go into is not there.")
        case 412:
            return PreconditionFailed(said)
        case 507:
            return StorageFull(said, "The storage of the account is full: make room, then the next poll goes on.")
        case 408 | 423 | 425 | 429:
            return ServerUnavailable(said, retry_after=_seconds(headers.get("Retry-After")))
        case _ if status >= 500:
            return ServerUnavailable(said, retry_after=_seconds(headers.get("Retry-After")))
        case _:
            return NotAccepted(said)


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after is not None and retry_after.strip().isdecimal() else None


def not_webdav(status: int, headers: Mapping[str, str], what: str) -> NotWebDav:
    """An answer that no WebDAV server gives to this request."""
    kind = headers.get("Content-Type", "no type").partition(";")[0]
    return NotWebDav(
        f"{what} is answered with status {status} and {kind}, not as by WebDAV",
        "Is webdav/url the address of a WebDAV folder, and not of a login page?",
    )


def redirected(host: str, location: str) -> NotWebDav:
    """A redirect; none is followed, since the password would go along."""
    try:
        where = urllib.parse.urlsplit(location)
        target = f"{where.scheme}://{where.hostname}{where.path}"
    except ValueError:
        target = "something that is no address"
    return NotWebDav(
        f"{host} answers with a redirect to {target}",
        "Put the address of the WebDAV folder itself into webdav/url.",
    )


def untrusted(host: str) -> NotWebDav:
    """A certificate that nobody vouches for."""
    return NotWebDav(
        f"The certificate of {host} is not trusted",
        "Name the file with its certificate authority in WEBDAV_CACERT.",
    )


def away(host: str, how: str) -> ServerUnreachable:
    """No connection, or one that broke; `how` completes the sentence that begins with the host."""
    return ServerUnreachable(f"{host} {how}", "Is the server running, and the address right?")
