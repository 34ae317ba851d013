"""A picture that cannot be scaled is fetched and named once, across restarts, until it changes."""

import io
from pathlib import Path

import pytest

from scaler.one_pass import Scaler
from shared import log
from tests.contract.memory import MemoryServer
from tests.fake_time import FakeTime
from tests.scaler.harness import LIMITS, RAW, inside, picture, prepare, task

A, B, C = (f"Unknown {letter}.png" for letter in "abc")
BAD = picture()[:-10]


class Daemon:
    """A scaler that can be started again."""

    def __init__(self, site: MemoryServer, state: Path) -> None:
        self.site = site
        self.state = state
        self.time = FakeTime()
        self.said = io.StringIO()
        log.set_up("scaler", "INFO", None, self.said)

    def passes(self, number: int) -> list[str]:
        """Start, make so many passes, and end; gives the names of what was fetched."""
        self.site.log.clear()
        with Scaler(2, LIMITS, 95, self.state, self.time.stop()) as scaler:
            for _ in range(number):
                scaler.one_pass(task(self.site.account))
                self.time.now += 30
        return sorted(path.rpartition("/")[2] for method, path in self.site.log if method == "GET" and RAW in path)

    @property
    def refusals(self) -> list[str]:
        """The lines that name a picture as left."""
        return [line for line in self.said.getvalue().splitlines() if "is left where it is" in line]


@pytest.fixture
def daemon(memory_site: MemoryServer, tmp_path: Path) -> Daemon:
    prepare(memory_site)
    return Daemon(memory_site, tmp_path / "state")


def test_once_in_all_passes_and_starts(daemon: Daemon) -> None:
    daemon.site.write(f"{RAW}/{A}", BAD)
    assert daemon.passes(5) == [A]
    assert daemon.passes(5) == []
    assert len(daemon.refusals) == 1
    assert A in daemon.refusals[0]
    assert inside(daemon.site, RAW) == {A: BAD}


def test_again_when_it_has_changed(daemon: Daemon) -> None:
    daemon.site.write(f"{RAW}/{A}", BAD)
    daemon.passes(2)
    daemon.site.write(f"{RAW}/{A}", BAD + b"more")
    assert daemon.passes(3) == [A]
    daemon.site.write(f"{RAW}/{A}", picture())
    assert daemon.passes(2) == [A]
    assert len(daemon.refusals) == 2
    assert inside(daemon.site, RAW) == {}


def test_none_is_forgotten_for_another(daemon: Daemon) -> None:
    for name in (A, B, C):
        daemon.site.write(f"{RAW}/{name}", BAD)
        assert daemon.passes(3) == [name]
    assert daemon.passes(3) == []
    daemon.site.remove(f"{RAW}/{B}")
    assert daemon.passes(3) == []


@pytest.mark.parametrize(
    "spoiled", [b"", b"{", b"[]", b'{"a": 1}', b'{"/data/raw/Unknown%20a.png": null}', b"\xff\xfe"]
)
def test_a_state_file_that_cannot_be_read_costs_one_more_look(daemon: Daemon, spoiled: bytes) -> None:
    daemon.site.write(f"{RAW}/{A}", BAD)
    daemon.passes(1)
    (file,) = daemon.state.iterdir()
    file.write_bytes(spoiled)
    assert daemon.passes(3) == [A]
    assert daemon.passes(3) == []


def test_a_state_that_cannot_be_written_is_no_reason_to_stop(daemon: Daemon) -> None:
    daemon.state.write_bytes(b"a file where a folder should be")
    daemon.site.write(f"{RAW}/{A}", BAD)
    daemon.site.write(f"{RAW}/{B}", picture())
    assert daemon.passes(3) == [A, B]
    assert inside(daemon.site, RAW) == {A: BAD}


def test_a_thousand_cost_little(daemon: Daemon) -> None:
    names = [f"Unknown {number}.png" for number in range(1000)]
    for name in names:
        daemon.site.write(f"{RAW}/{name}", b"")
    assert daemon.passes(1) == sorted(names)
    (file,) = daemon.state.iterdir()
    assert file.stat().st_size < 150 * len(names)
    inode = file.stat().st_ino
    assert daemon.passes(3) == []
    assert file.stat().st_ino == inode, "written again though nothing changed"
