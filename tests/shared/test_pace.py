"""When passes are due, and what a failed one means for the next."""

import io

import pytest

from shared import log
from shared.errors import (
    Failure,
    Forbidden,
    Missing,
    NotWebDav,
    ServerAway,
    ServerBusy,
    SettingsWrong,
    Stopped,
    StorageFull,
    VaultAway,
    WrongPassword,
)
from shared.pace import AFTER_WRONG_PASSWORD, LONGEST_BACKOFF, Pace
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


def a_pass(pace: Pace, failure: BaseException | None = None) -> None:
    with pace.one_pass():
        if failure:
            raise failure


def test_passes_start_at_the_frequency(time: FakeTime) -> None:
    starts = []
    pace = Pace(time.stop(), 30, once=False)
    for _ in pace.passes():
        starts.append(time.now)
        if len(starts) == 4:
            break
        time.now += 10
        a_pass(pace)
    assert starts == [1000, 1030, 1060, 1090]


def test_a_long_pass_is_never_overlapped_and_followed_at_once(time: FakeTime) -> None:
    starts = []
    for _ in Pace(time.stop(), 30, once=False).passes():
        starts.append(time.now)
        if len(starts) == 3:
            break
        time.now += 70
    assert starts == [1000, 1070, 1140]


def test_once_is_one_pass(time: FakeTime) -> None:
    assert len(list(Pace(time.stop(), 30, once=True).passes())) == 1
    assert time.waited == []


def test_a_stop_ends_the_passes(time: FakeTime) -> None:
    stop = time.stop()
    passes = Pace(stop, 30, once=False).passes()
    next(passes)
    stop.request()
    assert list(passes) == []
    assert list(Pace(stop, 30, once=False).passes()) == []


def test_pauses_grow_while_passes_fail_and_shrink_when_they_work(time: FakeTime) -> None:
    pace = Pace(time.stop(), 30, once=False)
    pauses: list[float] = []
    passes = pace.passes()
    for number in range(14):
        next(passes)
        a_pass(pace, ServerAway("away") if number < 12 else None)
    pauses = time.waited
    assert pauses[0] == pytest.approx(30, rel=0.21)
    assert all(30 <= pause <= LONGEST_BACKOFF * 1.2 for pause in pauses[:12])
    assert pauses[2] > 90
    assert min(pauses[5:12]) >= LONGEST_BACKOFF * 0.8
    assert pauses[12] == 30
    # Jittered, so that several daemons do not come back together.
    assert len(set(pauses[5:12])) > 1


def test_what_lasts_is_said_once_and_its_end_too(time: FakeTime, said: io.StringIO) -> None:
    pace = Pace(time.stop(), 30, once=False)
    for _ in range(3):
        a_pass(pace, ServerAway("The server is away"))
    a_pass(pace, StorageFull("The storage is full"))
    a_pass(pace)
    a_pass(pace)
    text = said.getvalue()
    assert text.count("The server is away") == 1
    assert text.count("The storage is full") == 1
    assert text.count("can be reached again") == 1


@pytest.mark.parametrize("failure", [Missing("x"), NotWebDav("x"), WrongPassword("x"), VaultAway("x")])
def test_what_is_hopeless_at_the_start_ends_the_daemon_and_later_does_not(time: FakeTime, failure: Failure) -> None:
    with pytest.raises(type(failure)):
        a_pass(Pace(time.stop(), 30, once=False), failure)
    pace = Pace(time.stop(), 30, once=False)
    a_pass(pace)
    a_pass(pace, failure)


@pytest.mark.parametrize("failure", [ServerAway("x"), ServerBusy("x"), StorageFull("x")])
def test_what_may_pass_does_not_end_the_daemon(time: FakeTime, failure: Failure) -> None:
    pace = Pace(time.stop(), 30, once=False)
    a_pass(pace, failure)
    assert pace.exit_status == 0


def test_settings_that_are_wrong_always_end_it(time: FakeTime) -> None:
    pace = Pace(time.stop(), 30, once=False)
    a_pass(pace)
    with pytest.raises(SettingsWrong):
        a_pass(pace, SettingsWrong("x"))


def test_once_ends_with_one_where_the_pass_or_a_picture_failed(time: FakeTime) -> None:
    pace = Pace(time.stop(), 30, once=True)
    a_pass(pace, ServerAway("x"))
    assert pace.exit_status == 1
    pace = Pace(time.stop(), 30, once=True)
    with pace.one_pass():
        pace.judge([Forbidden("one picture")])
    assert pace.exit_status == 1


def test_the_gravest_of_a_pass_is_what_counts(time: FakeTime) -> None:
    pace = Pace(time.stop(), 30, once=False)
    with pytest.raises(StorageFull):
        pace.judge([Forbidden("one picture"), StorageFull("all")])
    pace.judge([Forbidden("one picture")])
    pace.judge([])
    assert pace.exit_status == 0


def test_a_stop_within_a_pass_is_no_failure(time: FakeTime) -> None:
    pace = Pace(time.stop(), 30, once=True)
    a_pass(pace, Stopped())
    assert pace.exit_status == 0


def test_a_refused_password_is_left_alone_until_it_changes_or_long_after(time: FakeTime, said: io.StringIO) -> None:
    pace = Pace(time.stop(), 30, once=False)
    assert pace.may_ask("account")
    a_pass(pace)
    assert pace.may_ask("account")
    a_pass(pace, WrongPassword("refused"))
    asked = []
    until = time.now + HALF_AN_HOUR
    while time.now < until:
        asked.append(pace.may_ask("account"))
        a_pass(pace)
        time.now += 30
    assert not any(asked)
    # Passes that asked nothing do not say that all is well.
    assert "can be reached again" not in said.getvalue()
    assert pace.may_ask("account with another password")
    time.now += AFTER_WRONG_PASSWORD
    assert pace.may_ask("account")
