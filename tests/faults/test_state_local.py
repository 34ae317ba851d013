"""What a scaler keeps on this machine, while others start and end beside it."""

import fcntl
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from scaler import workdir
from scaler.workdir import PREFIX, sweep


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_folder_that_another_process_swept_before_it_was_locked_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, sweeps = fcntl.flock, iter([sweep])

    def sweep_first(file: Any, operation: int) -> None:
        if operation == fcntl.LOCK_EX:
            next(sweeps, lambda: None)()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    with workdir.workdir() as folder:
        assert folder.is_dir()
        sweep()
        assert folder.is_dir()
    assert not folder.exists()


def test_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    dead, unlocked, young = (tmp_path / f"{PREFIX}{number}" for number in range(3))
    for folder in (dead, unlocked, young):
        folder.mkdir()
        (folder / "download").write_bytes(b"half an image")
    (dead / "in-use").touch()
    os.utime(unlocked, (time.time() - 3600,) * 2)
    sweep()
    assert sorted(tmp_path.iterdir()) == [young]
