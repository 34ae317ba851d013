"""What the tests of replacing in place have in common: a Nextcloud of their own, and what people do on it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from loguru import logger

from sandbox.nextcloud import Nextcloud
from tests.contract.spy import Call, SpiedAccount
from tests.scaler.harness import RAW, UNSORTED, image, inside, pixels, upscaled_pixels
from tests.scaler.test_steps import after, decoded, die, stop_at
from tests.servers.site import DiskSite

NAME = "Unknown Zoë.png"
FILE = f"{RAW}/{NAME}"
# Long ago, in a zone where nothing is rounded.
DATE = 1_700_000_000


class Clock:
    """The server's time: an hour ago, so that what people write is settled, until it is set to the present."""

    def __init__(self) -> None:
        self.behind = 3600.0

    def __call__(self) -> float:
        return time.time() - self.behind


class CloudSite(DiskSite):
    """The whole account of a Nextcloud as a site, whose paths are those of `AccountAccess`."""

    def __init__(self, cloud: Nextcloud) -> None:
        super().__init__("nextcloud", cloud.files_url, cloud.folder, cloud.user, cloud.password, hashes=True)
        self.cloud = cloud

    @property
    def names(self) -> tuple[set[str], set[str]]:
        """What lies in the raw and in the unsorted folder."""
        return set(inside(self, RAW)), set(inside(self, UNSORTED))

    @property
    def published(self) -> str:
        """The path of the one image in the unsorted folder."""
        (name,) = inside(self, UNSORTED)
        return f"{UNSORTED}/{name}"


def is_assembly(call: Call) -> bool:
    """The replacement of an image's content, not of a throwaway file's."""
    return call.method == "assemble" and "Unknown" in decoded(call.target)


def is_move_on(call: Call) -> bool:
    """The move to the unsorted folder."""
    return call.method == "move" and UNSORTED in decoded(call.target)


def spied(site: CloudSite, spy: Callable[[Call], None]) -> SpiedAccount:
    """An account whose calls are shown to a spy."""
    return SpiedAccount(site.account, spy)


def leave_unfinished(site: CloudSite, state: Path, data: bytes | None = None) -> None:
    """An image in the raw folder that a scaler has upscaled, and died."""
    site.cloud.write(FILE, data or image(), mtime=DATE)
    stop_at(site, state, after(is_assembly, die))
    assert "UPSCALED:" in site.cloud.checksum(FILE)


def is_upscaled(found: bytes, original: bytes) -> bool:
    """Whether an image is another one upscaled, once."""
    return pixels(found) == upscaled_pixels(original)


@contextlib.contextmanager
def log_lines(level: str = "INFO") -> Iterator[list[str]]:
    """What is logged from a level on, a level and a text each."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(line.rstrip("\n")), level=level, format="{level} {message}")
    try:
        yield lines
    finally:
        logger.remove(sink)
