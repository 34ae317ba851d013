"""MOVEs whose outcome is verified before anything is concluded from it.

An answer other than one's own 201 proves nothing: a MOVE whose answer was lost may have worked, and may still work
later; a repeated one is then answered 404 or 412 (RFC 4918, 9.9.4), so is a MOVE that lost a race. So the server is
asked where the files are, and the result is one of four outcomes.
"""

import contextlib
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from enum import Enum

from shared.errors import ErrorPolicy, Failure, Locked, PreconditionFailed
from shared.retry import RetryPolicy
from shared.webdav.store import Href, Store


class Outcome(Enum):
    """What became of a MOVE."""

    MOVED = "moved"
    SOURCE_GONE = "source gone"  # another process moved it, or our own attempt did and its answer was lost
    SOURCE_CHANGED = "source changed"  # the user has written another version, which stays where it is
    TARGET_TAKEN = "target taken"


class OutcomeUnknown(Failure):
    """A MOVE may or may not have taken effect, or may still do so: nothing may be deleted; a later poll checks."""


class MovesRejected(Failure):
    """The server rejects every MOVE, so nothing can be published."""

    policy = ErrorPolicy.DEFER

    def __init__(self, message: str) -> None:
        super().__init__(
            f"The server does not move files ({message})",
            "Ask the administrator to allow MOVE. A reverse proxy must rewrite the Destination header to the address"
            " that the server itself uses.",
        )


type Resolve = Callable[[Failure, bool], Outcome | None]
"""Asks the server what became of a failed MOVE; the second argument: whether every attempt got a final answer."""


class VerifiedMove:
    """One MOVE, repeated until its outcome is known.

    Args:
        move: sends it.
        resolve: determines the outcome after a failure; None if it cannot.
    """

    def __init__(self, move: Callable[[], None], resolve: Resolve) -> None:
        self._move = move
        self._resolve = resolve
        # False once an attempt went unanswered: it may still take effect at any time.
        self._all_answered = True

    def run(self, retry: RetryPolicy) -> Outcome:
        """Send it until its outcome is known.

        Raises:
            OutcomeUnknown: an unanswered attempt may still take effect.
            Failure: the server rejected the first attempt for good.
        """
        try:
            return retry(self._attempt)
        except Failure as error:
            if self._all_answered:
                raise
            raise OutcomeUnknown(f"Whether an image was moved is not known yet ({error.message})") from error

    def _attempt(self) -> Outcome:
        try:
            self._move()
        except Failure as error:
            answered, self._all_answered = self._all_answered, False
            # If the check itself fails, the outcome stays unknown.
            outcome = self._resolve(error, answered)
            if outcome is not None:
                return outcome
            self._all_answered = answered and (error.policy is not ErrorPolicy.RETRY or isinstance(error, Locked))
            raise
        return Outcome.MOVED


def move_own(store: Store, retry: RetryPolicy, source: Href, target: Href) -> Outcome:
    """Move a file that only scalers touch, never over another.

    Raises:
        OutcomeUnknown, Failure: as `VerifiedMove.run`.
    """

    def resolve(error: Failure, all_answered: bool) -> Outcome | None:
        if store.stat(source) is None:
            return Outcome.SOURCE_GONE
        if not all_answered or not isinstance(error, PreconditionFailed):
            return None
        if store.stat(target) is not None:
            return Outcome.TARGET_TAKEN
        # Another name would not help, and there is no last one to try.
        raise OutcomeUnknown(f"{error.message}, though the name is free") from error

    return VerifiedMove(lambda: store.move(source, target), resolve).run(retry)


def move_numbered(
    store: Store,
    retry: RetryPolicy,
    source: Href,
    *,
    folder: Href,
    name: Callable[[int], str],
    lock: "NameLock",
) -> str | None:
    """Move one of our files to the first free of its numbered names; return that name, None if the source is gone."""
    number = 1
    while True:
        with lock.hold(name(number)):
            outcome = move_own(store, retry, source, inside(folder, name(number)))
        if outcome is not Outcome.TARGET_TAKEN:
            return name(number) if outcome is Outcome.MOVED else None
        number += 1


def inside(folder: Href, name: str) -> Href:
    """The address of a name in a folder."""
    return Href(folder + urllib.parse.quote(name, safe=""))


def parent_and_name(href: Href) -> tuple[Href, str]:
    """The address of the folder that contains something, and its decoded name there."""
    folder, _, quoted = href.rpartition("/")
    return Href(folder + "/"), urllib.parse.unquote(quoted)


class NameLock:
    """Serialises MOVEs to the same name.

    Apache's MOVE with `Overwrite: F` is not atomic: two sources moved onto one name can both be answered 201, and one
    of them is lost.
    """

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._released = threading.Condition()

    @contextlib.contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the name: other threads wait until it is released."""
        with self._released:
            self._released.wait_for(lambda: name not in self._held)
            self._held.add(name)
        try:
            yield
        finally:
            with self._released:
                self._held.discard(name)
                self._released.notify_all()
