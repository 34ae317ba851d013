"""`--dask`: images are upscaled by the workers of a Dask cluster (`dask_worker`), and published by this daemon.

A thread of the daemon submits an image and waits for it, so as many are in flight as there are threads. Nothing depends
on what becomes of a task: an upload that is not published is removed by the server, or as an orphan by recovery.
"""

import asyncio
import contextlib
import ipaddress
import logging
import math
import secrets
import threading
import urllib.parse
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import dask
from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.utils import LoopRunner
from loguru import logger

from scaler.dask_worker import (
    OPENCV,
    PACKAGE,
    ClusterUnavailable,
    UpscaleTask,
    opencv_version,
    software,
    upscale_on_worker,
)
from scaler.jobs import Resources, Upscaled, UpscaleJob
from scaler.local_workers import PRELOADED
from scaler.memory_budget import Limits
from scaler.upscaling import TooLarge, upscale_image
from shared.errors import Cancelled, Failure, InvalidSettings, Unauthorized
from shared.shutdown import StopToken
from shared.webdav.account import WebDavAccount
from shared.webdav.store import Account

# Seconds.
CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 3.0
# How often a waiting thread checks for a stop request, and where its task is.
_GLANCE = 1.0
# A result is a few hundred bytes.
_FETCH = 60.0
_LOOK = 30.0
# The daemon publishes with this part of the requests that all may send at once.
_OWN_SHARE = 0.3
_LOOPBACK = ["127.0.0.1", "::1"]
# For `local`: each process has as many threads as the thread pool, and computes on so many cores.
_LOCAL_THREADS, _LOCAL_CORES = 10, 4


@dataclass(frozen=True)
class ClusterOptions:
    """The options of the command line.

    Attributes:
        dask: the address: `tcp://…`, `tls://…`, `local`, `gateway` or `gateway:NAME`.
        in_flight: images; None for twice the cluster's threads.
        dask_requests: to the image server at once, from the cluster and the daemon together.
        dask_timeout: seconds that a worker may take for an image.
        dask_insecure: the password may travel unencrypted.
        dask_fallback: upscale in this process while the cluster is unavailable.
        max_memory: bytes for a worker process; None for what it finds.
        start_method: of the processes of `local`, from `local_workers.prepare`.
    """

    dask: str
    in_flight: int | None
    dask_requests: int
    dask_timeout: float
    dask_insecure: bool
    dask_fallback: bool
    max_memory: int | None
    start_method: str = ""


class WorkerFailed(Failure):
    """A worker has not finished an image in time, or workers died with it; the next poll tries again."""


