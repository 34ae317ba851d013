"""Every way the world outside can fail, as errors that say what happened, what follows, and what to do about it."""

from enum import Enum


class ErrorPolicy(Enum):
    """What a daemon does after a failure."""

    RETRY = "again"  # worth another try after a pause
    SKIP = "leave"  # this one image stays where it is; the others go on
    DEFER = "next time"  # nothing more can be done now; the next poll tries again
    AUTH = "credentials"  # stop asking until the password changes
    FATAL = "cannot start"  # the user has to act first


class Failure(Exception):
    """Something failed outside of this program.

    Args:
        what: what happened and where, without a secret and without a full stop at the end.
        remedy: what the user does next, as a sentence; empty where waiting is all there is to do.
    """

    policy = ErrorPolicy.RETRY

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.message = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class Cancelled(Exception):
    """The daemon was asked to stop while it waited or worked."""


# --- Settings and Vault ---------------------------------------------------------------------------------------------


class InvalidSettings(Failure):
    """Settings are missing or make no sense; the text names every one with its path in Vault."""

    policy = ErrorPolicy.FATAL


class VaultUnavailable(Failure):
    """Vault does not answer, is sealed, or fails inside."""


class VaultForbidden(Failure):
    """Vault answers and says no: wrong token, no right, no such secret."""

    policy = ErrorPolicy.FATAL


# --- The image server ---------------------------------------------------------------------------------------------


class ServerUnreachable(Failure):
    """No connection, or one that broke: whether the request took effect is unknown."""


class ServerUnavailable(Failure):
    """408, 423, 429 or 5xx.

    Args:
        retry_after: seconds the server asked to wait, None where it did not say.
    """

    def __init__(self, what: str, hint: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(what, hint)
        self.retry_after = retry_after


class Unauthorized(Failure):
    """401."""

    policy = ErrorPolicy.AUTH


class Forbidden(Failure):
    """403: not allowed, or a name the server does not take."""

    policy = ErrorPolicy.SKIP


class NotAccepted(Failure):
    """400, 413 or another 4xx about this one request."""

    policy = ErrorPolicy.SKIP


class NotFound(Failure):
    """404: nothing lies at that path."""

    policy = ErrorPolicy.SKIP


class ParentNotFound(Failure):
    """409: the folder that it should go into is not there."""

    policy = ErrorPolicy.SKIP


class PreconditionFailed(Failure):
    """412: a condition did not hold: another version lies there, or the name is taken."""

    policy = ErrorPolicy.SKIP


class IntegrityError(Failure):
    """What arrived is not what was sent: wrong length, wrong hash, or another version."""


class StorageFull(Failure):
    """507: the quota is used up."""

    policy = ErrorPolicy.DEFER


class LocalIOError(Failure):
    """A file of our own cannot be written."""

    policy = ErrorPolicy.DEFER


class NotWebDav(Failure):
    """An answer that no WebDAV server gives: a login page, a redirect, broken XML."""

    policy = ErrorPolicy.DEFER


class TruncatedListing(NotWebDav):
    """A listing that went wrong halfway, as rclone's does when a file is moved out of the folder meanwhile."""

    policy = ErrorPolicy.RETRY
