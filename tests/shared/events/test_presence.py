"""Who runs, and whether another daemon does the same work."""

import io
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import logging as log
from shared.events.event import Event, Kind
from shared.events.presence import Presence, Running, _start_of, running
from tests.shared.events.test_recorder import WATCH

HOST = os.uname().nodename


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("scaler", "DEBUG", None, stream)
    return stream


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Another process."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def started(pid: int, host: str = HOST, **watch: Any) -> Event:
    watches = WATCH.model_copy(update=watch)
    return Event(kind=Kind.STARTED, daemon="scaler", host=host, pid=pid, watch=watches)


def test_what_is_known_of_a_running_daemon(tmp_path: Path) -> None:
    presence = Presence(tmp_path / "running")
    presence.add(started(os.getpid()))
    presence.add(Event(kind=Kind.POLLED, skipped=4))
    presence.add(Event(kind=Kind.POLLED, reason="No connection", skipped=0))
    ((file, found),) = running(tmp_path / "running")
    assert found.is_alive(datetime.now(UTC))
    assert found.last_poll is not None
    assert found.last_success is not None
    assert found.last_success < found.last_poll
    assert (found.failing, found.skipped) == ("No connection", 4)
    assert file.stat().st_mode & 0o777 == 0o600
    presence.add(Event(kind=Kind.STOPPED))
    assert list((tmp_path / "running").iterdir()) == []


def test_a_second_daemon_tells_about_the_first(
    tmp_path: Path, said: io.StringIO, sleeper: subprocess.Popen[bytes]
) -> None:
    Presence(tmp_path).add(started(sleeper.pid))
    assert said.getvalue() == ""
    Presence(tmp_path).add(started(os.getpid()))
    assert f"as process {sleeper.pid}. " in said.getvalue()
    assert f"kill {sleeper.pid}" in said.getvalue()


@pytest.mark.parametrize("change", [{"account": "https://cloud.example.com/ as bob"}, {"folders": ("x", "y")}])
def test_other_work_is_not_mentioned(
    tmp_path: Path, said: io.StringIO, sleeper: subprocess.Popen[bytes], change: dict[str, Any]
) -> None:
    Presence(tmp_path).add(started(sleeper.pid, **change))
    Presence(tmp_path).add(started(os.getpid()))
    assert said.getvalue() == ""


def test_one_on_another_host_runs_as_long_as_it_is_heard(tmp_path: Path, said: io.StringIO) -> None:
    now = datetime.now(UTC)
    Presence(tmp_path, (now - timedelta(seconds=20)).timestamp).add(started(7, "elsewhere"))
    Presence(tmp_path, now.timestamp).add(started(os.getpid()))
    assert "on elsewhere as process 7" in said.getvalue()
    assert "kill 7 on elsewhere" in said.getvalue()
    said.truncate(0)
    Presence(tmp_path, (now + timedelta(hours=1)).timestamp).add(started(os.getpid()))
    assert "elsewhere" not in said.getvalue()
    assert any(found.host == "elsewhere" for _, found in running(tmp_path))
    Presence(tmp_path, (now + timedelta(days=8)).timestamp).add(started(os.getpid()))
    assert not any(found.host == "elsewhere" for _, found in running(tmp_path))


def test_one_that_was_killed_does_not_run(tmp_path: Path, said: io.StringIO, sleeper: subprocess.Popen[bytes]) -> None:
    Presence(tmp_path).add(started(sleeper.pid))
    sleeper.send_signal(signal.SIGKILL)
    sleeper.wait()
    ((_, found),) = running(tmp_path)
    assert not found.is_alive(datetime.now(UTC))
    Presence(tmp_path).add(started(os.getpid()))
    assert said.getvalue() == ""
    assert [found.pid for _, found in running(tmp_path)] == [os.getpid()]


def test_another_process_with_the_same_pid_is_not_it(sleeper: subprocess.Popen[bytes]) -> None:
    found = Running(
        daemon="scaler",
        host=HOST,
        pid=sleeper.pid,
        process=_start_of(sleeper.pid),
        since=datetime.now(UTC),
        seen=datetime.now(UTC),
        watch=WATCH,
    )
    assert found.is_alive(datetime.now(UTC))
    assert not found.model_copy(update={"process": "12345"}).is_alive(datetime.now(UTC))


def test_a_long_poll_is_seen_to_run(tmp_path: Path) -> None:
    now = [1_000_000.0]
    presence = Presence(tmp_path, lambda: now[0])
    presence.add(started(7, "elsewhere"))
    now[0] += 1000
    presence.add(Event(kind=Kind.UPSCALED, name="a.jpg"))
    ((_, found),) = running(tmp_path)
    assert found.is_alive(datetime.fromtimestamp(now[0] + 100, UTC))


def test_what_is_no_state_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "scaler-h-1.json").write_text("{")
    (tmp_path / "scaler-h-2.json").mkdir()
    assert list(running(tmp_path)) == []
