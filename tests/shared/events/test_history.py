"""The history: what is kept, what it survives, and how it is read."""

import json
import multiprocessing
import os
import resource
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.events import history
from shared.events.event import Event, Kind
from shared.events.history import History, files, read
from shared.events.thumbnails import KEPT, Thumbnails, read_thumbnail

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def skipped(name: str, when: datetime = NOW) -> Event:
    return Event(kind=Kind.SKIPPED, name=name, reason="it is damaged", time=when, daemon="scaler", host="h", pid=1)


def test_an_event_comes_back_as_it_was(tmp_path: Path) -> None:
    event = Event(
        kind=Kind.UPSCALED,
        name='"><svg onload=alert(1)>\x1b\n.jpg',
        seconds={"download": 0.25, "upload": 1.5},
        width=4,
        height=3,
    )
    History(tmp_path / "events", "scaler").add(event)
    assert list(read(tmp_path / "events")) == [event]


def test_a_line_holds_only_what_is_known(tmp_path: Path) -> None:
    History(tmp_path, "mover").add(skipped("a.jpg"))
    (file,) = files(tmp_path)
    assert set(json.loads(file.read_text())) == {"kind", "name", "reason", "time", "daemon", "host", "pid"}


def test_polls_are_not_kept(tmp_path: Path) -> None:
    History(tmp_path, "mover").add(Event(kind=Kind.POLLED))
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "events"
    History(folder, "scaler").add(skipped("a.jpg"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(files(folder)[0].stat().st_mode) == 0o600


def test_a_new_day_and_a_full_file_begin_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LARGEST_FILE", 1000)
    now = [NOW.timestamp()]
    kept = History(tmp_path, "scaler", lambda: now[0])
    for number in range(20):
        kept.add(skipped(f"{number}.jpg"))
    now[0] += 86_400
    kept.add(skipped("next day.jpg", NOW + timedelta(days=1)))
    names = [file.name for file in files(tmp_path)]
    assert len(names) > 3
    assert all(file.stat().st_size < 1500 for file in files(tmp_path))
    assert [name for name in names if name.startswith("20261128-scaler-")] == names[-1:]
    assert [event.name for event in read(tmp_path)] == [f"{number}.jpg" for number in range(20)] + ["next day.jpg"]


def test_what_is_old_goes_and_so_does_what_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, middle = tmp_path / "20260101-scaler-h-001.jsonl", tmp_path / "20261120-scaler-h-001.jsonl"
    for file, age in ((old, history.KEPT_SECONDS + 1), (middle, 5.0)):
        file.write_text("x" * 500)
        os.utime(file, (NOW.timestamp() - age, NOW.timestamp() - age))
    History(tmp_path, "scaler", NOW.timestamp).add(skipped("a.jpg"))
    assert not old.exists()
    assert middle.exists()
    monkeypatch.setattr(history, "KEPT_BYTES", 400)
    History(tmp_path, "mover", NOW.timestamp).add(skipped("b.jpg"))
    assert not middle.exists()
    assert {event.name for event in read(tmp_path)} == {"a.jpg", "b.jpg"}


def test_half_a_line_costs_no_other(tmp_path: Path) -> None:
    kept = History(tmp_path, "scaler")
    kept.add(skipped("a.jpg"))
    (file,) = files(tmp_path)
    with file.open("ab") as opened:
        opened.write(b'{"kind": "skip\nno JSON\n{"kind": "of the future"}\n\xff\xfe\n[]\n')
    kept.add(skipped("b.jpg"))
    assert [event.name for event in read(tmp_path)] == ["a.jpg", "b.jpg"]


def test_a_line_that_was_cut_off_does_not_swallow_the_next(tmp_path: Path) -> None:
    """A file-size limit cuts a write short, as a disk does that is almost full."""
    child = multiprocessing.get_context("fork").Process(target=_write_to_a_limit, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert [event.name for event in read(tmp_path)] == ["a.jpg", "c.jpg"]


def _write_to_a_limit(folder: Path) -> None:
    kept = History(folder, "scaler")
    kept.add(skipped("a.jpg"))
    (file,) = files(folder)
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, hard))
    with pytest.raises(OSError, match="bytes were written"):
        kept.add(skipped("b.jpg"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    kept.add(skipped("c.jpg"))


def test_processes_of_one_host_may_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_write_many, args=(tmp_path, number)) for number in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert len(files(tmp_path)) == 1
    assert len({event.name for event in read(tmp_path)}) == 400


def _write_many(folder: Path, writer: int) -> None:
    kept = History(folder, "scaler")
    for number in range(100):
        kept.add(skipped(f"{writer} {number} {'x' * 300}.jpg"))


def test_only_what_is_recent_is_read(tmp_path: Path) -> None:
    kept = History(tmp_path, "scaler")
    kept.add(skipped("old.jpg", NOW - timedelta(days=2)))
    kept.add(skipped("new.jpg", NOW))
    assert [event.name for event in read(tmp_path, (NOW - timedelta(days=1)).timestamp())] == ["new.jpg"]


def test_without_a_folder_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert list(read(tmp_path / "missing")) == []


def test_thumbnails_are_for_their_owner_and_some_hundred_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "thumbnails"
    kept = Thumbnails(folder)
    jpegs = [b"%05d" % number * 1000 for number in range(1000)]
    names = [kept.add(jpeg) for jpeg in jpegs]
    for pack in folder.iterdir():
        assert stat.S_IMODE(pack.stat().st_mode) == 0o600
    found = [read_thumbnail(folder, name) for name in names]
    lost = found.count(None)
    assert found[lost:] == jpegs[lost:]
    assert 300 < len(found) - lost < 450
    assert sum(pack.stat().st_size for pack in folder.iterdir()) <= KEPT + len(jpegs[0])


def test_of_many_short_runs_the_latest_thumbnails_are_kept(tmp_path: Path) -> None:
    (tmp_path / "not ours.jpg").touch()
    jpegs = [b"%05d" % number * 20_000 for number in range(30)]
    names = [Thumbnails(tmp_path).add(jpeg) for jpeg in jpegs]
    assert [read_thumbnail(tmp_path, name) for name in names[-18:]] == jpegs[-18:]
    assert read_thumbnail(tmp_path, names[0]) is None
    assert (tmp_path / "not ours.jpg").exists()


def test_after_a_failure_another_pack_begins(tmp_path: Path) -> None:
    folder = tmp_path / "thumbnails"
    kept = Thumbnails(folder)
    kept.add(b"first")
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError):
        kept.add(b"second")
    assert read_thumbnail(folder, kept.add(b"third")) == b"third"


PACK = "a" * 32


@pytest.mark.parametrize(
    "name",
    ["../secret.jpg", "", ".", f"{PACK}.pack", f"{PACK}-0-3.jpg\n", f"{'A' * 32}-0-3.jpg", f"{PACK}-1-3.jpg"],
)
def test_only_the_name_of_a_thumbnail_leads_to_one(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{PACK}.pack").write_bytes(b"abc")
    assert read_thumbnail(tmp_path, f"{PACK}-0-3.jpg") == b"abc"
    assert read_thumbnail(tmp_path, name) is None
