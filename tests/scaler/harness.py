"""What the tests of the scaler have in common: images, a scaler in this process, and a look at what it did."""

import contextlib
import random
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from scaler.config import ScalerConfig
from scaler.memory_budget import Limits
from scaler.service import ScalerService
from shared.errors import Failure
from shared.filenames import HIDDEN_FOLDER
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.store import THROWAWAY, Account
from tests.fake_time import FakeTime
from tests.servers.site import Site

HIDDEN = HIDDEN_FOLDER
RAW, UNSORTED = "data/raw", "data/unsorted"
LIMITS = Limits(cores=2, memory=256 * 2**20)


@lru_cache(maxsize=64)
def image(seed: int = 0, width: int = 9, height: int = 7, extension: str = ".png") -> bytes:
    """An image of noise, another one for every seed."""
    noise = random.Random(seed).randbytes(width * height * 3)
    pixels = np.frombuffer(noise, np.uint8).reshape(height, width, 3)
    done, data = cv2.imencode(extension, pixels)
    assert done
    return data.tobytes()


def upscaled_pixels(data: bytes) -> bytes:
    """What the pixels of an image are to be after upscaling."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    upscaled: bytes = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR).tobytes()
    return upscaled


def pixels(data: bytes) -> bytes:
    """The pixels of an image as they are."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image.tobytes()


def prepare(site: Site, raw: str = RAW, unsorted: str = UNSORTED) -> None:
    """Make both folders."""
    site.make_folder(raw)
    site.make_folder(unsorted)


def config(
    account: Account, raw: str = RAW, unsorted: str = UNSORTED, prefixes: tuple[str, ...] = ("Unknown",)
) -> ScalerConfig:
    return ScalerConfig(account, raw, unsorted, prefixes)


@contextlib.contextmanager
def a_scaler(state: Path, *, threads: int = 2, stop: StopToken | None = None) -> Iterator[ScalerService]:
    """A scaler in which pauses take no time."""
    retry = RetryPolicy(stop or FakeTime().stop())
    with ScalerService(threads=threads, limits=LIMITS, quality=95, state=state, retry=retry) as scaler:
        yield scaler


def poll(
    account: Account, state: Path, *, raw: str = RAW, unsorted: str = UNSORTED, until_settled: bool = False
) -> Sequence[Failure]:
    """What a freshly started scaler does in its first poll; gives what failed."""
    with a_scaler(state) as scaler:
        return scaler.poll(config(account, raw, unsorted), until_settled=until_settled)


def inside(site: Site, folder: str) -> dict[str, bytes]:
    """The files that lie directly in a folder, by name."""
    return {
        path.removeprefix(folder + "/"): data
        for path, data in site.files().items()
        if path.startswith(folder + "/") and "/" not in path.removeprefix(folder + "/")
    }


def claims(site: Site, raw: str = RAW) -> dict[str, bytes]:
    """The claimed originals."""
    return {name: data for name, data in inside(site, f"{raw}/{HIDDEN}").items() if not name.endswith(".txt")}


def uploads(site: Site, unsorted: str = UNSORTED) -> dict[str, bytes]:
    """The copies that nobody sees yet."""
    return inside(site, f"{unsorted}/{HIDDEN}")


def published(site: Site, unsorted: str = UNSORTED) -> dict[str, bytes]:
    """The published copies by the name they came with: the time, which must be there, and a number are cut out."""
    found = {}
    for name, data in inside(site, unsorted).items():
        plain, times = re.subn(r"_\d{8}T\d{6}Z(?=(-\d+)?\.\w+$)", "", name)
        assert times == 1, name
        found[plain] = data
    return found


def assert_done(site: Site, originals: dict[str, bytes], *, raw: str = RAW, unsorted: str = UNSORTED) -> None:
    """Every original is gone, and its upscaled copy is there exactly once."""
    # A scaler that is killed while it tries what the server can leaves an empty hidden file for a minute.
    assert {name: data for name, data in inside(site, raw).items() if data or not name.startswith(THROWAWAY)} == {}
    assert claims(site, raw) == {}
    there = published(site, unsorted)
    assert {name: pixels(data) for name, data in there.items()} == {
        name: upscaled_pixels(data) for name, data in originals.items()
    }
