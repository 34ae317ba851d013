"""Every way the world outside can fail, as errors that say what happened, what follows, and what to do about it."""

from enum import Enum


class Policy(Enum):
    """What a daemon does after a failure."""

    AGAIN = "again"  # worth another try after a pause
    LEAVE = "leave"  # this one picture stays where it is; the others go on
    NEXT_TIME = "next time"  # nothing more can be done now; the next pass tries again
    CREDENTIALS = "credentials"  # stop asking until the password changes
    CANNOT_START = "cannot start"  # the user has to act first


class Failure(Exception):
    """Something failed outside of this program.

    Args:
        what: what happened and where, without a secret and without a full stop at the end.
        remedy: what the user does next, as a sentence; empty where waiting is all there is to do.
    """

    policy = Policy.AGAIN

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}" if self.remedy else self.what


class Stopped(Exception):
    """The daemon was asked to stop while it waited or worked."""


# --- Settings and Vault ---------------------------------------------------------------------------------------------


class SettingsWrong(Failure):
    """Settings are missing or make no sense; the text names every one with its path in Vault."""

    policy = Policy.CANNOT_START


class VaultAway(Failure):
    """Vault does not answer, is sealed, or fails inside."""


class VaultRefused(Failure):
    """Vault answers and says no: wrong token, no right, no such secret."""

    policy = Policy.CANNOT_START


# --- The picture server ---------------------------------------------------------------------------------------------


class ServerAway(Failure):
    """No connection, or one that broke: whether the request took effect is unknown."""


class ServerBusy(Failure):
    """408, 423, 429 or 5xx.

    Args:
        retry_after: seconds the server asked to wait, None where it did not say.
    """

    def __init__(self, what: str, remedy: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(what, remedy)
        self.retry_after = retry_after


class WrongPassword(Failure):
    """401."""

    policy = Policy.CREDENTIALS


class Forbidden(Failure):
    """403: not allowed, or a name the server does not take."""

    policy = Policy.LEAVE


class NotAccepted(Failure):
    """400, 413 or another 4xx about this one request."""

    policy = Policy.LEAVE


class Missing(Failure):
    """404: nothing lies at that path."""

    policy = Policy.LEAVE


class ParentMissing(Failure):
    """409: the folder that it should go into is not there."""

    policy = Policy.LEAVE


class Mismatch(Failure):
    """412: a condition did not hold: another version lies there, or the name is taken."""

    policy = Policy.LEAVE


class Corrupted(Failure):
    """What arrived is not what was sent: wrong length, wrong hash, or another version."""


class StorageFull(Failure):
    """507: the quota is used up."""

    policy = Policy.NEXT_TIME


class LocalTrouble(Failure):
    """A file of our own cannot be written."""

    policy = Policy.NEXT_TIME


class NotWebDav(Failure):
    """An answer that no WebDAV server gives: a login page, a redirect, broken XML."""

    policy = Policy.NEXT_TIME


class HalfListing(NotWebDav):
    """A listing that went wrong halfway, as rclone's does when a file is moved out of the folder meanwhile."""

    policy = Policy.AGAIN
