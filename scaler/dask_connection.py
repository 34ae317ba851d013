"""Connects to a Dask cluster, or starts one of processes on this machine."""

import asyncio
import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import dask
from distributed import Client, LocalCluster
from tornado.platform.asyncio import BaseAsyncIOLoop

from scaler.dask_options import ClusterOptions, is_confidential
from scaler.dask_worker import OPENCV, PACKAGE, ClusterUnavailable, opencv_version
from scaler.local_workers import PRELOADED
from scaler.memory_budget import Limits

# Seconds.
_CONNECT_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 3.0
# For `local`: each process has as many threads as the thread pool, and computes on so many cores.
_LOCAL_THREADS, _LOCAL_CORES = 10, 4


@dataclass(frozen=True)
class Connection:
    """A cluster that can be used.

    Attributes:
        max_memory: bytes for a worker process; None for what it finds.
        only_worker: there is one worker process, and will be no other.
    """

    client: Client
    max_memory: int | None
    only_worker: bool = False


def connect(
    options: ClusterOptions, limits: Limits, loop: BaseAsyncIOLoop, closing: contextlib.ExitStack
) -> Connection:
    """Connect to the cluster, or start it.

    Args:
        limits: of this machine, for the workers of `local`.
        loop: runs in another thread.
        closing: closes what is opened, even if this fails.

    Raises:
        ClusterUnavailable: there is no such cluster, or the password would be passed on unencrypted.
        Exception: whatever Dask raises if it cannot be reached or started.
    """
    if options.is_local:
        connection = _start_processes(options, limits, loop, closing)
    else:
        address, security = options.dask, None
        if address.startswith("gateway"):
            found = _gateway_cluster(address.partition(":")[2])
            address, security = asyncio.run_coroutine_threadsafe(found, loop.asyncio_loop).result()
        connection = Connection(_client(address, loop, closing, security), options.max_memory)
    if not options.dask_insecure:
        _check_workers(connection.client)
    return connection


def _start_processes(
    options: ClusterOptions, limits: Limits, loop: BaseAsyncIOLoop, closing: contextlib.ExitStack
) -> Connection:
    """Start a cluster; its scheduler runs in this process, so the client talks to it without a socket."""
    # Off the network Dask warns that it has no address there, which it only takes as a name.
    warnings.filterwarnings("ignore", "Couldn't detect a suitable IP address", RuntimeWarning)
    processes = math.ceil(limits.cores / _LOCAL_CORES)
    config = {
        "distributed.worker.multiprocessing-method": options.start_method,
        "distributed.worker.preload": [PRELOADED],
        "distributed.worker.profile.enabled": False,
        # How often each process looks whether its event loop is slow.
        "distributed.admin.tick.interval": "500ms",
        # A worker that died is started again at once; Dask would drop it if it were just starting after this time.
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    # Until the end, since Dask reads it again for each process that it starts.
    closing.enter_context(dask.config.set(config))
    cluster = LocalCluster(
        n_workers=processes,
        threads_per_worker=_LOCAL_THREADS,
        # Without one it would listen on a fixed port, and refer to a page that is not there.
        dashboard_address="localhost:0",
        scheduler_kwargs={"protocol": ["tcp", "inproc"], "host": ["127.0.0.1", None], "port": [0, None]},
        loop=loop,
    )
    _close_later(cluster, closing)
    assert cluster.scheduler  # noqa: S101 - it runs by now
    client = _client(cluster.scheduler.listeners[1].contact_address, loop, closing)
    return Connection(client, limits.memory // processes, only_worker=processes == 1)


def _client(address: str, loop: BaseAsyncIOLoop, closing: contextlib.ExitStack, security: object = None) -> Client:
    client = Client(address, security=security, timeout=_CONNECT_TIMEOUT, set_as_default=False, loop=loop)
    _close_later(client, closing)
    return client


def _close_later(connected: Client | LocalCluster, closing: contextlib.ExitStack) -> None:
    def close() -> None:
        # A cluster that does not answer cannot be closed in time; its processes end with this one.
        with contextlib.suppress(Exception):
            connected.close(timeout=_CLOSE_TIMEOUT)

    closing.callback(close)


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


def _check_workers(client: Client) -> None:
    """Raise if the scheduler would pass the password on unencrypted."""
    for address in client.scheduler_info()["workers"]:
        if not is_confidential(address):
            raise ClusterUnavailable(
                f"The password of the image server would travel to the worker {address} unencrypted",
                "Use TLS for the whole cluster, or allow it with --dask-insecure.",
            )


def describe(client: Client) -> str:
    """The workers in words, and the address of the dashboard."""
    threads = client.nthreads()
    has_dashboard = "dashboard" in client.scheduler_info()["services"]
    dashboard = f", dashboard at {client.dashboard_link}" if has_dashboard else ""
    return f"{_counted(len(threads), 'worker')} with {_counted(sum(threads.values()), 'thread')}{dashboard}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def version_differences(client: Client) -> Iterator[str]:
    """Where the scheduler or a worker has another version of what the result depends on; a scheduler needs no OpenCV.

    Raises:
        Exception: whatever Dask raises if they cannot be asked.
    """
    versions = cast("Mapping[str, Any]", client.get_versions(packages=[PACKAGE, *OPENCV]))
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
