"""What the scaler takes of its machine: processors, memory, and a local folder."""

import errno
import fcntl
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from scaler import memory_budget as limits
from scaler import workdir
from scaler.memory_budget import OWN_SHARE, Limits, MemoryBudget
from shared import logging as log
from shared.errors import LocalIOError
from shared.scheduler import PollLoop
from shared.webdav.store import Href
from tests.contract.memory import MemoryConnections, MemoryServer
from tests.fake_time import FakeTime
from tests.scaler.harness import HIDDEN, RAW, a_scaler, assert_done, config, image, prepare

MEGABYTE = 2**20


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The innermost control group of a made-up container."""
    inner = tmp_path / "pod" / "container"
    inner.mkdir(parents=True)
    monkeypatch.setattr(limits, "_CGROUPS", tmp_path)
    monkeypatch.setattr(limits, "_own_cgroups", lambda: iter([inner, inner.parent, tmp_path]))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return inner


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("test", "INFO", None, stream)
    return stream


def test_what_is_asked_for_counts() -> None:
    assert limits.limits(123).memory == 123


def test_a_machine_without_bounds(cgroup: Path) -> None:
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "cpu.max").write_text("max 100000\n")
    found = limits.limits(None)
    assert found.cores == 8
    assert found.memory >= 64 * MEGABYTE


@pytest.mark.parametrize(
    ("file", "text", "cores"),
    [
        ("cpu.max", "200000 100000", 2),
        ("cpu.max", "150000 100000", 2),
        ("cpu.max", "50000 100000", 1),
        ("cpu.max", "10000 100000", 1),
        ("cpu.max", "1600000 100000", 8),
        ("cpu.max", "nonsense", 8),
    ],
)
def test_processors_of_a_container(cgroup: Path, file: str, text: str, cores: int) -> None:
    (cgroup / file).write_text(text)
    assert limits.limits(None).cores == cores


def test_the_tightest_bound_on_the_way_up_counts(cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text("400000 100000")
    (cgroup.parent / "cpu.max").write_text("300000 100000")
    (cgroup / "memory.max").write_text(str(1024 * MEGABYTE))
    (cgroup.parent / "memory.max").write_text(str(400 * MEGABYTE))
    found = limits.limits(None)
    assert found.cores == 3
    assert found.memory == 300 * MEGABYTE - OWN_SHARE


@pytest.mark.parametrize("bound", ["memory.high", "memory.max"])
def test_either_bound_of_memory_counts_alone(cgroup: Path, bound: str) -> None:
    for file in ("memory.max", "memory.high"):
        (cgroup / file).write_text("max\n")
    (cgroup / bound).write_text(str(400 * MEGABYTE))
    assert limits.limits(None).memory == 300 * MEGABYTE - OWN_SHARE


def test_processors_in_version_1(cgroup: Path) -> None:
    (cgroup / "cpu.cfs_quota_us").write_text("200000")
    (cgroup / "cpu.cfs_period_us").write_text("100000")
    assert limits.limits(None).cores == 2
    (cgroup / "cpu.cfs_quota_us").write_text("-1")
    assert limits.limits(None).cores == 8


def test_a_tiny_container_still_gets_something(cgroup: Path) -> None:
    (cgroup / "memory.max").write_text(str(100 * MEGABYTE))
    assert limits.limits(None).memory == 64 * MEGABYTE


# --- the gate -------------------------------------------------------------------------------------------------------


def test_what_could_never_fit_is_rejected_at_once() -> None:
    gate = MemoryBudget(Limits(1, 100))
    with pytest.raises(ValueError, match="do not fit"), gate.acquire(101):
        pass
    with gate.acquire(100):
        pass


def test_never_more_than_the_cores_and_the_memory() -> None:
    gate = MemoryBudget(Limits(cores=3, memory=100))
    lock = threading.Lock()
    computing, held = 0, 0
    most = [0, 0]

    def work(size: int) -> None:
        nonlocal computing, held
        with gate.acquire(size):
            with lock:
                computing, held = computing + 1, held + size
                most[0], most[1] = max(most[0], computing), max(most[1], held)
            time.sleep(0.002)
            with lock:
                computing, held = computing - 1, held - size

    threads = [threading.Thread(target=work, args=[size]) for size in [10, 90, 40, 40, 40, 100, 30, 30, 30, 1] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)
    assert 2 <= most[0] <= 3
    assert most[1] <= 100


def test_who_has_computed_makes_room_while_it_uploads() -> None:
    gate = MemoryBudget(Limits(cores=1, memory=100))
    with gate.acquire(90) as first:
        entered = threading.Event()

        def second() -> None:
            with gate.acquire(80):
                entered.set()

        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.05)
        first.shrink(20)
        assert entered.wait(5)
        thread.join()
    with gate.acquire(100):
        pass


def test_a_large_image_is_not_passed_by_for_ever() -> None:
    gate = MemoryBudget(Limits(cores=4, memory=100))
    order: list[str] = []

    def work(name: str, size: int) -> None:
        with gate.acquire(size):
            order.append(name)

    with gate.acquire(50):
        large = threading.Thread(target=work, args=["large", 100])
        large.start()
        while len(gate._queue) < 1:
            time.sleep(0.001)
        small = threading.Thread(target=work, args=["small", 10])
        small.start()
        time.sleep(0.05)
        assert order == []
    for thread in (large, small):
        thread.join()
    assert order == ["large", "small"]


# --- the local folder -----------------------------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_is_private_and_goes_with_its_user(temporary: Path) -> None:
    with workdir.workdir() as folder:
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "download").write_bytes(b"")
        # Another one that starts meanwhile leaves it alone.
        with workdir.workdir() as other:
            assert other != folder
        assert folder.is_dir()
    assert list(temporary.iterdir()) == []


def test_what_a_dead_process_has_left_is_swept(temporary: Path) -> None:
    script = (
        "import os, tempfile, sys; tempfile.tempdir = sys.argv[1]; from scaler.workdir import workdir\n"
        "with workdir() as folder: (folder / 'download').write_bytes(b'x'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(temporary)], check=True, timeout=30)
    (left,) = temporary.iterdir()
    assert (left / "download").exists()
    workdir.sweep()
    assert list(temporary.iterdir()) == []


def test_a_folder_without_a_lock_is_left_for_a_minute(temporary: Path) -> None:
    young, old = (temporary / f"{workdir.PREFIX}{name}" for name in ("young", "old"))
    other = temporary / "somebody else's"
    for folder in (young, old, other):
        folder.mkdir()
    os.utime(old, (time.time() - 120,) * 2)
    os.utime(other, (time.time() - 10**7,) * 2)
    workdir.sweep()
    assert {folder.name for folder in temporary.iterdir()} == {young.name, other.name}


def test_a_folder_in_use_is_kept_although_its_files_are_cleaned_away(temporary: Path) -> None:
    with workdir.workdir() as folder:
        for file in folder.iterdir():
            file.unlink()
        os.utime(folder, (time.time() - 10**7,) * 2)
        workdir.sweep()
        assert folder.is_dir()


def test_a_temporary_folder_that_was_removed_is_made_anew(temporary: Path) -> None:
    temporary.rmdir()
    with workdir.workdir() as folder:
        (folder / "download").write_bytes(b"")
    assert list(temporary.iterdir()) == []


def test_no_temporary_folder_is_a_failure_of_the_poll(temporary: Path) -> None:
    temporary.rmdir()
    temporary.write_text("")
    with pytest.raises(LocalIOError, match=r"Not a directory|File exists"), workdir.workdir():
        pass
    workdir.sweep()


def test_a_file_system_without_locks_does_not_keep_folders_for_ever(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject(*_: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", reject)
    with workdir.workdir() as folder:
        workdir.sweep()
        assert folder.is_dir()
        os.utime(folder, (time.time() - 7200,) * 2)
        workdir.sweep()
        assert folder.is_dir()
        os.utime(folder, (time.time() - 2 * 86400,) * 2)
        workdir.sweep()
        assert not folder.exists()


def test_a_poll_does_not_mind_that_temporary_files_were_cleaned_away(
    temporary: Path, memory_site: MemoryServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prepare(memory_site)
    settings = config(memory_site.account)
    with a_scaler(tmp_path_factory.mktemp("state")) as scaler:
        for number in range(3):
            memory_site.write(f"{RAW}/Unknown {number}.png", image(number))
            assert scaler.poll(settings) == []
            shutil.rmtree(temporary)
    assert_done(memory_site, {f"Unknown {number}.png": image(number) for number in range(3)})


def test_something_unforeseen_while_cleaning_up_ends_neither_poll_nor_daemon(
    memory_site: MemoryServer, tmp_path: Path, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("unforeseen")

    def fail_to_delete(method: str, href: Href, _after: bool) -> None:
        if method == "DELETE" and f"{RAW}/{HIDDEN}/" in href:
            fail()

    prepare(memory_site)
    images = {f"Unknown {number}.png": image(number) for number in range(3)}
    for name, data in images.items():
        memory_site.write(f"{RAW}/{name}", data)
    memory_site.interfere = fail_to_delete
    poll_loop = PollLoop(FakeTime().stop(), 30, once=False)
    with a_scaler(tmp_path) as scaler:
        assert len(scaler.poll(config(memory_site.account))) == 3
        assert said.getvalue().count("Unexpected error after upscaling") == 3
        memory_site.interfere = lambda *_: None
        changed = config(memory_site.account, prefixes=("Unknown", "x"))
        # The old connections are closed, which costs one poll at most.
        with monkeypatch.context() as patch, poll_loop.poll():
            patch.setattr(MemoryConnections, "close", fail)
            scaler.poll(changed)
        with poll_loop.poll():
            assert scaler.poll(changed) == []
    assert said.getvalue().count("Internal error") == 1
    assert_done(memory_site, images)
