"""Being asked to stop."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from shared.errors import Cancelled
from shared.shutdown import DEADLINE, StopToken, stop_on_signals
from tests.fake_time import FakeTime


def test_a_pause_lasts_until_its_end_or_a_stop() -> None:
    time = FakeTime(0.0)
    stop = time.stop()
    assert stop.pause(5) is False
    assert time.waited == [5]
    assert stop.pause(0) is False
    assert stop.pause(-1) is False
    stop.request()
    assert stop.pause(0) is True
    assert stop.pause(5) is True
    assert stop.requested


def test_a_real_pause_ends_at_once_when_somebody_asks() -> None:
    stop = StopToken()
    threading.Timer(0.05, stop.request).start()
    assert stop.pause(30) is True


def test_check() -> None:
    stop = StopToken()
    stop.check()
    stop.request()
    with pytest.raises(Cancelled):
        stop.check()


def test_the_time_left_counts_from_the_first_request() -> None:
    time = FakeTime(0.0)
    stop = time.stop()
    time.now = 100
    assert stop.time_left == DEADLINE
    stop.request()
    time.now += 4
    stop.request()
    assert stop.time_left == DEADLINE - 4
    time.now += 100
    assert stop.time_left == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_ask_to_stop_and_are_ignored_afterwards(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    stop = StopToken()
    try:
        with stop_on_signals(stop):
            os.kill(os.getpid(), number)
            assert stop.pause(5)
        assert all(signal.getsignal(each) is signal.SIG_IGN for each in before)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_a_signal_within_the_handler_of_another_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches a daemon twice: from the terminal, and from run.sh."""
    start, seen = threading.Timer.start, list[threading.Timer]()

    def interrupted(timer: threading.Timer) -> None:
        seen.append(timer)
        if len(seen) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        start(timer)

    monkeypatch.setattr(threading.Timer, "start", interrupted)
    stop = StopToken()
    with stop_on_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.pause(20)
    assert len(seen) == 1


def test_signals_are_handed_back_where_nobody_asked_to_stop() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals(StopToken()):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = StopToken()
        with stop_on_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.pause(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


def in_a_process(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script that begins with a `stop` whose clock is `now[0]`, and that cannot be interrupted."""
    prelude = """
        import os, signal, sys, time
        import shared.shutdown
        from shared.shutdown import StopToken, stop_on_signals
        now = [0.0]
        stop = StopToken(clock=lambda: now[0])
        stop.on_forced_exit.append(lambda: print("tidied up", flush=True))
        # Whatever happens then, the process ends.
        stop.on_forced_exit.append(lambda: 1 / 0)
    """
    text = textwrap.dedent(prelude) + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=30, check=False)


def test_a_second_interrupt_a_second_later_ends_it_at_once() -> None:
    result = in_a_process("""
        with stop_on_signals(stop):
            os.kill(os.getpid(), signal.SIGINT)
            now[0] = 0.9
            os.kill(os.getpid(), signal.SIGINT)
            print("one Ctrl-C can arrive twice", flush=True)
            now[0] = 5
            os.kill(os.getpid(), signal.SIGTERM)
            print("so can a SIGTERM", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
            print("never reached")
    """)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["one Ctrl-C can arrive twice", "so can a SIGTERM", "tidied up"]


def test_what_does_not_end_is_ended_at_the_deadline() -> None:
    result = in_a_process("""
        shared.shutdown.DEADLINE = 0.2
        with stop_on_signals(stop):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)
            print("never reached")
    """)
    assert (result.returncode, result.stdout, result.stderr) == (0, "tidied up\n", "")


def test_nobody_is_ended_after_the_work_is_done() -> None:
    result = in_a_process("""
        shared.shutdown.DEADLINE = 0.2
        with stop_on_signals(stop):
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        print("still here")
    """)
    assert (result.returncode, result.stdout, result.stderr) == (0, "still here\n", "")
