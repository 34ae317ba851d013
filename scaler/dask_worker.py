"""Runs on the workers of a Dask cluster: `upscale_on_worker`, and the state that a worker's tasks share.

A task can run more than once: Dask repeats it when a worker is lost, although the lost worker may still be running, cut
off from the network. So each run uploads to its own name, which no other run deletes or overwrites, and only the run
whose result reaches the daemon is published.
"""

import atexit
import contextlib
import functools
import hashlib
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import override

from distributed import Semaphore, Worker, get_worker

from scaler.flight_notes import FlightNotes
from scaler.images.probe import UnsupportedImage
from scaler.jobs import Resources, Upscaled, UpscaleJob
from scaler.memory_budget import OWN_SHARE, Limits, MemoryBudget, limits
from scaler.names import new_owner
from scaler.skip_list import SkipList, installed_version
from scaler.upscaling import AlreadyUpscaled, upscale_image
from scaler.workdir import workdir
from shared.errors import ErrorPolicy, Failure
from shared.redaction import hide_login, redact
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.account import WebDavAccount
from shared.webdav.limited import LimitedConnections
from shared.webdav.store import Connections

PACKAGE = "jupyterhub-images"
OPENCV = ("opencv-python", "opencv-python-headless")

# Dask owns the process, so state shared by its tasks can only live in this module.
_MAKING = threading.Lock()
_STOP = StopToken()


class ClusterUnavailable(Failure):
    """The Dask cluster cannot be reached, or cannot do the work; the image was not touched."""

    policy = ErrorPolicy.DEFER


class UnexpectedOnWorker(Exception):
    """An unexpected error on a worker; the text is its traceback, redacted."""


@dataclass(frozen=True, repr=False)
class UpscaleTask:
    """What travels to a worker. It has no `repr`, because schedulers and workers show it in logs and dashboards.

    Attributes:
        certificate: the content of `account.cacert`, a file that the worker does not have.
        max_memory: bytes that a worker process may use; None for what Dask and its control group leave it.
        requests: sent to the image server at once, by all workers together.
        only_worker: there is one worker process, so it alone counts its requests; asking the scheduler takes longer.
        software: of the daemon, as from `software`.
    """

    account: WebDavAccount
    certificate: bytes | None
    job: UpscaleJob
    max_memory: int | None
    requests: int
    only_worker: bool
    software: tuple[str, str]


@functools.cache
def software() -> tuple[str, str]:
    """The versions of this package and of OpenCV, on which the result depends."""
    return installed_version(PACKAGE), opencv_version({name: installed_version(name) for name in OPENCV})


def opencv_version(versions: Mapping[str, str | None]) -> str:
    """The version of OpenCV from those of its two distributions."""
    return next((version for name in OPENCV if (version := versions.get(name))), "missing")


def upscale_on_worker(task: UpscaleTask) -> Upscaled | Exception:
    """Do a task. Errors are returned, not raised: Dask would log them on three machines, with their tracebacks."""
    worker = get_worker()
    if task.software != (here := software()):
        return ClusterUnavailable(
            f"The worker {worker.address} has {PACKAGE} {here[0]} and OpenCV {here[1]},"
            f" this daemon {task.software[0]} and {task.software[1]}",
            "Use the same versions on both; --check compares all of them.",
        )
    hide_login(task.account.username, task.account.password.get_secret_value())
    try:
        job = replace(task.job, upload=task.job.upload.renewed())
        return replace(upscale_image(job, _resources(worker, task)), worker=worker.address)
    except (Failure, UnsupportedImage, AlreadyUpscaled) as error:
        return redacted(error)
    except Exception:  # noqa: BLE001 - logged by the daemon
        return UnexpectedOnWorker(redact(traceback.format_exc()))


def redacted[E: Exception](error: E) -> E:
    """The same error without secrets, and without a traceback, which would keep the image in memory."""
    error.args = tuple(_safe(value) for value in error.args)
    vars(error).update({name: _safe(value) for name, value in vars(error).items()})
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _safe(value: object) -> object:
    return redact(value) if isinstance(value, str) else value


class _ClusterLimit(AbstractContextManager[None]):
    """Limits the requests of the whole cluster; Dask reclaims the leases of a lost worker."""

    def __init__(self, requests: int, server: str) -> None:
        # Shared by all daemons that use this server; Dask rejects one name with two numbers.
        name = f"{PACKAGE}-{hashlib.sha256(server.encode()).hexdigest()[:16]}-{requests}"
        self._semaphore = Semaphore(max_leases=requests, name=name)

    @override
    def __enter__(self) -> None:
        try:
            self._semaphore.acquire()
        except Exception as error:
            raise ClusterUnavailable("The Dask scheduler granted no request to a worker") from error

    @override
    def __exit__(self, *_: object) -> None:
        self._semaphore.release()


def _resources(worker: Worker, task: UpscaleTask) -> Resources:
    with _MAKING:
        process = _process(worker.state.nthreads, worker.memory_manager.memory_limit, task.max_memory)
        connections = _connections(task.account, task.certificate, task.requests, task.only_worker, process.folder)
    return Resources(
        connections, process.budget, process.folder, _STOP, process.executor, flight_notes=process.flight_notes
    )


@dataclass(frozen=True)
class _Process:
    """What all tasks of a process share; as in `Resources`."""

    budget: MemoryBudget
    folder: Path
    executor: Executor
    flight_notes: FlightNotes


@functools.lru_cache(maxsize=4)
def _process(threads: int, dask_limit: int | None, max_memory: int | None) -> _Process:
    closing = contextlib.ExitStack()
    atexit.register(closing.close)
    folder = closing.enter_context(workdir())
    return _Process(
        budget=MemoryBudget(worker_limits(limits(max_memory), threads, dask_limit)),
        folder=folder,
        executor=ThreadPoolExecutor(threads, "upload-folder"),
        # Never read: Dask itself counts the workers that an image kills.
        flight_notes=FlightNotes(folder, PACKAGE, new_owner(), SkipList(folder, PACKAGE)),
    )


def worker_limits(machine: Limits, threads: int, dask_limit: int | None) -> Limits:
    """The limits of a worker process: within what Dask leaves it, since Dask kills a worker that exceeds its memory.

    Args:
        machine: without Dask.
        threads: of the worker.
        dask_limit: bytes; None or 0 if Dask sets no limit.
    """
    memory = min(machine.memory, max(64 * 2**20, dask_limit * 3 // 4 - OWN_SHARE)) if dask_limit else machine.memory
    return Limits(min(machine.cores, threads), memory)


@functools.lru_cache(maxsize=4)
def _retry(_account: WebDavAccount) -> RetryPolicy:
    """Remembers a rejected password even if no connection could be opened."""
    return RetryPolicy(_STOP)


@functools.lru_cache(maxsize=4)
def _connections(
    account: WebDavAccount, certificate: bytes | None, requests: int, only_worker: bool, folder: Path
) -> Connections:
    if certificate is not None:
        file = folder / f"{hashlib.sha256(certificate).hexdigest()}.pem"
        file.write_bytes(certificate)
        account = account.model_copy(update={"cacert": file})
    limit = threading.BoundedSemaphore(requests) if only_worker else _ClusterLimit(requests, account.base_url)
    with limit:
        return LimitedConnections(account.open(_retry(account)), limit)