class Cluster:
    """A Dask cluster; several threads may use it at once.

    Args:
        limits: of this machine, for the workers of `local`.

    Attributes:
        own_requests: limits those of the daemon itself.
        workers: how many there were at the last poll.
        description: the cluster in words; empty before it was connected to.

    Raises:
        InvalidSettings: the address is invalid, or the password would travel unencrypted.
    """

    def __init__(self, options: ClusterOptions, limits: Limits, stop: StopToken) -> None:
        check_address(options.dask, insecure=options.dask_insecure)
        _log_as_we_do()
        own = max(1, round(options.dask_requests * _OWN_SHARE))
        self.own_requests = threading.BoundedSemaphore(own)
        self.workers = 0
        self.description = ""
        self._requests = options.dask_requests - own
        self._options = options
        self._limits = limits
        self._stop = stop
        # One for all clients: a client that cannot connect would leak its own loop.
        self._loop = LoopRunner()
        self._closing = contextlib.ExitStack()
        self._client: Client | None = None
        # Why the client can no longer be used.
        self._problem: ClusterUnavailable | None = None
        self._max_memory = options.max_memory
        self._only_worker = False
        # Only workers on this host may get tasks: others could join at any time.
        self._only_here = options.dask.startswith("tcp:") and not options.dask_insecure
        self._unauthorized: Unauthorized | None = None
        self._killed: set[str] = set()
        self._said = ""

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        self._loop.stop()

    def window(self) -> int:
        """Connect for the next poll; return how many images to keep in flight. Without a cluster, each image fails."""
        self._unauthorized = None
        threads: Mapping[str, int] = {}
        with contextlib.suppress(ClusterUnavailable):
            client = self._connect()
            threads = client.nthreads()
            self.description = f"the Dask cluster {self._options.dask}: {_describe(client)}"
        self.workers = len(threads)
        # A cluster that starts workers on demand needs something to do first.
        return self._options.in_flight or 2 * sum(threads.values()) or 10

    def upscaler(self, account: Account) -> Callable[[UpscaleJob, Resources], Upscaled]:
        """The equivalent of `upscale_image` on the cluster.

        Its resources are those of the daemon, for --dask-fallback.
        """
        assert isinstance(account, WebDavAccount)  # noqa: S101 - the only kind outside of tests
        certificate = account.cacert.read_bytes() if account.cacert else None

        def upscale(job: UpscaleJob, resources: Resources) -> Upscaled:
            task = UpscaleTask(
                account, certificate, job, self._max_memory, self._requests, self._only_worker, software()
            )
            try:
                return self._upscale(task)
            except ClusterUnavailable as failure:
                if not self._options.dask_fallback:
                    raise
                self._say(f"{failure.message}; this process upscales the images until then")
                return upscale_image(job, resources)

        return upscale

    def check(self) -> list[str]:
        """Connect, and compare all versions that the result depends on.

        Raises:
            ClusterUnavailable: it cannot be reached, or versions differ; the message names each.
        """
        client = self._connect()
        try:
            versions = cast("Mapping[str, Any]", client.get_versions(packages=[PACKAGE, *OPENCV]))
        except Exception as error:
            raise self._lost(error) from error
        wrong = list(_mismatches(versions))
        if wrong:
            raise ClusterUnavailable(
                "; ".join(wrong), "Use the same versions for the daemon, the scheduler and the workers."
            )
        return [_describe(client), "the versions are the same everywhere"]

    # --- connecting -------------------------------------------------------------------------------------------------

    def _connect(self) -> Client:
        """The client of a cluster that can be used; only one thread may call this, while no image is in flight."""
        if self._client is not None and self._problem is None and self._client.status == "running":
            return self._client
        if not self._loop.is_started():
            self._loop.start()
        self._closing.close()
        self._client = self._problem = None
        try:
            client = self._open()
            _check_workers(client, insecure=self._options.dask_insecure)
            logger.info("Dask cluster {}: {}", self._options.dask, _describe(client))
        except Exception as error:
            self._closing.close()
            raise self._lost(error) from error
        self._client, self._said = client, ""
        return client

    def _open(self) -> Client:
        address = self._options.dask
        if address == "local":
            client = self._open_local()
        elif address.startswith("gateway"):
            client = self._open_gateway(address.partition(":")[2])
        else:
            client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False, loop=self._loop.loop)
        self._close_later(client)
        return client

    def _open_local(self) -> Client:
        """Start the processes; the client and the scheduler, both in this process, talk without a socket."""
        # Off the network Dask warns that it has no address there, which it only takes as a name.
        warnings.filterwarnings("ignore", "Couldn't detect a suitable IP address", RuntimeWarning)
        processes = math.ceil(self._limits.cores / _LOCAL_CORES)
        config = {
            "distributed.worker.multiprocessing-method": self._options.start_method,
            "distributed.worker.preload": [PRELOADED],
            "distributed.worker.profile.enabled": False,
            # How often each process looks whether its event loop is slow.
            "distributed.admin.tick.interval": "500ms",
        }
        with dask.config.set(config):
            cluster = LocalCluster(
                n_workers=processes,
                threads_per_worker=_LOCAL_THREADS,
                # Without one it would listen on a fixed port, and refer to a page that is not there.
                dashboard_address="localhost:0",
                scheduler_kwargs={"protocol": ["tcp", "inproc"], "host": ["127.0.0.1", None], "port": [0, None]},
                loop=self._loop.loop,
            )
        self._close_later(cluster)
        self._max_memory, self._only_worker = self._limits.memory // processes, processes == 1
        assert cluster.scheduler  # noqa: S101 - it runs by now
        address = cluster.scheduler.listeners[1].contact_address
        return Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False, loop=self._loop.loop)

    def _open_gateway(self, name: str) -> Client:
        found = asyncio.run_coroutine_threadsafe(_gateway_cluster(name), self._loop.loop.asyncio_loop)
        address, security = found.result()
        return Client(address, security=security, timeout=CONNECT_TIMEOUT, set_as_default=False, loop=self._loop.loop)

    def _close_later(self, connected: Client | LocalCluster) -> None:
        def close() -> None:
            # A cluster that does not answer cannot be closed in time; its processes end with this one.
            with contextlib.suppress(Exception):
                connected.close(timeout=CLOSE_TIMEOUT)

        self._closing.callback(close)

    def _lost(self, error: BaseException) -> ClusterUnavailable:
        """The failure for an error of Dask; no more images are submitted until the next poll has reconnected."""
        if not isinstance(error, ClusterUnavailable):
            error = ClusterUnavailable(
                f"The Dask cluster {self._options.dask} failed ({type(error).__name__}: {error})",
                "See whether its scheduler and workers run; `scaler --check` with the same options says more.",
            )
        self._problem = error
        return error

    def _say(self, warning: str) -> None:
        """Log a warning once while it lasts."""
        if warning != self._said:
            self._said = warning
            logger.warning("{}", warning)

    # --- one image --------------------------------------------------------------------------------------------------

    def _upscale(self, task: UpscaleTask) -> Upscaled:
        client = self._client
        if self._problem or client is None:
            raise self._problem or ClusterUnavailable("The Dask cluster is not connected")
        try:
            answer = self._run(client, task)
        except KilledWorker as error:
            raise self._after_kills(task.job, error) from error
        except (Failure, Cancelled):
            raise
        except (Exception, asyncio.CancelledError) as error:
            raise self._lost(error) from error
        if isinstance(answer, Unauthorized):
            self._unauthorized = answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _run(self, client: Client, task: UpscaleTask) -> Upscaled | Exception:
        """Submit a task and wait for its answer."""
        future = client.submit(
            upscale_on_worker,
            task,
            key=f"upscale-{secrets.token_hex(16)}",
            pure=False,
            workers=_LOOPBACK if self._only_here else None,
        )
        try:
            return self._wait(client, future, task.job.entry.name)
        finally:
            # A running task continues, but its result is dropped. This fails if the connection is lost, harmlessly.
            with contextlib.suppress(Exception):
                future.release()

    def _wait(self, client: Client, future: "Future[Upscaled | Exception]", name: str) -> Upscaled | Exception:
        clock, limit = self._stop.clock, self._options.dask_timeout
        interval = min(_LOOK, limit / 2)
        worker, since = None, clock()
        next_look = since + interval
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        while True:
            # Clients fetch the results of several threads at once, and one that times out would cancel them all.
            if done.wait(_GLANCE):
                return future.result(timeout=_FETCH)
            self._stop.check()
            if self._unauthorized:
                raise self._unauthorized
            if clock() < next_look:
                continue
            next_look = clock() + interval
            # A task that waits for a worker is not late.
            if (there := _worker_of(client, future)) is None or there != worker:
                worker, since = there, clock()
                self._note_if_empty(client)
            elif clock() - since >= limit:
                raise WorkerFailed(
                    f"The worker {worker} has not finished {name} within {limit:g} s",
                    "If that happens again, restart this worker, or allow more with --dask-timeout.",
                )

    def _note_if_empty(self, client: Client) -> None:
        """Log that no worker is left; with --dask-fallback, raise."""
        if not client.nthreads():
            if self._options.dask_fallback:
                raise ClusterUnavailable("The Dask cluster has no workers")
            self._say("The Dask cluster has no workers; images wait for one")

    def _after_kills(self, job: UpscaleJob, error: KilledWorker) -> Exception:
        """The failure after several workers died with an image: the first time the cluster may be at fault."""
        version = f"{job.entry.href} {job.entry.etag}"
        if version in self._killed:
            return TooLarge(
                f"{error.allowed_failures + 1} workers died while upscaling it, twice; they may have too little memory"
            )
        self._killed.add(version)
        return WorkerFailed(
            f"{error.allowed_failures + 1} workers died while they upscaled {job.entry.name}",
            "It is tried once more; give the workers more memory, or start fewer threads on each.",
        )


