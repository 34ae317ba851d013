"""From an original on the server to its verified copy there: what one worker does, in this process or elsewhere."""

import contextlib
import mmap
import os
import time
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

from scaler.claims import FolderGone
from scaler.images.probe import Header, UnsupportedImage, memory_needed, read_header
from scaler.limits import Limits
from scaler.memory_budget import budget_of
from shared import retry
from shared.errors import ErrorPolicy, Failure, NotFound, ParentNotFound
from shared.webdav.store import Entry, Href, Store


class Account(Hashable, Protocol):
    """Something small and picklable that a worker makes a client of."""

    def connect(self) -> AbstractContextManager[Store]:
        """A client that nobody else uses meanwhile."""
        ...


class OpenCvMissing(Failure):
    """No image can be computed on this machine."""

    policy = ErrorPolicy.FATAL


class TooLarge(UnsupportedImage):
    """It needs more memory than this process may use; another may have more."""


@dataclass(frozen=True, slots=True)
class Job:
    """One image to scale.

    Attributes:
        entry: the original, as listed.
        upload: where its copy goes, under a name that nobody else uses.
        folder: local, private, for the download.
    """

    account: Account
    entry: Entry
    upload: Href
    folder: Path
    quality: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class Upscaled:
    """What became of a job: pixels before, bytes after, seconds it took."""

    width: int
    height: int
    size: int
    seconds: float


def upscale_image(job: Job) -> Upscaled:
    """Download, double, upload and verify one image.

    Raises:
        UnsupportedImage: it cannot be upscaled; nothing was uploaded.
        UploadFolderGone: the folder that it goes to has vanished.
        Failure: the server did not play along.
        Cancelled: the process was asked to stop.
    """
    started = time.monotonic()
    with _downloaded(job) as data:
        header = read_header(data)
        need = memory_needed(header) + len(data)
        if need > job.limits.memory:
            raise TooLarge(_too_large(header, need, job.limits.memory))
        with budget_of(job.limits).memory(need) as reservation:
            upscaled = _upscaled(data, job.quality)
            reservation.shrink(len(upscaled))
            _upload(job, upscaled)
            return Upscaled(header.width, header.height, len(upscaled), time.monotonic() - started)


def _upload(job: Job, upscaled: bytes) -> None:
    with job.account.connect() as store:
        try:
            store.put(job.upload, upscaled)
        except (NotFound, ParentNotFound):
            # Not the original is missing, as to the caller it would seem.
            raise FolderGone from None


def load_opencv() -> ModuleType:
    """The module that computes; OpenCV takes its time to load, so not before the first image comes.

    Raises:
        OpenCvMissing: a library that it needs is not on this machine.
    """
    # numpy starts a thread for each core for algebra that nobody does here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from scaler.images import codecs
    except ImportError as error:
        raise OpenCvMissing(
            f"OpenCV cannot be loaded ({error})",
            "Start with ./run.sh, which puts opencv-python-headless in its place, or install the missing library"
            " (libgl1 on Debian).",
        ) from None
    return codecs


def _upscaled(data: mmap.mmap, quality: int) -> bytes:
    codecs = load_opencv()
    retry.of_process().stop.check()
    upscaled: bytes = codecs.upscale(data[:], quality=quality)
    retry.of_process().stop.check()
    return upscaled


@contextlib.contextmanager
def _downloaded(job: Job) -> Iterator[mmap.mmap]:
    """The original's bytes, on disk while they wait for their turn to be computed."""
    file = job.folder / job.upload.rpartition("/")[2]
    try:
        with job.account.connect() as store:
            store.get(job.entry, file)
        if file.stat().st_size == 0:
            raise UnsupportedImage("the file is empty")
        with file.open("rb") as opened:
            # Not closed by hand: a reader that failed may still hold a view of it in its traceback.
            yield mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    finally:
        file.unlink(missing_ok=True)


def _too_large(header: Header, need: int, memory: int) -> str:
    return (
        f"{header.width}x{header.height} pixels need about {need / 2**20:,.0f} MiB to be upscaled,"
        f" more than the {memory / 2**20:,.0f} MiB of --max-memory"
    )
