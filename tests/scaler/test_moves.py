"""What `VerifiedMove` raises when the server does not tell what became of a MOVE; the rest is tested with servers."""

from collections.abc import Callable

import pytest

from scaler.moves import MovesRejected, Outcome, OutcomeUnknown, VerifiedMove, inside
from shared.errors import Failure, Forbidden, Locked, ServerUnreachable
from shared.retry import RetryPolicy
from shared.webdav.store import Href
from tests.fake_time import FakeTime


def raising(error: Failure) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def outcome(move: Callable[[], None], resolve: Callable[[Failure, bool], Outcome | None]) -> Outcome:
    return VerifiedMove(move, resolve).run(RetryPolicy(FakeTime().stop()))


def test_a_check_that_fails_leaves_the_outcome_unknown() -> None:
    with pytest.raises(OutcomeUnknown, match="not known yet"):
        outcome(raising(Forbidden("no")), raising(Forbidden("not this either")))


def test_a_lock_is_an_answer_however_often_it_is_tried() -> None:
    with pytest.raises(Locked):
        outcome(raising(Locked("locked")), lambda *_: None)


def test_an_attempt_without_an_answer_may_still_take_effect() -> None:
    attempts = iter([ServerUnreachable("cut off"), *[Forbidden("no")] * 9])
    answered: list[bool] = []

    def move() -> None:
        raise next(attempts)

    def resolve(_: Failure, all_answered: bool) -> None:
        answered.append(all_answered)

    with pytest.raises(OutcomeUnknown):
        outcome(move, resolve)
    assert answered == [True, False]


def test_a_slash_in_a_name_is_no_separator() -> None:
    assert inside(Href("/dav/raw/"), "a/b c.jpg") == "/dav/raw/a%2Fb%20c.jpg"


def test_a_server_that_does_not_move_is_named_with_its_answer() -> None:
    assert "The server does not move files (405)" in str(MovesRejected("405"))
