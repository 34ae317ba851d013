"""What was being computed when a process was killed."""

import contextlib
import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from scaler.flight_notes import FlightNotes
from scaler.images import codecs
from scaler.skip_list import DEATHS, SkipList
from shared.errors import Cancelled
from shared.webdav.store import Entry, Href
from tests.contract.memory import MemoryServer
from tests.fake_time import FakeTime
from tests.scaler.harness import RAW, a_scaler, config, image, prepare

PLACE = "https://one.example alice /raw/"
IMAGES = [
    Entry(f"{n}.jpg", Href(f"/raw/{n}.jpg"), is_folder=False, size=5, etag='"1"', modified=7.0) for n in range(10)
]
CULPRIT, *INNOCENT = IMAGES


class Process:
    """One scaler, as far as it notes what it computes."""

    def __init__(self, state: Path, owner: str, place: str = PLACE) -> None:
        self.skip_list = SkipList(state, place)
        self.notes = FlightNotes(state, place, owner, self.skip_list)
        self.notes.collect()

    def killed_with(self, *entries: Entry) -> None:
        """Begin to compute these images and be killed: the lock is gone, and what was written stays."""
        for entry in entries:
            self.notes._note(entry, begins=True)
        assert self.notes._descriptor
        os.close(self.notes._descriptor)
        self.notes._descriptor, self.notes._disabled = None, True

    def computes(self, entry: Entry) -> None:
        with self.notes.working_on(entry):
            pass
        self.notes.survived(entry)


def test_the_culprit_is_skipped_and_the_innocent_are_not(tmp_path: Path) -> None:
    Process(tmp_path, "p0").killed_with(*IMAGES)
    for number in range(1, DEATHS):
        process = Process(tmp_path, f"p{number}")
        assert process.skip_list.is_suspect(CULPRIT)
        for entry in INNOCENT:
            # As `ScalerService` does, one after the other.
            assert process.skip_list.is_suspect(entry) == (number == 1)
            process.computes(entry)
        process.skip_list.save()
        process.killed_with(CULPRIT)
    last = Process(tmp_path, "last").skip_list
    assert [entry for entry in IMAGES if entry in last] == [CULPRIT]
    assert not any(last.is_suspect(entry) for entry in INNOCENT)
    assert [file.name[:7] for file in tmp_path.iterdir()] == ["skipped"]


def test_what_a_living_process_computes_is_no_death(tmp_path: Path) -> None:
    living = Process(tmp_path, "living")
    with living.notes.working_on(CULPRIT):
        for number in range(DEATHS):
            assert not Process(tmp_path, f"p{number}").skip_list.is_suspect(CULPRIT)
    living.notes.close()
    assert list(tmp_path.iterdir()) == []


def test_what_was_computed_before_is_no_death(tmp_path: Path) -> None:
    process = Process(tmp_path, "one")
    process.computes(INNOCENT[0])
    with contextlib.suppress(ValueError), process.notes.working_on(INNOCENT[1]):
        raise ValueError
    process.killed_with(CULPRIT)
    skip_list = Process(tmp_path, "two").skip_list
    assert [entry for entry in IMAGES if skip_list.is_suspect(entry)] == [CULPRIT]


def test_a_process_that_was_asked_to_stop_accuses_nobody(tmp_path: Path) -> None:
    process = Process(tmp_path, "one")
    with process.notes.working_on(CULPRIT):
        process.notes.close()
        assert not Process(tmp_path, "two").skip_list.is_suspect(CULPRIT)
        with process.notes.working_on(INNOCENT[0]):
            assert list(tmp_path.iterdir()) == []


def test_another_version_and_another_account_are_not_accused(tmp_path: Path) -> None:
    Process(tmp_path, "one").killed_with(CULPRIT)
    assert not Process(tmp_path, "two", "https://one.example bob /raw/").skip_list.is_suspect(CULPRIT)
    skip_list = Process(tmp_path, "three").skip_list
    assert skip_list.is_suspect(CULPRIT)
    assert not skip_list.is_suspect(replace(CULPRIT, etag='"2"'))


@pytest.mark.parametrize("left", [b"", b"\x00", b"[]", b'[true, "/raw/0.jpg"', b'[true, "/raw/0.jpg", [null]]\n'])
def test_notes_that_make_no_sense_are_removed(tmp_path: Path, left: bytes) -> None:
    process = Process(tmp_path, "one")
    process.killed_with(CULPRIT)
    (file,) = tmp_path.iterdir()
    file.write_bytes(left)
    assert not Process(tmp_path, "two").skip_list.is_suspect(CULPRIT)
    assert not file.exists()


def test_half_a_last_line_does_not_spoil_the_others(tmp_path: Path) -> None:
    Process(tmp_path, "one").killed_with(CULPRIT)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes() + b'[true, "/raw/9')
    assert Process(tmp_path, "two").skip_list.is_suspect(CULPRIT)


def test_the_file_stays_small(tmp_path: Path) -> None:
    process = Process(tmp_path, "one")
    with process.notes.working_on(CULPRIT):
        for _ in range(2000):
            process.computes(INNOCENT[0])
        (file,) = tmp_path.iterdir()
        assert file.stat().st_size < 2**17
        process.killed_with()
        skip_list = Process(tmp_path, "two").skip_list
        assert [entry for entry in IMAGES if skip_list.is_suspect(entry)] == [CULPRIT]
    process.notes.close()


def test_a_file_that_was_collected_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, collects = fcntl.flock, iter([lambda: Process(tmp_path, "other")])

    def collect_first(file: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX:
            next(collects, lambda: None)()
        lock(file, operation)

    process = Process(tmp_path, "one")
    monkeypatch.setattr(fcntl, "flock", collect_first)
    process.killed_with(CULPRIT)
    assert Process(tmp_path, "two").skip_list.is_suspect(CULPRIT)


def test_without_a_folder_that_can_be_written_the_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"a file where a folder should be")
    process = Process(tmp_path / "state", "one")
    process.computes(CULPRIT)
    process.notes.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_in_a_folder_that_is_read_only_the_work_goes_on(tmp_path: Path) -> None:
    Process(tmp_path, "one").killed_with(CULPRIT)
    tmp_path.chmod(0o500)
    try:
        process = Process(tmp_path, "two")
        process.computes(INNOCENT[0])
        process.notes.close()
    finally:
        tmp_path.chmod(0o700)


def test_a_scaler_that_is_asked_to_stop_removes_its_notes_at_once(
    memory_site: MemoryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal that is closed kills it a moment later."""
    prepare(memory_site)
    memory_site.write(f"{RAW}/Unknown.png", image())
    stop, upscale = FakeTime().stop(), codecs.upscale
    notes: list[int] = []

    def stop_meanwhile(data: bytes, *, quality: int) -> bytes:
        for _ in range(2):
            notes.append(len(list(tmp_path.glob("in-flight-*"))))
            stop.request()
        return upscale(data, quality=quality)

    monkeypatch.setattr(codecs, "upscale", stop_meanwhile)
    with a_scaler(tmp_path, stop=stop) as scaler, pytest.raises(Cancelled):
        scaler.poll(config(memory_site.account))
    assert notes == [1, 0]
