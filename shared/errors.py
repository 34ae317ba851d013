"""Errors from outside the program: what happened, what follows (`ErrorPolicy`), and what the user can do about it.

docs/design.md has a table of them.
"""

from enum import Enum


class ErrorPolicy(Enum):
    """What follows from a failure."""

    RETRY = "retry"  # try again after a pause
    SKIP = "skip"  # the request is not repeated; the poll continues with the other images
    DEFER = "defer"  # end this poll; the next one tries again
    AUTH = "auth"  # send no request until the settings change or half an hour has passed
    FATAL = "fatal"  # the user has to act first


class Failure(Exception):
    """Something failed outside of this program.

    Args:
        message: what happened and where, without a secret and without a full stop.
        hint: what the user can do, as a sentence; empty if there is nothing to do but wait.
    """

    policy = ErrorPolicy.RETRY

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class Cancelled(Exception):
    """The daemon was asked to stop while it waited or worked."""


# --- Settings and Vault ---------------------------------------------------------------------------------------------


class InvalidSettings(Failure):
    """Settings are missing or invalid; the message names each with its path in Vault."""

    policy = ErrorPolicy.FATAL


class VaultUnavailable(Failure):
    """Vault does not answer, is sealed, or reported an internal error."""


class VaultForbidden(Failure):
    """Vault denied access: the token is wrong or lacks a right, or the path does not exist."""

    policy = ErrorPolicy.FATAL


# --- The image server ---------------------------------------------------------------------------------------------


class ServerUnreachable(Failure):
    """No connection, or a broken one: whether the request took effect is unknown."""


class ServerUnavailable(Failure):
    """408, 429 or 5xx.

    Args:
        retry_after: seconds that the server asked to wait; None if it did not say.
        status: of the answer.
    """

    def __init__(
        self, message: str, hint: str = "", *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after
        self.status = status


class Locked(ServerUnavailable):
    """423: the file is locked, for a moment by another request, or for hours by a user who is editing it."""


class Unauthorized(Failure):
    """401."""

    policy = ErrorPolicy.AUTH


class Forbidden(Failure):
    """403: not allowed, or a name that the server does not accept."""

    policy = ErrorPolicy.SKIP


class NotAccepted(Failure):
    """400, 413 or another 4xx about this one request."""

    policy = ErrorPolicy.SKIP


class NotFound(Failure):
    """404: nothing exists at that path."""

    policy = ErrorPolicy.SKIP


class ParentNotFound(Failure):
    """409: the target's folder does not exist."""

    policy = ErrorPolicy.SKIP


class PreconditionFailed(Failure):
    """412: a condition did not hold: there is another version, or the name is taken."""

    policy = ErrorPolicy.SKIP


class IntegrityError(Failure):
    """What arrived differs from what was sent, in length or hash."""


class StorageFull(Failure):
    """507: the quota is used up."""

    policy = ErrorPolicy.DEFER


class LocalIOError(Failure):
    """A local file cannot be written."""

    policy = ErrorPolicy.DEFER


class NotWebDav(Failure):
    """An answer that no WebDAV server gives: a login page, a redirect, broken XML."""

    policy = ErrorPolicy.DEFER


class NotAsked(NotWebDav):
    """TLS or a proxy blocks every request until the user acts."""


class TruncatedListing(NotWebDav):
    """A listing that breaks off, as rclone's does if a file is moved out of the folder during it."""

    policy = ErrorPolicy.RETRY
