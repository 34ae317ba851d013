"""What `--dask` costs and where one daemon's limit lies: `python -m tests.bench.dask_scale [overhead|rate|names]`.

overhead: 150 images of 2000 x 1500 by the thread pool and by `--dask local` in turn, with and without their start.
rate: tiny images whose workers sleep as if they were upscaling, so that only the daemon and the server limit the rate.
names: the memory of a daemon for a listing of 100,000 names of images.
"""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import click
from loguru import logger
from pydantic import SecretStr

from scaler.config import ScalerConfig
from scaler.dask_cluster import Cluster
from scaler.dask_options import ClusterOptions
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
from tests.bench.baselines import PREFIX, RAW, UNSORTED, Scene
from tests.bench.growth import listing, ours
from tests.bench.loads import LOADS
from tests.bench.servers import Scenario, environment, scenario
from tests.servers.dask import DaskCluster, dask_cluster

ROUNDS = 5
LOCAL = ("--dask", "local")
# Number, width, height of the images that a daemon starts with.
FIRST = (20, 200, 150)
_POLL = re.compile(r"Poll finished in ([0-9.]+) s: (\d+) upscaled")
SLEEP = 0.5
IMAGES, WORKERS, THREADS = 600, 2, 32
NAMES = (10_000, 100_000)


def overhead(servers: Scenario, title: str, measure: Callable[[Scenario, Scene], float]) -> str:
    """The ratio of both ways, in turn."""
    load, seconds = LOADS["many"], dict[bool, list[float]]({True: [], False: []})
    images = servers.draw(load.count, load.width, load.height)
    for number in range(ROUNDS):
        for by_dask in (True, False) if number % 2 else (False, True):
            with servers.scene(images, 0.0, LOCAL if by_dask else ()) as scene:
                seconds[by_dask].append(measure(servers, scene))
    pairs = [by_dask / alone for by_dask, alone in zip(seconds[True], seconds[False], strict=True)]
    return (
        f"{load.title}, {title}: --dask local {median(seconds[True]):.1f} s, threads {median(seconds[False]):.1f} s;"
        f" ratio {median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"
    )


def whole_process(servers: Scenario, scene: Scene) -> float:
    """Seconds of `--once`, with all that it imports and starts."""
    return servers.run(ours(), scene).usage.wall


def running_daemon(servers: Scenario, scene: Scene) -> float:
    """Seconds of the polls that upscale the images, of a daemon that has already upscaled others."""
    servers.seed(servers.draw(*FIRST), 0)
    total = FIRST[0] + len(list(scene.images.iterdir()))
    with tempfile.TemporaryDirectory() as folder, (log := Path(folder) / "log").open("w") as output:
        command = [*ours().command(scene), "--frequency", "1"]
        command.remove("--once")
        with subprocess.Popen(command, env=environment(ours(), scene, folder), stdout=output, stderr=output) as daemon:
            _wait_until_empty(servers, log, FIRST[0])
            servers.add(scene.images)
            _wait_until_empty(servers, log, total)
            daemon.terminate()
        polls = _POLL.findall(log.read_text())
    assert sum(int(count) for _, count in polls) == total
    return sum(float(seconds) for seconds, count in polls if int(count) != FIRST[0])


def _wait_until_empty(servers: Scenario, log: Path, upscaled: int) -> None:
    while servers.left() or sum(int(count) for _, count in _POLL.findall(log.read_text())) < upscaled:
        time.sleep(0.1)


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
            click.echo(overhead(servers, "whole processes", whole_process))
            click.echo(overhead(servers, "daemons that already run", running_daemon))
        if what in ("", "rate"):
            click.echo(rate(servers))


if __name__ == "__main__":
    main(*sys.argv[1:])
