"""Whether the cost grows faster than the work: many names of which few match, and more and more images."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pydantic import SecretStr

from sandbox.nextcloud import Nextcloud
from scaler.config import ScalerConfig
from scaler.memory_budget import limits
from scaler.selection import image_names, select
from scaler.service import ScalerService
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.account import WebDavAccount
from shared.webdav.multistatus import parse
from shared.webdav.store import Href
from tests.bench.baselines import OURS, PREFIX, RAW, UNSORTED, Baseline, baselines
from tests.bench.servers import OTHER, Run, Scenario

NAMES, MATCHING = 10_000, 10
COUNTS = (1000, 2000, 4000)
WIDTH, HEIGHT = 160, 120


@dataclass(frozen=True, slots=True)
class Grown:
    """What so many images take; `others` names in the folder are none of ours."""

    images: int
    others: int
    run: Run


def ours() -> Baseline:
    """The scaler as a process."""
    return next(baseline for baseline in baselines() if baseline.name == OURS)


def measure(scenario: Scenario, say: Callable[[str], None]) -> list[Grown]:
    """The scaler on each size in turn."""
    found = []
    for images, others in ((MATCHING, 0), (MATCHING, NAMES - MATCHING), *((count, 0) for count in COUNTS)):
        with scenario.scene(scenario.draw(images, WIDTH, HEIGHT), 0.0, ()) as scene:
            found.append(Grown(images, others, scenario.run(ours(), scene, others)))
        say(f"{images} of {images + others} names: {found[-1].run.usage.wall:.1f} s")
    return found


def listing(names: int, matching: int) -> bytes:
    """What Apache answers to a PROPFIND of a folder with so many files, of which so many start with our prefix."""
    entry = (
        '<D:response xmlns:lp1="DAV:" xmlns:g0="http://owncloud.org/ns" xmlns:g1="http://nextcloud.org/ns">\n'
        "<D:href>/dav/raw/{name}</D:href>\n<D:propstat>\n<D:prop>\n<lp1:resourcetype/>\n"
        "<lp1:getcontentlength>484354</lp1:getcontentlength>\n"
        "<lp1:getetag>&quot;76402-6442d8d0b7fa{number:04x}&quot;</lp1:getetag>\n"
        "<lp1:getlastmodified>Sun, 22 Nov 2026 18:{minute:02}:{second:02} GMT</lp1:getlastmodified>\n"
        "</D:prop>\n<D:status>HTTP/1.1 200 OK</D:status>\n</D:propstat>\n<D:propstat>\n"
        "<D:prop>\n<g0:fileid/>\n<g1:upload_time/>\n</D:prop>\n"
        "<D:status>HTTP/1.1 404 Not Found</D:status>\n</D:propstat>\n</D:response>\n"
    )
    folder = entry.replace("<lp1:resourcetype/>", "<lp1:resourcetype><D:collection/></lp1:resourcetype>")
    parts = ['<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n']
    parts.append(folder.format(name="", number=0, minute=0, second=0))
    for number in range(names):
        head = PREFIX if number < matching else OTHER
        name = f"{head}-{number:05}.jpg".replace(" ", "%20")
        parts.append(entry.format(name=name, number=number, minute=number // 60 % 60, second=number % 60))
    parts.append("</D:multistatus>\n")
    return "".join(parts).encode()


def own_share() -> float:
    """Seconds of processor time that reading a listing of NAMES files and choosing from it takes us; median."""
    body = listing(NAMES, MATCHING)
    return median(_own_share(body) for _ in range(5))


def _own_share(body: bytes) -> float:
    started = time.thread_time()
    wanted = image_names([PREFIX])
    found = parse(body, Href("/dav/raw/"), "Sun, 22 Nov 2026 20:00:00 GMT", wanted)
    selection = select(found, wanted, skipped=lambda _: False, before={}, now=0.0)
    seconds = time.thread_time() - started
    assert len(selection.take) == MATCHING
    return seconds


@dataclass(frozen=True, slots=True)
class Idle:
    """A poll that finds nothing new: its requests, and seconds of processor time."""

    requests: int
    cpu: float


def idle() -> Idle:
    """The second look at a Nextcloud's folder of NAMES files, none of them ours."""
    with Nextcloud() as server, tempfile.TemporaryDirectory() as state:
        for name in (RAW, UNSORTED):
            (server.folder / name).mkdir()
        for number in range(NAMES):
            (server.folder / RAW / f"{OTHER}-{number:05}.jpg").touch()
        account = WebDavAccount(base_url=server.files_url, username=server.user, password=SecretStr(server.password))
        config = ScalerConfig(account, RAW, UNSORTED, (PREFIX,))
        retry = RetryPolicy(StopToken())
        with ScalerService(threads=1, limits=limits(None), quality=95, state=Path(state), retry=retry) as scaler:
            scaler.poll(config)
            server.clear_log()
            started = time.thread_time()
            scaler.poll(config)
            return Idle(len(server.requests), time.thread_time() - started)
