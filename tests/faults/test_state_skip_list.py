"""An image that cannot be upscaled is fetched and named once, across restarts, until it changes."""

import io
from pathlib import Path

import pytest

from scaler.service import ScalerService
from shared import logging as log
from shared.retry import RetryPolicy
from tests.contract.memory import MemoryServer
from tests.fake_time import FakeTime
from tests.scaler.harness import LIMITS, RAW, config, image, inside, prepare

A, B, C = (f"Unknown {letter}.png" for letter in "abc")
BAD = image()[:-10]


class Daemon:
    """A scaler that can be started again."""

    def __init__(self, site: MemoryServer, state: Path) -> None:
        self.site = site
        self.state = state
        self.time = FakeTime()
        self.said = io.StringIO()
        log.set_up("scaler", "INFO", None, self.said)

    def scaler(self) -> ScalerService:
        return ScalerService(
            threads=2, limits=LIMITS, quality=95, state=self.state, retry=RetryPolicy(self.time.stop())
        )

    def polls(self, number: int) -> list[str]:
        """Start, make so many polls, and end; gives the names of what was fetched."""
        self.site.log.clear()
        with self.scaler() as scaler:
            for _ in range(number):
                scaler.poll(config(self.site.account))
                self.time.now += 30
        return sorted(path.rpartition("/")[2] for method, path in self.site.log if method == "GET" and RAW in path)

    @property
    def skip_list(self) -> list[str]:
        """The lines that name an image as skipped when it was tried."""
        return [line for line in self.said.getvalue().splitlines() if ".png is skipped" in line]


@pytest.fixture
def daemon(memory_site: MemoryServer, tmp_path: Path) -> Daemon:
    prepare(memory_site)
    return Daemon(memory_site, tmp_path / "state")


def test_once_in_all_passes_and_starts(daemon: Daemon) -> None:
    daemon.site.write(f"{RAW}/{A}", BAD)
    assert daemon.polls(5) == [A]
    assert daemon.polls(5) == []
    assert len(daemon.skip_list) == 1
    assert A in daemon.skip_list[0]
    assert inside(daemon.site, RAW) == {A: BAD}


def test_after_a_restart_one_line_names_what_is_skipped_and_why(daemon: Daemon) -> None:
    daemon.site.write(f"{RAW}/{A}", b"")
    daemon.site.write(f"{RAW}/{B}", b"")
    daemon.polls(2)
    assert "images are skipped" not in daemon.said.getvalue()
    daemon.site.write(f"{RAW}/Unknown.heic", b"whatever")
    daemon.polls(3)
    said = f"3 images are skipped: 2 × the file is empty ({A}, {B}), 1 × HEIC is not supported (Unknown.heic)"
    assert daemon.said.getvalue().count("images are skipped") == 1
    assert said in daemon.said.getvalue()


def test_what_is_not_supported_is_named_once_whenever_it_comes(daemon: Daemon) -> None:
    with daemon.scaler() as scaler:
        for name in ("Unknown 1.heic", "Unknown 2.nef"):
            daemon.site.write(f"{RAW}/{name}", b"whatever")
            for _ in range(3):
                scaler.poll(config(daemon.site.account))
    said = [line.partition("INFO")[2].strip() for line in daemon.said.getvalue().splitlines() if "skipped" in line]
    assert [line.rpartition("1 image is")[2] for line in said] == [
        " skipped: 1 × HEIC is not supported (Unknown 1.heic)",
        " skipped: 1 × camera raw is not supported (Unknown 2.nef)",
    ]
    assert not [request for request in daemon.site.log if request[0] == "GET"]


def test_again_when_it_has_changed(daemon: Daemon) -> None:
    daemon.site.write(f"{RAW}/{A}", BAD)
    daemon.polls(2)
    daemon.site.write(f"{RAW}/{A}", BAD + b"more")
    assert daemon.polls(3) == [A]
    daemon.site.write(f"{RAW}/{A}", image())
    assert daemon.polls(2) == [A]
    assert len(daemon.skip_list) == 2
    assert inside(daemon.site, RAW) == {}


def test_none_is_forgotten_for_another(daemon: Daemon) -> None:
    for name in (A, B, C):
        daemon.site.write(f"{RAW}/{name}", BAD)
        assert daemon.polls(3) == [name]
    assert daemon.polls(3) == []
    daemon.site.remove(f"{RAW}/{B}")
    assert daemon.polls(3) == []


@pytest.mark.parametrize(
    "injected", [b"", b"{", b"[]", b'{"a": 1}', b'{"/data/raw/Unknown%20a.png": null}', b"\xff\xfe"]
)
def test_a_state_file_that_cannot_be_read_costs_one_more_look(daemon: Daemon, injected: bytes) -> None:
    daemon.site.write(f"{RAW}/{A}", BAD)
    daemon.polls(1)
    (file,) = daemon.state.iterdir()
    file.write_bytes(injected)
    assert daemon.polls(3) == [A]
    assert daemon.polls(3) == []


def test_a_state_that_cannot_be_written_is_no_reason_to_stop(daemon: Daemon) -> None:
    daemon.state.write_bytes(b"a file where a folder should be")
    daemon.site.write(f"{RAW}/{A}", BAD)
    daemon.site.write(f"{RAW}/{B}", image())
    assert daemon.polls(3) == [A, B]
    assert inside(daemon.site, RAW) == {A: BAD}


def test_a_thousand_cost_little(daemon: Daemon) -> None:
    names = [f"Unknown {number}.png" for number in range(1000)]
    for name in names:
        daemon.site.write(f"{RAW}/{name}", b"")
    assert daemon.polls(1) == sorted(names)
    (file,) = daemon.state.iterdir()
    assert file.stat().st_size < 150 * len(names)
    inode = file.stat().st_ino
    assert daemon.polls(3) == []
    assert file.stat().st_ino == inode, "written again though nothing changed"
