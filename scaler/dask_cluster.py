"""`--dask`: images are upscaled by the workers of a Dask cluster (`dask_worker`), and published by this daemon.

A thread of the daemon submits an image and waits for it, so as many are in flight as there are threads. Nothing depends
on what becomes of a task: an upload that is not published is removed by the server, or as an orphan by recovery.
"""

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Mapping

from distributed import Client, Future, KilledWorker
from distributed.utils import LoopRunner
from loguru import logger

from scaler.dask_connection import Connection, connect, describe, version_differences
from scaler.dask_options import ClusterOptions, check_address
from scaler.dask_worker import ClusterUnavailable, UpscaleTask, software, upscale_on_worker
from scaler.jobs import Resources, Upscaled, UpscaleJob
from scaler.memory_budget import Limits
from scaler.selection import Version, version
from scaler.upscaling import TooLarge, upscale_image
from shared.errors import Cancelled, Failure, Unauthorized
from shared.shutdown import StopToken
from shared.webdav.account import WebDavAccount
from shared.webdav.store import Account, Entry, Href

# Seconds.
# How often a waiting thread checks for a stop request, and where its task is.
_GLANCE = 1.0
# A result is a few hundred bytes.
_FETCH = 60.0
_LOOK = 30.0
# The daemon publishes with this part of the requests that all may send at once.
_OWN_SHARE = 0.3
_LOOPBACK = ["127.0.0.1", "::1"]


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
        self._connection: Connection | None = None
        # Why the connection can no longer be used.
        self._problem: ClusterUnavailable | None = None
        # Only workers on this host may get tasks: others could join at any time.
        self._only_here = options.dask.startswith("tcp:") and not options.dask_insecure
        self._unauthorized: Unauthorized | None = None
        self._suspects: set[tuple[Href, Version]] = set()
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
            client = self._connect().client
            threads = client.nthreads()
            self.description = f"the Dask cluster {self._options.dask}: {describe(client)}"
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
            try:
                return self._upscale(account, certificate, job)
            except ClusterUnavailable as failure:
                if not self._options.dask_fallback:
                    raise
                self._say(f"{failure.message}; this process upscales the images meanwhile")
                return upscale_image(job, resources)

        return upscale

    def is_suspect(self, entry: Entry) -> bool:
        """Whether workers died with this version of an image, and none has finished it since.

        Dask cannot tell which of the images on a worker killed it. Tried alone, only the one at fault kills more.
        """
        return _key(entry) in self._suspects

    def check(self) -> list[str]:
        """Connect, and compare all versions that the result depends on.

        Raises:
            ClusterUnavailable: it cannot be reached, or versions differ; the message names each.
        """
        client = self._connect().client
        try:
            wrong = list(version_differences(client))
        except Exception as error:
            raise self._lost(error) from error
        if wrong:
            raise ClusterUnavailable(
                "; ".join(wrong), "Use the same versions for the daemon, the scheduler and the workers."
            )
        return [describe(client), "the versions are the same everywhere"]

    # --- connecting -------------------------------------------------------------------------------------------------

    def _connect(self) -> Connection:
        """A connection that can be used; only one thread may call this, while no image is in flight."""
        if self._connection is not None and self._is_usable(self._connection):
            return self._connection
        if not self._loop.is_started():
            self._loop.start()
        self._closing.close()
        self._connection = self._problem = None
        try:
            connection = connect(self._options, self._limits, self._loop.loop, self._closing)
        except Exception as error:
            self._closing.close()
            raise self._lost(error) from error
        self._connection, self._said = connection, ""
        return connection

    def _is_usable(self, connection: Connection) -> bool:
        if self._problem is not None or connection.client.status != "running":
            return False
        # Dask may have failed to start a process again, and does not try twice.
        return not self._options.is_local or bool(connection.client.nthreads())

    def _lost(self, error: BaseException) -> ClusterUnavailable:
        """The failure for an error of Dask; no more images are submitted until the next poll has reconnected."""
        if not isinstance(error, ClusterUnavailable):
            error = ClusterUnavailable(
                f"The Dask cluster {self._options.dask} failed ({type(error).__name__}: {error})",
                "See whether its address is right, and its scheduler runs.",
            )
        self._problem = error
        return error

    def _say(self, warning: str) -> None:
        """Log a warning once while it lasts."""
        if warning != self._said:
            self._said = warning
            logger.warning("{}", warning)

    # --- one image --------------------------------------------------------------------------------------------------

    def _upscale(self, account: WebDavAccount, certificate: bytes | None, job: UpscaleJob) -> Upscaled:
        connection = self._connection
        if self._problem or connection is None:
            raise self._problem or ClusterUnavailable("The Dask cluster is not connected")
        task = UpscaleTask(
            account=account,
            certificate=certificate,
            job=job,
            max_memory=connection.max_memory,
            requests=self._requests,
            only_worker=connection.only_worker,
            software=software(),
        )
        try:
            answer = self._run(connection.client, task)
        except KilledWorker as error:
            raise self._after_kills(job.entry, error) from error
        except (Failure, Cancelled):
            raise
        except (Exception, asyncio.CancelledError) as error:
            raise self._lost(error) from error
        if isinstance(answer, Unauthorized):
            self._unauthorized = answer
        if isinstance(answer, Exception):
            raise answer
        self._suspects.discard(_key(job.entry))
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
        """Log that no worker is left; raise if nobody else would start one, or with --dask-fallback."""
        if not client.nthreads():
            empty = ClusterUnavailable("The Dask cluster has no workers")
            if self._options.is_local:
                raise self._lost(empty)
            if self._options.dask_fallback:
                raise empty
            self._say("The Dask cluster has no workers; images wait for one")

    def _after_kills(self, entry: Entry, error: KilledWorker) -> Exception:
        """The failure after several workers died with an image: the first time another image may be at fault."""
        if self.is_suspect(entry):
            return TooLarge(
                f"{error.allowed_failures + 1} workers died while upscaling it, twice; they may have too little memory"
            )
        self._suspects.add(_key(entry))
        return WorkerFailed(
            f"{error.allowed_failures + 1} workers died while they upscaled {entry.name}",
            "It is tried once more, alone; give the workers more memory, or start fewer threads on each.",
        )


def _key(entry: Entry) -> tuple[Href, Version]:
    return entry.href, version(entry)


def _log_as_we_do() -> None:
    """Route Dask's log through ours: Dask would write it to standard error unredacted."""
    for name in ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application", "bokeh"):
        log = logging.getLogger(name)
        log.handlers.clear()
        log.propagate = True
    logging.getLogger("distributed").setLevel(logging.WARNING)
    # Its tracebacks of a lost connection; what follows from it is logged by us.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)


def _worker_of(client: Client, future: "Future[Upscaled | Exception]") -> str | None:
    """The worker that a task was given to; None while it waits for one."""
    return next((worker for worker, keys in client.processing().items() if future.key in keys), None)
