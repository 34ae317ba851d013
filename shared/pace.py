"""When the next pass is due, and what a failed one means for it: what the loops of both daemons need."""

import contextlib
import random
from collections.abc import Hashable, Iterator, Sequence

from loguru import logger

from shared.errors import Failure, Missing, NotWebDav, Policy, ServerAway, Stopped, VaultAway
from shared.stop import Stop

LONGEST_BACKOFF = 300.0
# Nextcloud shuts an address out after 11 wrong passwords within 30 minutes, and ten threads may have asked at once.
AFTER_WRONG_PASSWORD = 1860.0


class Pace:
    """The passes of a daemon: never two at once, at the frequency, slower while they fail.

    Args:
        stop: ends the passes.
        frequency: seconds from the start of one pass to the start of the next.
        once: one pass only.
    """

    def __init__(self, stop: Stop, frequency: float, *, once: bool) -> None:
        self._stop = stop
        self._frequency = frequency
        self._once = once
        self._failed_in_a_row = 0
        self._succeeded = False
        self._said = ""
        self._account: Hashable = None
        self._refused: Hashable = object()
        self._ask_again_at = 0.0
        self.exit_status = 0

    def passes(self) -> Iterator[None]:
        """One value for each pass that is due."""
        while not self._stop.requested:
            started = self._stop.clock()
            yield
            if self._once:
                return
            pause = self._frequency
            if self._failed_in_a_row:
                growing = self._frequency * 2.0 ** min(self._failed_in_a_row - 1, 10)
                pause = max(pause, min(growing, LONGEST_BACKOFF) * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            self._stop.pause(started + pause - self._stop.clock())

    @contextlib.contextmanager
    def one_pass(self) -> Iterator[None]:
        """Let a pass fail without the daemon failing, and say so once.

        Raises:
            Failure: at the first pass, where the user has to act before anything can work; always, where waiting
                does not help.
        """
        try:
            yield
        except Stopped:
            pass
        except Failure as failure:
            if failure.policy is Policy.CANNOT_START or (not self._succeeded and _hopeless(failure)):
                raise
            self._failed_in_a_row += 1
            self._note(failure)
        else:
            if self._account == self._refused and self._stop.clock() < self._ask_again_at:
                return
            if self._said:
                logger.info("The pictures can be reached again")
            self._failed_in_a_row, self._said, self._succeeded = 0, "", True

    def judge(self, failures: Sequence[Failure]) -> None:
        """Take in what failed in a pass; each was logged already, but for what made the rest of it senseless.

        Raises:
            Failure: the gravest, if it concerns more than its picture.
        """
        for failure in failures:
            if ends_the_pass(failure):
                raise failure
        if failures and self._once:
            self.exit_status = 1

    def may_ask(self, account: Hashable) -> bool:
        """Whether the server may be asked: not again with a password that it has just refused."""
        self._account = account
        return self._refused != account or self._stop.clock() >= self._ask_again_at

    def _note(self, failure: Failure) -> None:
        """Say what failed, once while it lasts, and let `--once` end with 1."""
        if self._once:
            self.exit_status = 1
        if failure.policy is Policy.CREDENTIALS:
            self._refused, self._ask_again_at = self._account, self._stop.clock() + AFTER_WRONG_PASSWORD
        if str(failure) != self._said:
            logger.error("{}", failure)
            self._said = str(failure)


def ends_the_pass(failure: Failure) -> bool:
    """Whether no other picture would fare better now."""
    return failure.policy not in (Policy.LEAVE, Policy.AGAIN) or isinstance(failure, ServerAway)


def _hopeless(failure: Failure) -> bool:
    return failure.policy is Policy.CREDENTIALS or isinstance(failure, Missing | NotWebDav | VaultAway)
