"""What `--dask` costs and where one daemon's limit lies: `python -m tests.bench.dask_scale [overhead|rate|names]`.

overhead: 150 images of 2000 x 1500 by the thread pool and by `--dask local`, whole processes in turn.
rate: tiny images whose workers sleep as if they were upscaling, so that only the daemon and the server limit the rate.
names: the memory of a daemon for a listing of 100,000 names of images.
"""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import click
from loguru import logger
from pydantic import SecretStr

from scaler.config import ScalerConfig
from scaler.dask_cluster import Cluster, ClusterOptions
from scaler.dask_worker import UpscaleTask, upscale_on_worker
from scaler.jobs import Upscaled
from scaler.memory_budget import limits
from scaler.selection import image_names, select
from scaler.service import ScalerService
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.account import WebDavAccount
from shared.webdav.multistatus import parse
from shared.webdav.store import Href
from tests.bench.baselines import PREFIX, RAW, UNSORTED
from tests.bench.growth import listing, ours
from tests.bench.loads import LOADS
from tests.bench.servers import Scenario, scenario
from tests.servers.dask import DaskCluster, dask_cluster

ROUNDS = 5
SLEEP = 0.5
IMAGES, WORKERS, THREADS = 600, 2, 32
NAMES = (10_000, 100_000)


def overhead(servers: Scenario) -> str:
    """The ratio of both ways, whole processes with all that they import and start."""
    load, seconds = LOADS["many"], dict[bool, list[float]]({True: [], False: []})
    images = servers.draw(load.count, load.width, load.height)
    for number in range(ROUNDS):
        for by_dask in (True, False) if number % 2 else (False, True):
            options = ("--dask", "local") if by_dask else ()
            with servers.scene(images, 0.0, options) as scene:
                seconds[by_dask].append(servers.run(ours(), scene).usage.wall)
    pairs = [by_dask / alone for by_dask, alone in zip(seconds[True], seconds[False], strict=True)]
    return (
        f"{load.title}: --dask local {median(seconds[True]):.1f} s, threads {median(seconds[False]):.1f} s;"
        f" ratio {median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"
    )


def sleeping(task: UpscaleTask) -> Upscaled | Exception:
    """Stands for `upscale_on_worker` on a worker: another machine would be busy that long."""
    time.sleep(SLEEP)
    return upscale_on_worker(task)


@contextlib.contextmanager
def _workers_that_sleep(folder: Path) -> Iterator[DaskCluster]:
    from scaler import dask_cluster as module

    with dask_cluster(folder, 0) as cluster:
        for _ in range(WORKERS):
            cluster.add_worker(THREADS)
        module.upscale_on_worker = sleeping  # type: ignore[attr-defined]  # it imports it
        yield cluster


def rate(servers: Scenario) -> str:
    """Images a second with so many threads that sleep, and the daemon's processor time for each."""
    servers.seed(servers.draw(IMAGES, 16, 12), 0)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        cluster = stack.enter_context(_workers_that_sleep(Path(name) / "dask"))
        options = ClusterOptions(cluster.address, None, 10, 600.0, False, False, None)
        stop = StopToken()
        client = stack.enter_context(Cluster(options, limits(None), stop))
        while client.window() < 2 * WORKERS * THREADS:
            time.sleep(0.5)
        service = stack.enter_context(
            ScalerService(
                threads=10, limits=limits(None), quality=95, state=Path(name), retry=RetryPolicy(stop), cluster=client
            )
        )
        server = servers.server
        account = WebDavAccount(base_url=server.url, username=server.username, password=SecretStr(server.password))
        config = ScalerConfig(account, RAW, UNSORTED, (PREFIX,))
        start, busy = time.monotonic(), time.process_time()
        failed = service.poll(config)
        seconds, processor = time.monotonic() - start, time.process_time() - busy
    assert not failed, failed[0]
    asleep = IMAGES * SLEEP / (WORKERS * THREADS)
    return (
        f"{IMAGES} images on {WORKERS * THREADS} sleeping threads: {IMAGES / seconds:.0f} images a second (the threads"
        f" alone allow {IMAGES / asleep:.0f}); the daemon takes {processor / IMAGES * 1000:.1f} ms of processor each"
    )


def names() -> str:
    """Bytes for each name, of the whole process at its peak; each number in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.dask_scale", "peak"]
    peaks = [int(subprocess.check_output([*command, str(number)])) for number in NAMES]
    return f"a listing: {(peaks[1] - peaks[0]) / (NAMES[1] - NAMES[0]):.0f} bytes of memory for each name of an image"


def _peak(number: int) -> int:
    wanted = image_names([PREFIX])
    found = parse(listing(number, number), Href("/dav/raw/"), "Sun, 22 Nov 2026 20:00:00 GMT", wanted)
    selection = select(found, wanted, skipped=lambda _: False, before={}, now=0.0)
    assert len(selection.take) == number
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[0]) * 1024


def main(what: str = "", number: str = "") -> None:
    """Print what is asked for, or all."""
    if what == "peak":
        click.echo(_peak(int(number)))
        return
    if what in ("", "names"):
        click.echo(names())
    logger.remove()
    with scenario() as servers:
        if what in ("", "overhead"):
            click.echo(overhead(servers))
        if what in ("", "rate"):
            click.echo(rate(servers))


if __name__ == "__main__":
    main(*sys.argv[1:])
