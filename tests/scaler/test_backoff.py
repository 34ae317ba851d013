"""When what has failed is tried again."""

from dataclasses import replace

import pytest

from scaler.backoff import ImageBackoff, is_passing
from scaler.moves import OutcomeUnknown
from shared.backoff import LONGEST, Backoff
from shared.errors import (
    Failure,
    Forbidden,
    IntegrityError,
    Locked,
    NotAccepted,
    NotFound,
    ParentNotFound,
    PreconditionFailed,
    ServerUnavailable,
)
from shared.webdav.store import Entry, Href

ONE, TWO = (
    Entry(name, Href(f"/raw/{name}"), is_folder=False, size=5, etag='"1"', modified=7.0) for name in ("1.jpg", "2.jpg")
)
PASSING = [Locked, ServerUnavailable, OutcomeUnknown, IntegrityError, ParentNotFound]
REJECTED = [Forbidden, NotAccepted, PreconditionFailed, NotFound]


def delays(backoff: Backoff, number: int, first: float = 0.0) -> list[float]:
    """How long it is waited after each failure, to the second."""
    found, now = [], 1000.0
    for _ in range(number):
        backoff.fail(now, first)
        found.append(next(float(delay) for delay in range(5000) if backoff.is_over(now + delay)))
        now += found[-1]
    return found


def test_the_delay_doubles_up_to_an_hour() -> None:
    assert delays(Backoff(), 9) == [0, 60, 120, 240, 480, 960, 1920, LONGEST, LONGEST]


def test_what_was_rejected_waits_an_hour_at_once() -> None:
    assert delays(Backoff(), 3, LONGEST) == [LONGEST] * 3


@pytest.mark.parametrize("kind", [*PASSING, *REJECTED], ids=lambda kind: kind.__name__)
def test_an_image_is_tried_again_in_the_next_poll_or_in_an_hour(kind: type[Failure]) -> None:
    assert is_passing(kind("x")) == (kind in PASSING)
    backoff = ImageBackoff()
    backoff.fail(ONE, kind("x"), 0.0)
    assert (ONE in backoff.due([ONE, TWO], 30.0)) == (kind in PASSING)
    assert backoff.due([ONE, TWO], LONGEST) == (ONE, TWO)


def test_the_others_and_a_changed_image_are_tried_at_once() -> None:
    backoff = ImageBackoff()
    backoff.fail(ONE, Forbidden("x"), 0.0)
    for changes in ({"etag": '"2"'}, {"size": 6}, {"modified": 8.0}):
        changed = replace(ONE, **changes)
        assert backoff.due([ONE, changed, TWO], 1.0) == (changed, TWO)
    backoff.fail(replace(ONE, etag='"2"'), Locked("x"), 1.0)
    assert backoff.due([replace(ONE, etag='"2"')], 1.0)


def test_what_is_gone_is_forgotten() -> None:
    backoff = ImageBackoff()
    backoff.fail(ONE, Forbidden("x"), 0.0)
    backoff.keep_only([ONE])
    assert backoff.due([ONE], 1.0) == ()
    backoff.keep_only([TWO])
    assert backoff.due([ONE], 1.0) == (ONE,)


def test_only_news_is_logged() -> None:
    backoff = ImageBackoff()
    news = [backoff.fail(ONE, Locked(text), 0.0) for text in ("x", "x", "y", "y", "x")]
    assert news == [True, False, True, False, True]
    assert backoff.fail(TWO, Locked("x"), 0.0)
    assert backoff.fail(replace(ONE, etag='"2"'), Locked("x"), 0.0)
