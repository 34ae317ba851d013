"""What the scaler takes of its machine: processors, memory, and a local folder."""

import os
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


def test_what_could_never_fit_is_refused_at_once() -> None:
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