def _log_as_we_do() -> None:
    """Route Dask's log through ours: Dask would write it to standard error unredacted."""
    for name in ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application", "bokeh"):
        log = logging.getLogger(name)
        log.handlers.clear()
        log.propagate = True
    logging.getLogger("distributed").setLevel(logging.WARNING)
    # Its tracebacks of a lost connection; what follows from it is logged by us.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)


def check_address(address: str, *, insecure: bool) -> None:
    """Check the address of --dask.

    Raises:
        InvalidSettings: it is none, or the password would travel over it unencrypted.
    """
    if address in ("local", "gateway") or (address.startswith("gateway:") and address != "gateway:"):
        return
    url = urllib.parse.urlsplit(address)
    try:
        valid = address.startswith(("tcp://", "tls://")) and url.hostname and url.port and "@" not in url.netloc
    except ValueError:
        valid = False
    if not valid:
        raise InvalidSettings(
            "--dask is not the address of a Dask cluster",
            "Use tcp://HOST:PORT, tls://HOST:PORT, local or gateway[:NAME].",
        )
    if not (insecure or _is_confidential(address)):
        raise InvalidSettings(
            f"Over {address} the password of the image server would travel unencrypted",
            "Use tls://, gateway or a scheduler on this machine, or allow it with --dask-insecure.",
        )


