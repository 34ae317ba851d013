"""One call, from which log line, history, state and metrics follow; and nothing that fails there stops the work."""

import errno
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared import logging as log
from shared import redaction
from shared.events.event import Event, Kind, Watch
from shared.events.history import History, read
from shared.events.presence import Presence
from shared.events.recorder import HEARTBEAT, Recorder
from shared.events.thumbnails import Thumbnails, read_thumbnail
from tests.fake_time import FakeTime

WATCH = Watch(
    account="https://cloud.example.com/ as alice",
    folders=("data/_raw", "data/_unsorted"),
    prefixes=("Unknown", "IMG"),
    frequency=30,
    way="replaced in place",
)
UPSCALED = Event(
    kind=Kind.UPSCALED,
    name="Unknown a.jpg",
    target="Unknown a_20261127T120000Z.jpg",
    width=4000,
    height=3000,
    seconds={"download": 1.0, "compute": 2.0, "upload": 0.25, "publish": 0.25},
)


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("scaler", "DEBUG", None, stream)
    return stream


def recorder_for(daemon: str, state: Path, *, thumbnails: bool = False) -> Recorder:
    """A recorder as a daemon has it."""
    events = state / "events"
    kept = Thumbnails(events / "thumbnails") if thumbnails else None
    return Recorder(daemon, [History(events, daemon), Presence(state / "running")], kept)


def info(said: io.StringIO) -> list[str]:
    """The lines above debug level, without time and name."""
    return [line[35:] for line in said.getvalue().splitlines() if line[20:25] != "DEBUG"]


def test_one_call_writes_the_line_and_the_history(said: io.StringIO, tmp_path: Path) -> None:
    recorder_for("scaler", tmp_path).record(UPSCALED)
    assert info(said) == ["Unknown a.jpg 4000x3000 → 8000x6000, 3.5 s"]
    assert "is now Unknown a_20261127T120000Z.jpg" in said.getvalue()
    (event,) = read(tmp_path / "events")
    assert (event.kind, event.name, event.daemon, event.pid) == (Kind.UPSCALED, "Unknown a.jpg", "scaler", os.getpid())


def test_a_surprising_name_is_said(said: io.StringIO) -> None:
    Recorder("scaler").record(UPSCALED.model_copy(update={"surprising": True}))
    assert info(said)[0].endswith(" s (now Unknown a_20261127T120000Z.jpg)")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Event(kind=Kind.FILED, name="a.jpg", target="cats/a.jpg"), "a.jpg → cats/a.jpg"),
        (Event(kind=Kind.RECOVERED, name="a.jpg", target="b.jpg"), "a.jpg → b.jpg (finished after an interruption)"),
        (Event(kind=Kind.SKIPPED, name="a.jpg", reason="it is damaged"), "a.jpg is skipped: it is damaged"),
        (Event(kind=Kind.CHANGED, name="a.jpg"), "a.jpg was replaced or removed in the meantime"),
        (Event(kind=Kind.FAILED, name="a.jpg", reason="No", hint="Do."), "a.jpg: No. Do."),
        (Event(kind=Kind.FAILED, reason="No"), "No"),
        (
            Event(kind=Kind.STARTED, watch=WATCH),
            (
                "Watching data/_raw → data/_unsorted on https://cloud.example.com/ as alice every 30 s,"
                " names that start with 'Unknown', 'IMG'; replaced in place"
            ),
        ),
        (Event(kind=Kind.STOPPED), "Stopped"),
    ],
)
def test_every_kind_has_its_line(said: io.StringIO, event: Event, line: str) -> None:
    Recorder("scaler").record(event)
    assert info(said) == [line]


def polled(**counts: int) -> Event:
    return Event(kind=Kind.POLLED, counts=counts, seconds={"compute": 0.5}, skipped=3)


def test_a_poll_is_told_if_it_had_something_to_do(said: io.StringIO) -> None:
    recorder = Recorder("scaler")
    recorder.record(polled(upscaled=0))
    recorder.record(polled(upscaled=2, failed=0))
    assert info(said) == ["Poll finished in 0.5 s: 2 upscaled"]


