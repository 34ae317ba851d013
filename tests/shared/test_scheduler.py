"""When polls are due, and what a failed one means for the next."""

import io

import pytest

from shared import logging as log
from shared.errors import (
    Cancelled,
    Failure,
    Forbidden,
    InvalidSettings,
    NotFound,
    NotWebDav,
    ServerUnavailable,
    ServerUnreachable,
    StorageFull,
    Unauthorized,
    VaultUnavailable,
)
from shared.scheduler import AFTER_UNAUTHORIZED, LONGEST_BACKOFF, PollLoop
from tests.fake_time import FakeTime

HALF_AN_HOUR = 1800.0


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(1000.0)


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("test", "INFO", None, stream)
    return stream


def a_poll(poll_loop: PollLoop, failure: BaseException | None = None) -> None:
    with poll_loop.poll():
        if failure:
            raise failure


def test_passes_start_at_the_frequency(time: FakeTime) -> None:
    starts = []
    poll_loop = PollLoop(time.stop(), 30, once=False)
    for _ in poll_loop.polls():
        starts.append(time.now)
        if len(starts) == 4:
            break
        time.now += 10
        a_poll(poll_loop)
    assert starts == [1000, 1030, 1060, 1090]


def test_a_long_poll_is_never_overlapped_and_followed_at_once(time: FakeTime) -> None:
    starts = []
    for _ in PollLoop(time.stop(), 30, once=False).polls():
        starts.append(time.now)
        if len(starts) == 3:
            break
        time.now += 70
    assert starts == [1000, 1070, 1140]


def test_once_is_one_poll(time: FakeTime) -> None:
    assert len(list(PollLoop(time.stop(), 30, once=True).polls())) == 1
    assert time.waited == []


def test_a_stop_ends_the_passes(time: FakeTime) -> None:
    stop = time.stop()
    polls = PollLoop(stop, 30, once=False).polls()
    next(polls)
    stop.request()
    assert list(polls) == []
    assert list(PollLoop(stop, 30, once=False).polls()) == []


def test_pauses_grow_while_passes_fail_and_shrink_when_they_work(time: FakeTime) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=False)
    pauses: list[float] = []
    polls = poll_loop.polls()
    for number in range(14):
        next(polls)
        a_poll(poll_loop, ServerUnreachable("away") if number < 12 else None)
    pauses = time.waited
    assert pauses[0] == pytest.approx(30, rel=0.21)
    assert all(30 <= pause <= LONGEST_BACKOFF * 1.2 for pause in pauses[:12])
    assert pauses[2] > 90
    assert min(pauses[5:12]) >= LONGEST_BACKOFF * 0.8
    assert pauses[12] == pytest.approx(30)
    # Jittered, so that several daemons do not come back together.
    assert len(set(pauses[5:12])) > 1


def test_what_lasts_is_said_once_and_its_end_too(time: FakeTime, said: io.StringIO) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=False)
    for _ in range(3):
        a_poll(poll_loop, ServerUnreachable("The server is away"))
    a_poll(poll_loop, StorageFull("The storage is full"))
    a_poll(poll_loop)
    a_poll(poll_loop)
    text = said.getvalue()
    assert text.count("The server is away") == 1
    assert text.count("The storage is full") == 1
    assert text.count("can be reached again") == 1


@pytest.mark.parametrize("failure", [NotFound("x"), NotWebDav("x"), Unauthorized("x"), VaultUnavailable("x")])
def test_what_is_hopeless_at_the_start_ends_the_daemon_and_later_does_not(time: FakeTime, failure: Failure) -> None:
    with pytest.raises(type(failure)):
        a_poll(PollLoop(time.stop(), 30, once=False), failure)
    poll_loop = PollLoop(time.stop(), 30, once=False)
    a_poll(poll_loop)
    a_poll(poll_loop, failure)


@pytest.mark.parametrize("failure", [ServerUnreachable("x"), ServerUnavailable("x"), StorageFull("x")])
def test_what_may_poll_does_not_end_the_daemon(time: FakeTime, failure: Failure) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=False)
    a_poll(poll_loop, failure)
    assert poll_loop.exit_status == 0


def test_settings_that_are_wrong_always_end_it(time: FakeTime) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=False)
    a_poll(poll_loop)
    with pytest.raises(InvalidSettings):
        a_poll(poll_loop, InvalidSettings("x"))


def test_once_ends_with_one_where_the_poll_or_an_image_failed(time: FakeTime) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=True)
    a_poll(poll_loop, ServerUnreachable("x"))
    assert poll_loop.exit_status == 1
    poll_loop = PollLoop(time.stop(), 30, once=True)
    with poll_loop.poll():
        poll_loop.record([Forbidden("one image")])
    assert poll_loop.exit_status == 1


def test_the_gravest_of_a_poll_is_what_counts(time: FakeTime) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=False)
    with pytest.raises(StorageFull):
        poll_loop.record([Forbidden("one image"), StorageFull("all")])
    poll_loop.record([Forbidden("one image")])
    poll_loop.record([])
    assert poll_loop.exit_status == 0


def test_a_stop_within_a_poll_is_no_failure(time: FakeTime) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=True)
    a_poll(poll_loop, Cancelled())
    assert poll_loop.exit_status == 0


def test_a_rejected_password_is_not_tried_until_it_changes_or_long_after(time: FakeTime, said: io.StringIO) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=False)
    assert poll_loop.auth_allowed("account")
    a_poll(poll_loop)
    assert poll_loop.auth_allowed("account")
    a_poll(poll_loop, Unauthorized("rejected"))
    asked = []
    until = time.now + HALF_AN_HOUR
    while time.now < until:
        asked.append(poll_loop.auth_allowed("account"))
        a_poll(poll_loop)
        time.now += 30
    assert not any(asked)
    # Polls that asked nothing do not say that all is well.
    assert "can be reached again" not in said.getvalue()
    assert poll_loop.auth_allowed("account with another password")
    time.now += AFTER_UNAUTHORIZED
    assert poll_loop.auth_allowed("account")


@pytest.mark.parametrize("error", [ValueError("x\ny"), MemoryError(), RecursionError("deep"), AssertionError()])
def test_what_nobody_foresaw_does_not_end_the_daemon_and_is_said_once(
    time: FakeTime, said: io.StringIO, error: Exception
) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=False)
    polls = poll_loop.polls()
    for number in range(4):
        next(polls)
        a_poll(poll_loop, error if number < 3 else None)
    next(polls)
    assert said.getvalue().count("Internal error") == 1
    assert said.getvalue().count("Traceback") == 1
    assert type(error).__name__ in said.getvalue()
    # With growing pauses, as for any failure.
    assert time.waited[2] > 90
    assert time.waited[3] == pytest.approx(30)
    assert poll_loop.exit_status == 0


def test_once_tells_by_its_status_that_something_unforeseen_happened(time: FakeTime, said: io.StringIO) -> None:
    poll_loop = PollLoop(time.stop(), 30, once=True)
    for _ in poll_loop.polls():
        a_poll(poll_loop, ValueError("x"))
    assert poll_loop.exit_status == 1
    assert "Traceback" in said.getvalue()
