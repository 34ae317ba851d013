"""A site behind a proxy, the images on it, and the count of what became of each."""

import contextlib
import functools
import hashlib
import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from sandbox.nextcloud import Nextcloud
from scaler.config import ScalerConfig
from scaler.names import owner_of
from scaler.selection import SETTLED_AFTER
from scaler.service import ScalerService
from shared.errors import Failure
from shared.retry import ATTEMPTS, RetryPolicy
from shared.webdav.client import READ_TIMEOUT
from shared.webdav.store import THROWAWAY
from tests.fake_time import FakeTime
from tests.faults.proxy import Proxy
from tests.scaler.harness import HIDDEN, LIMITS, RAW, UNSORTED, config
from tests.servers.site import DiskSite

FILED = "data/filed"
SIZE = 16
POLLS = 6
_numbers = itertools.count(1)


@functools.lru_cache(maxsize=4096)
def image(number: int) -> bytes:
    """A small image of one colour, which tells its number even when it was upscaled."""
    colour = (number & 255, number >> 8 & 255, 77)
    _, data = cv2.imencode(".png", np.full((SIZE, SIZE, 3), colour, np.uint8))
    return data.tobytes()


@functools.lru_cache(maxsize=8192)
def number_of(data: bytes) -> tuple[int, int] | None:
    """The number and the width of a complete image; None for anything else."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None or pixels.shape[0] != pixels.shape[1] or (pixels != pixels[0, 0]).any():
        return None
    blue, green, _ = (int(value) for value in pixels[0, 0])
    return green << 8 | blue, int(pixels.shape[1])


@dataclass
class Scenario:
    """One site for one try.

    Attributes:
        site: behind the proxy.
        originals: the numbers of the images that must not be lost, by name.
        given_up: numbers of images that somebody replaced: a copy of one may be there, but not two.
        again: numbers of images that somebody put back after they were published: upscaled once more.
        crashes: what would have ended the daemon.
        nextcloud: the server, where it replaces files in place.
    """

    site: DiskSite
    proxy: Proxy
    state: Path
    time: FakeTime = field(default_factory=FakeTime)
    originals: dict[str, int] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    again: set[int] = field(default_factory=set)
    around: dict[str, bytes] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    timeout: float = READ_TIMEOUT
    nextcloud: Nextcloud | None = None

    @property
    def through_proxy(self) -> DiskSite:
        """The same site as the scaler sees it."""
        there = self.site.url.split("/", 3)
        return replace(self.site, url="/".join([*self.proxy.url.split("/", 3)[:3], there[3]]))

    def add(self, name: str, number: int) -> None:
        """Put an image into the raw folder."""
        self.originals[name] = number
        # Each with a date of its own: of two of the same size and date a server does not say that they differ.
        self.site.write(f"{RAW}/{name}", image(number), age=20000.0 - 3 * number)

    def add_or_replace(self, name: str, number: int) -> None:
        """Put an image into the raw folder; one that lies there under that name is lost by whoever does it."""
        self.give_up(name)
        self.originals[f"{number}: {name}"] = number
        # Each with a date of its own: of two of the same size and date a server does not say that they differ.
        self.site.write(f"{RAW}/{name}", image(number), age=20000.0 - 3 * number)

    def give_up(self, name: str) -> None:
        """Expect no longer what lies in the raw folder under a name."""
        there = self.visible(RAW).get(name)
        lost = number_of(there) if there else None
        if lost:
            self.given_up.add(lost[0])
            self.originals = {known: value for known, value in self.originals.items() if value != lost[0]}

    def file_away(self) -> None:
        """What a person does at any time: take the published copies to where they belong."""
        for file in (self.site.folder / UNSORTED).iterdir():
            if file.is_file() and f"{UNSORTED}/{file.name}" not in self.around:
                self.site.make_folder(FILED)
                with contextlib.suppress(FileNotFoundError):
                    # A name that is free again can come again within the same second.
                    self.rename(f"{UNSORTED}/{file.name}", f"{FILED}/{next(_numbers)} {file.name}")

    def overwrite(self, name: str, number: int) -> None:
        """Put another image into the place of one, as a client does; the one before becomes a version."""
        assert self.nextcloud
        self.originals[name] = number
        path = self.in_account(f"{RAW}/{name}")
        self.nextcloud.write(path, image(number), mtime=int(time.time()) - 20000 + 3 * number)

    def restore(self, name: str, number: int) -> None:
        """Make an image again what it was before; what it is now is a version of it then."""
        assert self.nextcloud
        path = self.in_account(f"{RAW}/{name}")
        (date,) = (date for date, data in self.nextcloud.versions(path).items() if data == image(number))
        self.nextcloud.restore_version(path, date)
        self.originals[name] = number

    def delete(self, path: str) -> None:
        """Delete a file as a person does."""
        if self.nextcloud:
            self.nextcloud.delete(self.in_account(path))
        else:
            self.site.remove(path)

    def rename(self, source: str, target: str) -> None:
        """Move or rename a file as a person does."""
        if self.nextcloud:
            self.nextcloud.rename(self.in_account(source), self.in_account(target))
        else:
            (self.site.folder / source).rename(self.site.folder / target)

    @contextlib.contextmanager
    def scaler(
        self, threads: int = 1, *, attempts: int = ATTEMPTS, short_timeout: bool = False
    ) -> Iterator[ScalerService]:
        """A freshly started scaler, which may not wait long for a silent server."""
        self.timeout = 0.2 if short_timeout else READ_TIMEOUT
        retry = RetryPolicy(self.time.stop(), attempts)
        with ScalerService(threads=threads, limits=LIMITS, quality=95, state=self.state, retry=retry) as scaler:
            yield scaler

    @property
    def config(self) -> ScalerConfig:
        return config(self.through_proxy.account.model_copy(update={"timeout": self.timeout}))

    def poll(self, scaler: ScalerService, config: ScalerConfig | None = None) -> Sequence[Failure]:
        """A poll that may fail; what failed. Other exceptions would have ended the daemon."""
        try:
            return scaler.poll(config or self.config)
        except Failure as failure:
            return [failure]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is to be counted
            self.crashes.append(repr(error))
            return [Failure(repr(error))]

    def recover(self, config: ScalerConfig | None = None) -> None:
        """Polls of a fresh scaler until there is nothing left to do."""
        with self.scaler() as scaler:
            for _ in range(POLLS):
                failures = self.poll(scaler, config)
                assert not failures, failures
                if not self.visible(RAW):
                    return
                # What was changed by a client a moment ago is settled now.
                self.time.now += SETTLED_AFTER

    def visible(self, folder: str) -> dict[str, bytes]:
        """The files directly in a folder that are ours, but for the throwaway files of killed scalers."""
        return {
            path.rpartition("/")[2]: data
            for path, data in self.site.files().items()
            if path.rpartition("/")[0] == folder and path not in self.around and not _is_throwaway(path, data)
        }

    def surround(self) -> None:
        """Put things around that are nobody's business."""
        self.around = {
            "data/keep.png": b"beside the folders",
            f"{RAW}/Other.png": b"another prefix",
            f"{RAW}/below/Unknown.png": b"in a folder below",
            f"{UNSORTED}/Unknown.png": b"there already",
            f"{RAW}/{HIDDEN}-not/Unknown.png": b"a folder with a similar name",
        }
        for path, data in self.around.items():
            self.site.write(path, data)

    def complaints(self) -> list[str]:
        """What is not as promised, now that all is quiet; empty if nothing."""
        files = self.site.files()
        said = [f"the daemon ended by {error}" for error in self.crashes]
        said += [f"{path} was touched" for path, data in self.around.items() if files.get(path) != data]
        copies: dict[int, list[str]] = {}
        for path, data in files.items():
            folder, _, name = path.rpartition("/")
            if path in self.around or folder == RAW:
                continue
            if folder == f"{RAW}/{HIDDEN}":
                if not re.fullmatch(r"unsorted-[0-9a-f]{8}\.txt", name):
                    said.append(f"a claim is left: {name}")
            elif folder.endswith(f"/{HIDDEN}"):
                if owner_of(name) is None:
                    said.append(f"{name} lies among the uploads")
            else:
                found = number_of(data)
                times = 4 if found and found[0] in self.again else 2
                if found is None or found[1] != times * SIZE:
                    said.append(f"{path} is not a whole copy ({len(data)} bytes, {hashlib.sha1(data).hexdigest()[:6]})")
                else:
                    copies.setdefault(found[0], []).append(path)
        found_in_raw = {name: found for name, data in self.visible(RAW).items() if (found := number_of(data))}
        said += [f"{name} was not moved on" for name, (_, width) in found_in_raw.items() if width != SIZE]
        in_raw = [number for number, _ in found_in_raw.values()]
        for name, number in self.originals.items():
            raw, published = in_raw.count(number), copies.get(number, [])
            if raw + len(published) != 1:
                said.append(f"{name} ({number}) is there {raw} times raw, and as {published}")
        said += [f"{number} is there twice" for number in self.given_up if len(copies.get(number, ())) > 1]
        strange = copies.keys() - set(self.originals.values()) - self.given_up
        return said + [f"nobody put {number} there" for number in strange] + self._without_original(copies)

    def _without_original(self, copies: Mapping[int, Sequence[str]]) -> list[str]:
        """On a Nextcloud, those whose original cannot be restored.

        In place it is a version. A scaler whose trial of that failed publishes by claims: then it is in the trash.
        """
        if self.nextcloud is None:
            return []
        expected = set(self.originals.values())
        paths = [(number, path) for number, there in copies.items() if number in expected for path in there]
        trashed = {data for _, data in self.nextcloud.trash()}
        return [
            f"the original of {path} cannot be restored"
            for number, path in paths
            if image(number) not in {*self.nextcloud.versions(self.in_account(path)).values(), *trashed}
        ]

    def in_account(self, path: str) -> str:
        """A path of the site as the Nextcloud has it."""
        assert self.nextcloud
        return str((self.site.folder / path).relative_to(self.nextcloud.folder))


def _is_throwaway(path: str, data: bytes) -> bool:
    return path.startswith(f"{RAW}/{THROWAWAY}") and not data