def test_an_idle_daemon_says_so_once_an_hour(said: io.StringIO) -> None:
    now = FakeTime(1000.0)
    recorder = Recorder("scaler", clock=now.clock)
    for _ in range(240):
        now.now += 30
        recorder.record(polled())
    assert info(said) == ["Idle, no change yet, 3 skipped"] * 2
    said.truncate(0)
    recorder.record(UPSCALED.model_copy(update={"time": datetime(2026, 11, 27, 12, tzinfo=UTC)}))
    now.now += HEARTBEAT - 1
    recorder.record(polled())
    now.now += 2
    recorder.record(polled())
    assert len(info(said)) == 2
    assert info(said)[1].startswith("Idle, last change 2026-11-2")


def test_once_says_that_there_was_nothing_to_do(said: io.StringIO) -> None:
    Recorder("scaler", once=True).record(polled())
    assert info(said) == ["Poll finished in 0.5 s: nothing to do"]


def test_a_failed_poll_is_told_elsewhere(said: io.StringIO) -> None:
    Recorder("scaler", once=True).record(Event(kind=Kind.POLLED, reason="No connection"))
    assert info(said) == []


def test_no_secret_is_kept(said: io.StringIO, tmp_path: Path) -> None:
    secret = 'p"ä\\ss word'
    redaction.hide(secret)
    recorder_for("scaler", tmp_path).record(Event(kind=Kind.FAILED, reason=f"no {secret}", hint=f"not {secret}"))
    text = next((tmp_path / "events").iterdir()).read_text()
    record = json.loads(text)
    assert (record["reason"], record["hint"]) == (f"no {redaction.HIDDEN}", f"not {redaction.HIDDEN}")
    assert "ss word" not in text + said.getvalue()


class Full:
    """A sink on a full disk."""

    def __init__(self) -> None:
        self.asked = 0

    def __str__(self) -> str:
        return "The history"

    def add(self, event: Event) -> None:
        """Fail."""
        self.asked += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_cannot_be_written_costs_one_warning(said: io.StringIO) -> None:
    full = Full()
    recorder = Recorder("scaler", [full])
    for _ in range(3):
        recorder.record(UPSCALED)
    assert full.asked == 3
    assert [line for line in info(said) if "cannot be written" in line] == [
        "The history cannot be written ([Errno 28] No space left on device); the work continues without it"
    ]
    assert len(info(said)) == 4


def test_a_name_that_json_cannot_hold_is_no_obstacle(said: io.StringIO, tmp_path: Path) -> None:
    recorder = recorder_for("scaler", tmp_path)
    recorder.record(Event(kind=Kind.CHANGED, name="a"))
    recorder.record(Event.model_construct(kind=Kind.CHANGED, name="\udcff", reason="", time=datetime.now(UTC)))
    recorder.record(Event(kind=Kind.CHANGED, name="b"))
    assert {"a", "b"} <= {event.name for event in read(tmp_path / "events")}


def test_a_state_folder_that_is_a_file_is_no_obstacle(said: io.StringIO, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.touch()
    recorder = recorder_for("scaler", state, thumbnails=True)
    recorder.record(Event(kind=Kind.STARTED, watch=WATCH))
    for _ in range(3):
        recorder.record(UPSCALED, b"JPEG")
    # The history, the state and the thumbnails: one warning each.
    assert sum("cannot be written" in line for line in info(said)) == 3
    assert sum("8000x6000" in line for line in info(said)) == 3


def test_a_thumbnail_is_kept_if_wanted(tmp_path: Path) -> None:
    recorder_for("scaler", tmp_path, thumbnails=True).record(UPSCALED, b"JPEG")
    recorder_for("scaler", tmp_path).record(UPSCALED, b"JPEG")
    with_it, without = read(tmp_path / "events")
    assert read_thumbnail(tmp_path / "events" / "thumbnails", with_it.thumbnail) == b"JPEG"
    assert without.thumbnail == ""
