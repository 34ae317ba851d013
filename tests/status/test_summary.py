"""What the report says, and how it says it in the terminal."""

import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from click.testing import CliRunner

from shared.events.event import Event, Kind
from status.main import main
from status.summary import HOURS, Summary, load, summarize
from status.terminal import plain
from status.text import size
from tests.status.recorded import ESCAPES, HOSTILE, NOW, record, run_daemon, some, upscaled


def test_an_empty_state_folder_says_that_nothing_runs(tmp_path: Path) -> None:
    lines = plain(load(tmp_path))
    assert lines[:2] == ["scaler: not running", "mover: not running"]
    assert lines[2:] == ["today: nothing", "last 30 days: nothing"]


def test_counts_of_today_and_of_the_month() -> None:
    events = [upscaled("a", minutes=0), upscaled("b", minutes=60 * 24 * 3), upscaled("c", minutes=60 * 24 * 29)]
    found = summarize(events, [], NOW)
    assert (found.today["upscaled"], found.month["upscaled"]) == (1, 3)


def test_images_of_today_by_dask_worker() -> None:
    events = [upscaled(str(number), worker=f"tcp://w{number % 3}:1") for number in range(5)]
    events += [upscaled("here"), upscaled("old", minutes=60 * 24 * 3, worker="tcp://w7:1")]
    found = summarize(events, [], NOW)
    assert found.workers == {"tcp://w0:1": 2, "tcp://w1:1": 2, "tcp://w2:1": 1}
    assert "today on Dask: 2 by tcp://w0:1, 2 by tcp://w1:1, 1 by tcp://w2:1" in plain(found)


def test_the_chart_has_an_hour_for_each_of_two_days() -> None:
    events = [upscaled("a"), upscaled("b", minutes=90), upscaled("c", minutes=60 * (HOURS + 1))]
    hours = summarize(events, [], NOW).hours
    assert len(hours) == HOURS
    assert [hour.upscaled for hour in hours if hour.upscaled] == [1, 1]
    assert hours[-1].upscaled == 1


def test_what_was_skipped_is_listed_until_it_is_done() -> None:
    def skipped(name: str, minutes: int, reason: str = "damaged") -> Event:
        return Event(
            kind=Kind.SKIPPED, daemon="scaler", name=name, reason=reason, time=NOW - timedelta(minutes=minutes)
        )

    events = [
        skipped("a", 10),
        skipped("a", 5, "too large"),
        skipped("b", 10),
        upscaled("b", minutes=5),
        skipped("c", 1),
    ]
    found = summarize(events, [], NOW).skipped
    assert [(event.name, event.reason) for event in found] == [("c", "damaged"), ("a", "too large")]


def test_a_daemon_that_runs_and_one_that_was_killed(tmp_path: Path) -> None:
    run_daemon(tmp_path, "scaler", os.getpid(), socket.gethostname())
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        run_daemon(tmp_path, "mover", child.pid, socket.gethostname())
    lines = plain(load(tmp_path))
    assert lines[0].startswith(f"scaler: running as process {os.getpid()} on {socket.gethostname()} since ")
    assert ", last poll " in lines[0]
    assert lines[1].startswith("mover: not running, last seen ")
    assert any(line.startswith("scaler watches: data/AI/_raw → data/AI/_unsorted on https") for line in lines)


def test_the_terminal_shows_no_control_characters(tmp_path: Path) -> None:
    record(tmp_path, some())
    text = "\n".join(plain(load(tmp_path)))
    assert "Unknown \\x1b[31mred\\x07\\u202egpj.exe.jpg" in text
    assert not set(text) & set("\x1b\x07\u202e")
    assert HOSTILE in text
    assert "The quota is used up  Empty the trash bin." in text
    assert "cat.jpg  landscapes/cat.jpg" in text


def invoke(state: Path, *words: str) -> str:
    result = CliRunner(env={"XDG_STATE_HOME": str(state.parent)}).invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_in_a_pipe_and_as_json(tmp_path: Path) -> None:
    state = tmp_path / "jupyterhub-images"
    record(state, some())
    assert invoke(state).startswith("scaler: not running, last seen ")
    found = Summary.model_validate_json(invoke(state, "--json"))
    assert [event.name for event in found.images] == ["Unknown cat.jpg", HOSTILE, ESCAPES]
    assert set(json.loads(invoke(state, "--json"))["today"]) >= {"upscaled", "filed", "skipped", "failed"}


def test_tables_in_a_terminal(tmp_path: Path) -> None:
    """A real terminal, by script(1), or the module pty where that is missing."""
    import pty

    state = tmp_path / "jupyterhub-images"
    record(state, some())
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(XDG_STATE_HOME=str(tmp_path), COLUMNS="100", TERM="xterm")
        os.execv(sys.executable, [sys.executable, "-m", "shared.commands", "status"])
    said = b""
    try:
        while part := os.read(terminal, 65536):
            said += part
    except OSError:  # Linux's way to say that the other end was closed
        pass
    assert os.waitpid(pid, 0)[1] == 0
    text = said.decode()
    assert "Skipped until they change" in text
    assert HOSTILE in text
    assert "\\x1b[31mred" in text
    assert "\x1b[31m" not in text


def test_sizes_as_people_read_them() -> None:
    assert [size(count) for count in (0, 999, 1000, 2_400_000, 7_100_000_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "2.4 MB",
        "7.1 GB",
    ]