async def _gateway_cluster(name: str) -> tuple[str, object]:
    """The address of a cluster's scheduler and how it is encrypted; without a name, of the only one.

    A gateway's client complains when it is collected after it was closed, unless it is asynchronous.
    """
    from dask_gateway import Gateway  # noqa: PLC0415 - not needed for other clusters

    async with Gateway(asynchronous=True) as gateway:
        if not name:
            running = [report.name for report in await gateway.list_clusters()]
            if len(running) != 1:
                raise ClusterUnavailable(
                    f"{len(running)} clusters are running on the Dask gateway",
                    f"Choose one with --dask gateway:NAME ({', '.join(running)})." if running else "Start one first.",
                )
            (name,) = running
        report = await gateway.get_cluster(name)
        if not report.scheduler_address:
            raise ClusterUnavailable(f"The cluster {name} of the Dask gateway is not running", "Start it first.")
        return report.scheduler_address, report.security


def _is_confidential(address: str) -> bool:
    """Whether no one else can read what is sent there."""
    url = urllib.parse.urlsplit(address)
    with contextlib.suppress(ValueError):
        return url.scheme == "tls" or ipaddress.ip_address(url.hostname or "").is_loopback
    return url.hostname == "localhost"


def _check_workers(client: Client, *, insecure: bool) -> None:
    """Raise if the scheduler would pass the password on unencrypted."""
    if insecure:
        return
    for address in client.scheduler_info()["workers"]:
        if not _is_confidential(address):
            raise ClusterUnavailable(
                f"The password of the image server would travel to the worker {address} unencrypted",
                "Use TLS for the whole cluster, or allow it with --dask-insecure.",
            )


def _describe(client: Client) -> str:
    threads = client.nthreads()
    has_dashboard = "dashboard" in client.scheduler_info()["services"]
    dashboard = f", dashboard at {client.dashboard_link}" if has_dashboard else ""
    return f"{_counted(len(threads), 'worker')} with {_counted(sum(threads.values()), 'thread')}{dashboard}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _worker_of(client: Client, future: "Future[Upscaled | Exception]") -> str | None:
    """The worker that a task was given to; None while it waits for one."""
    return next((worker for worker, keys in client.processing().items() if future.key in keys), None)


def _mismatches(versions: Mapping[str, Any]) -> Iterator[str]:
    """Version differences on the scheduler and the workers; a scheduler needs no OpenCV."""
    ours = _software(versions["client"])
    others = {"the scheduler": versions["scheduler"]}
    others |= {f"the worker {worker}": found for worker, found in versions["workers"].items()}
    for place, found in others.items():
        for name, version in _software(found).items():
            if version != ours[name] and not (place == "the scheduler" and name == "OpenCV"):
                yield f"{place} has {name} {version}, this daemon {ours[name]}"


def _software(found: Mapping[str, Any]) -> dict[str, str]:
    packages = found["packages"]
    return {
        "Python": ".".join(packages["python"].split(".")[:2]),
        PACKAGE: packages[PACKAGE] or "missing",
        "OpenCV": opencv_version(packages),
        "distributed": packages["distributed"],
    }
