"""The mover beside the plain way, on the sandbox's Nextcloud."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mover.config import MoverSettings
from mover.service import MoverService
from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault as VaultServer
from shared.config.vault import Vault
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from tests.bench.baselines import PLAIN, PREFIX
from tests.bench.measure import Usage, run

UNSORTED, ROOT, PARENT = "unsorted", "organized", "ai"
CATEGORIES = ("cats", "landscapes", "portraits")
COUNT, TAGGED = 1000, 100
# What a real Nextcloud was seen to take for a small request whose session is known by its cookie.
ANSWERS_AFTER = 0.025


@dataclass(frozen=True, slots=True)
class Filed:
    """One run: what it took and what it asked."""

    what: str
    way: str
    usage: Usage
    requests: int
    connections: int


class Cabinet:
    """A Nextcloud with a thousand images, and a Vault with settings for it."""

    def __init__(self, nextcloud: Nextcloud, vault: VaultServer) -> None:
        self.nextcloud = nextcloud
        for name in CATEGORIES:
            nextcloud.create_tag(f"{PARENT}:{name}")
        login = {"username": nextcloud.user, "password": nextcloud.password}
        vault.write("filing/webdav", {"host_url": nextcloud.url, "url": nextcloud.files_url} | login)
        constants = {"IMAGES_ROOT_DIR": ROOT, "UNSORTED_REMOTE_DIR": UNSORTED, "PARENT_TAG_VALUE": PARENT}
        vault.write("filing/mover_constants", constants)
        self.settings = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token, "VAULT_KV_PREFIX": "filing"}

    def seed(self, tagged: int) -> None:
        """A thousand images in the unsorted folder, the first of them tagged; nothing filed."""
        for name in (UNSORTED, ROOT):
            shutil.rmtree(self.nextcloud.folder / name, ignore_errors=True)
            (self.nextcloud.folder / name).mkdir()
        for number in range(COUNT):
            (self.nextcloud.folder / UNSORTED / f"{PREFIX}-{number:05}.jpg").write_bytes(b"\xff\xd8\xff image")
        for number in range(tagged):
            name = f"{PREFIX}-{number:05}.jpg"
            self.nextcloud.tag(f"{UNSORTED}/{name}", f"{PARENT}:{CATEGORIES[number % len(CATEGORIES)]}")

    def run(self, what: str, way: str, tagged: int) -> Filed:
        """File the images one way, as a process of its own."""
        self.seed(tagged)
        self.nextcloud.clear_log()
        commands: Mapping[str, list[str]] = {
            "mover": [str(Path(sys.executable).with_name("mover")), "--once"],
            PLAIN: [sys.executable, "-m", "tests.bench.plain_mover", UNSORTED, ROOT, PARENT],
        }
        login = {
            "NEXTCLOUD_URL": self.nextcloud.url,
            "NEXTCLOUD_USER": self.nextcloud.user,
            "NEXTCLOUD_PASSWORD": self.nextcloud.password,
        }
        with tempfile.TemporaryDirectory() as folder:
            general = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": folder}
            usage = run(commands[way], general | self.settings | login, Path(folder))
        filed = sum(file.is_file() for file in (self.nextcloud.folder / ROOT).rglob("*"))
        assert filed == tagged, f"{filed} of {tagged} images were filed"
        log = self.nextcloud.requests
        return Filed(what, way, usage, len(log), len({record.peer for record in log}))

    def idle_requests(self) -> int:
        """How many requests a poll takes that finds nothing new."""
        self.seed(0)
        config = MoverSettings(Vault(self.settings)).read()
        with MoverService(RetryPolicy(StopToken())) as mover:
            mover.poll(config)
            self.nextcloud.clear_log()
            mover.poll(config)
            return len(self.nextcloud.requests)


def measure(rounds: int, say: Callable[[str], None]) -> tuple[list[Filed], int]:
    """All runs, and the requests of an idle poll."""
    runs = []
    with Nextcloud(latency=ANSWERS_AFTER) as nextcloud, VaultServer() as vault:
        cabinet = Cabinet(nextcloud, vault)
        for number in range(rounds):
            for what, tagged in ((f"{COUNT} images, none tagged", 0), (f"{TAGGED} of {COUNT} tagged", TAGGED)):
                for way in ("mover", PLAIN):
                    # The plain way is slow: once is enough.
                    if way == "mover" or number == 0:
                        runs.append(cabinet.run(what, way, tagged))
                        say(f"{what}: {way}, {runs[-1].usage.wall:.1f} s")
        return runs, cabinet.idle_requests()
