"""The server and the settings for all ways, set up anew before each run."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.vault import Vault
from scaler.images.probe import describe
from tests.bench.baselines import FLOOR, PREFIX, RAW, UNSORTED, Baseline, Scene
from tests.bench.measure import Usage, cpu_of, run
from tests.bench.proxy import delayed
from tests.servers.apache import Apache, apache

# The images were not changed lately, so that nobody has to wait whether they still do.
_AGE = 3600.0
OTHER = "Something else"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one way: what it took, what it asked of the server, and what that took for it."""

    usage: Usage
    requests: int
    connections: int
    server_cpu: float


class Scenario:
    """A WebDAV server on loopback, a Vault with settings for it, and images."""

    def __init__(self, server: Apache, vault: Vault, folder: Path) -> None:
        self.server = server
        self._vault = vault
        self._folder = folder
        self._pid = int((server.folder.parent / "pid").read_text())

    def draw(self, count: int, width: int, height: int) -> Path:
        """A folder with so many images; drawn once."""
        folder = self._folder / f"{count}x{width}x{height}"
        if not folder.exists():
            arguments = [str(folder), str(count), str(width), str(height)]
            subprocess.run([sys.executable, "-m", "tests.bench.images", *arguments], check=True)
        return folder

    @contextlib.contextmanager
    def scene(self, images: Path, latency: float, options: Sequence[str]) -> Iterator[Scene]:
        """The server as it is reached with a round trip of `latency` seconds."""
        port = urlsplit(self.server.url).port
        assert port is not None
        with contextlib.ExitStack() as stack:
            there = stack.enter_context(delayed(port, latency / 2)) if latency else port
            url = self.server.url.replace(f":{port}", f":{there}")
            login = {"username": self.server.username, "password": self.server.password}
            self._vault.write("bench/webdav", {"host_url": url, "url": url} | login)
            constants = {"RAW_NAMES_PREFIXES": [PREFIX], "RAW_REMOTE_DIR": RAW, "UNSORTED_REMOTE_DIR": UNSORTED}
            self._vault.write("bench/scaler_constants", constants)
            settings = {
                "VAULT_ADDR": self._vault.address,
                "VAULT_TOKEN": self._vault.token,
                "VAULT_KV_PREFIX": "bench",
            }
            yield Scene(images, url, login["username"], login["password"], settings, options)

    def seed(self, images: Path, others: int) -> None:
        """The images in the raw folder beside so many other files, nothing in the unsorted one."""
        owner = self.server.folder.stat()
        for name in (RAW, UNSORTED):
            folder = self.server.folder / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            os.chown(folder, owner.st_uid, owner.st_gid)
        self.add(images)
        for number in range(others):
            (self.server.folder / RAW / f"{OTHER}-{number:05}.jpg").touch()

    def add(self, images: Path) -> None:
        """More images in the raw folder."""
        then = time.time() - _AGE
        for image in images.iterdir():
            os.utime(image, (then, then))
            os.link(image, self.server.folder / RAW / image.name)

    def left(self) -> list[Path]:
        """The images that are still in the raw folder."""
        return list((self.server.folder / RAW).glob(f"{PREFIX}*"))

    def run(self, baseline: Baseline, scene: Scene, others: int = 0) -> Run:
        """Let a way do its work, beside so many files that are none of its business, and make sure that it did."""
        self.seed(scene.images, others)
        self.server.clear_log()
        before = cpu_of(self._pid)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            usage = run(baseline.command(scene), environment(baseline, scene, folder), Path(folder))
        server_cpu = cpu_of(self._pid) - before
        if baseline.name != FLOOR:
            self.verify(scene.images)
        log = self.server.requests()
        return Run(usage, len(log), len({record.peer for record in log}), server_cpu)

    def verify(self, images: Path) -> None:
        """Every image is there twice as wide and high, and its original is gone."""
        left = self.left()
        made = [file for file in (self.server.folder / UNSORTED).iterdir() if file.is_file()]
        expected = sorted(images.iterdir())
        assert not left, f"{len(left)} images are still there"
        assert len(made) == len(expected), f"{len(made)} images came out of {len(expected)}"
        before, after = describe(expected[0].read_bytes()), describe(min(made).read_bytes())
        assert (after.width, after.height) == (2 * before.width, 2 * before.height)


def environment(baseline: Baseline, scene: Scene, folder: str) -> dict[str, str]:
    """Of a way whose files are all in a folder."""
    root = str(Path(__file__).parents[2])
    return {"PATH": os.environ["PATH"], "PYTHONPATH": root, "HOME": folder, "TMPDIR": folder} | dict(
        baseline.environment(scene)
    )


@contextlib.contextmanager
def scenario() -> Iterator[Scenario]:
    """Start the servers; everything is gone afterwards."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        # The plain way looks for folders with HEAD, which takes an index; nobody should pay for compressing images.
        server = stack.enter_context(apache(autoindex=True, compressed=False))
        yield Scenario(server, stack.enter_context(Vault()), Path(folder))
