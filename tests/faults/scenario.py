"""A site behind a proxy, the images on it, and the count of what became of each."""

import contextlib
import functools
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from scaler.names import owner_of
from scaler.service import ScalerConfig, ScalerService
from shared import retry
from shared.errors import Failure
from shared.retry import RetryPolicy
from shared.webdav import client as webdav
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
        mistakes: what would have ended the daemon.
    """

    site: DiskSite
    proxy: Proxy
    state: Path
    time: FakeTime = field(default_factory=FakeTime)
    originals: dict[str, int] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    around: dict[str, bytes] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

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
        there = self.visible(RAW).get(name)
        lost = number_of(there) if there else None
        if lost:
            self.given_up.add(lost[0])
            self.originals = {known: value for known, value in self.originals.items() if value != lost[0]}
        self.originals[f"{number}: {name}"] = number
        # Each with a date of its own: of two of the same size and date a server does not say that they differ.
        self.site.write(f"{RAW}/{name}", image(number), age=20000.0 - 3 * number)

    def file_away(self) -> None:
        """What a person does at any time: take the published copies to where they belong."""
        for file in (self.site.folder / UNSORTED).iterdir():
            if file.is_file() and f"{UNSORTED}/{file.name}" not in self.around:
                self.site.make_folder(FILED)
                with contextlib.suppress(FileNotFoundError):
                    # A name that is free again can come again within the same second.
                    file.rename(self.site.folder / FILED / f"{next(_numbers)} {file.name}")

    @contextlib.contextmanager
    def scaler(
        self, threads: int = 1, *, attempts: int = retry.ATTEMPTS, short_timeout: bool = False
    ) -> Iterator[ScalerService]:
        """A freshly started scaler; an impatient one does not wait long for a silent server."""
        webdav._refused.clear()
        stop = self.time.stop()
        retry.adopt(RetryPolicy(stop, attempts))
        with pytest.MonkeyPatch.context() as patch, ScalerService(threads, LIMITS, 95, self.state, stop) as scaler:
            if short_timeout:
                patch.setattr(webdav, "READ_TIMEOUT", 0.2)
            yield scaler
        self.forget_connections()

    def forget_connections(self) -> None:
        """What the end of a process closes."""
        for clients in webdav._idle.values():
            for client in clients:
                client.close()
        webdav._idle.clear()

    @property
    def config(self) -> ScalerConfig:
        return config(self.through_proxy.account)

    def poll(self, scaler: ScalerService, config: ScalerConfig | None = None) -> Sequence[Failure]:
        """A poll that may fail; what failed. Other exceptions would have ended the daemon."""
        try:
            return scaler.poll(config or self.config)
        except Failure as failure:
            return [failure]
        except Exception as mistake:  # noqa: BLE001 - whatever it is, it is to be counted
            self.mistakes.append(repr(mistake))
            return [Failure(repr(mistake))]

    def recover(self, config: ScalerConfig | None = None) -> None:
        """Polls of a fresh scaler until there is nothing left to do."""
        with self.scaler() as scaler:
            for _ in range(POLLS):
                failures = self.poll(scaler, config)
                assert not failures, failures
                if not self.visible(RAW):
                    return

    def visible(self, folder: str) -> dict[str, bytes]:
        """The files directly in a folder that are ours."""
        return {
            path.rpartition("/")[2]: data
            for path, data in self.site.files().items()
            if path.rpartition("/")[0] == folder and path not in self.around
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
        said = [f"the daemon ended by {mistake}" for mistake in self.mistakes]
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
                if found is None or found[1] != 2 * SIZE:
                    said.append(f"{path} is not a whole copy ({len(data)} bytes, {hashlib.sha1(data).hexdigest()[:6]})")
                else:
                    copies.setdefault(found[0], []).append(path)
        in_raw = [found[0] for data in self.visible(RAW).values() if (found := number_of(data))]
        for name, number in self.originals.items():
            raw, published = in_raw.count(number), copies.get(number, [])
            if raw + len(published) != 1:
                said.append(f"{name} ({number}) is there {raw} times raw, and as {published}")
        said += [f"{number} is there twice" for number in self.given_up if len(copies.get(number, ())) > 1]
        strange = copies.keys() - set(self.originals.values()) - self.given_up
        return said + [f"nobody put {number} there" for number in strange]
