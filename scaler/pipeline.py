"""One image: download, upscale, upload, publish.

The first three steps are `upscale_image`, a function of small picklable arguments, so that a worker in another process
can run it. Publication follows the protocol that the server supports: see `in_place` and `claims`.
"""

import contextlib
import hashlib
import mmap
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

from scaler.images.probe import Header, UnsupportedImage, memory_needed, read_header
from scaler.memory_budget import MemoryBudget
from shared.errors import Cancelled, ErrorPolicy, Failure, NotFound, ParentNotFound
from shared.shutdown import StopToken
from shared.webdav.store import Connections, Entry, Href, Store, put_verified


class OpenCvMissing(Failure):
    """No image can be upscaled on this machine."""

    policy = ErrorPolicy.FATAL


class UploadFolderGone(Failure):
    """The hidden upload folder vanished; recovery finishes the claims before it is created again."""

    policy = ErrorPolicy.DEFER

    def __init__(
        self,
        message: str = "The hidden folder for uploads has vanished",
        hint: str = "Only the scaler should touch it; the next poll creates it again.",
    ) -> None:
        super().__init__(message, hint)


class AlreadyUpscaled(Exception):
    """The download is an upscaled image that only has to be published; `publish` does that."""

    def __init__(self, publish: Callable[[Store], str | None]) -> None:
        super().__init__()
        self.publish = publish


class TooLarge(UnsupportedImage):
    """It needs more memory than this process may use."""


class Upload(Protocol):
    """Where an upscaled copy is uploaded to before it is published."""

    @property
    def href(self) -> Href:
        """The address that the copy is sent to."""
        ...

    @property
    def chunk_of(self) -> Href | None:
        """The file that it will replace as the only chunk of a chunked upload; None for a plain upload."""
        ...

    def check_download(self, checksums: str, file: Path) -> None:
        """Raise AlreadyUpscaled if the download is an upscaled image that only has to be moved on."""
        ...

    def prepare(self) -> None:
        """Start creating what the upload needs; called before the image is computed."""
        ...

    def wait_until_ready(self) -> None:
        """Wait until data may be sent; called right before it is."""
        ...

    def abandon(self, store: Store) -> None:
        """Delete the upload; call it only if it was not published and cannot be any more."""
        ...


class Publisher(Protocol):
    """How an uploaded copy takes the place of its original."""

    def new_upload(self, entry: Entry) -> Upload:
        """An upload for this image, under a new id."""
        ...

    def publish(self, store: Store, entry: Entry, upload: Upload, upscaled: "Upscaled") -> "Published":
        """Publish the copy instead of the original.

        Raises:
            PreconditionFailed: the original was replaced meanwhile.
            Failure: a later poll finishes it from the state on the server.
        """
        ...


@dataclass(frozen=True, slots=True)
class UpscaleJob:
    """One image to upscale.

    Attributes:
        entry: the original, as listed.
        upload: address of the upload.
        chunk_of: as in `Upload`.
        quality: 1 to 100, for lossy formats.
    """

    entry: Entry
    upload: Href
    chunk_of: Href | None
    quality: int


@dataclass(frozen=True, slots=True)
class Upscaled:
    """The result of a job.

    Attributes:
        width, height: of the original, in pixels.
        size: of the copy, in bytes.
        sha256: of the copy, hexadecimal; empty for a plain upload.
        seconds: from the download to the end of the upload.
    """

    width: int
    height: int
    size: int
    sha256: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Published:
    """How publication ended.

    Attributes:
        name: of the published image; None if another scaler published it, or the original was taken away.
        leftover: a claim that remains to be deleted.
        upscaled: what was published; None if it had been upscaled before an interruption.
    """

    name: str | None
    leftover: Href | None
    upscaled: Upscaled | None


@dataclass(frozen=True)
class Resources:
    """What a process provides to all its jobs.

    Attributes:
        folder: local and private, for downloads.
    """

    connections: Connections
    budget: MemoryBudget
    folder: Path
    stop: StopToken


@dataclass(frozen=True)
class Pipeline:
    """Processes images; several threads may call `process` at once."""

    resources: Resources
    publisher: Publisher
    quality: int

    def process(self, entry: Entry) -> Published:
        """Upscale and publish an image.

        Raises:
            UnsupportedImage: the image has to be skipped.
            Failure: the original is where it was, or a later poll finishes it.
            Cancelled: the same, because the daemon was asked to stop.
        """
        self.resources.stop.check()
        upload = self.publisher.new_upload(entry)
        job = UpscaleJob(entry, upload.href, upload.chunk_of, self.quality)
        try:
            upscaled = upscale_image(job, self.resources, upload)
        except AlreadyUpscaled as result:
            with self.resources.connections.connect() as store:
                return Published(result.publish(store), None, None)
        except (UnsupportedImage, Failure, Cancelled):
            self._abandon(upload)
            raise
        with self.resources.connections.connect() as store:
            return self.publisher.publish(store, entry, upload, upscaled)

    def _abandon(self, upload: Upload) -> None:
        """Delete an upload; if that fails, recovery or the server deletes it later."""
        with contextlib.suppress(Failure, Cancelled), self.resources.connections.connect() as store:
            upload.abandon(store)


def upscale_image(job: UpscaleJob, resources: Resources, upload: Upload) -> Upscaled:
    """Download, upscale, upload and verify one image.

    Raises:
        UnsupportedImage: it cannot be upscaled; nothing was uploaded.
        UploadFolderGone: the upload folder has vanished.
        Failure: the server rejected a request or could not be reached.
        Cancelled: the process was asked to stop.
    """
    started = time.monotonic()
    with _downloaded(job, resources, upload) as data:
        header = read_header(data)
        need = memory_needed(header) + len(data)
        if need > resources.budget.memory:
            raise TooLarge(_too_large(header, need, resources.budget.memory))
        upload.prepare()
        with resources.budget.acquire(need) as reservation:
            codecs = load_opencv()
            resources.stop.check()
            upscaled: bytes = codecs.upscale(data[:], quality=job.quality)
            resources.stop.check()
            reservation.shrink(len(upscaled))
            _send(job, resources, upload, upscaled)
            sha256 = hashlib.sha256(upscaled).hexdigest() if job.chunk_of else ""
            return Upscaled(header.width, header.height, len(upscaled), sha256, time.monotonic() - started)


def _send(job: UpscaleJob, resources: Resources, upload: Upload, upscaled: bytes) -> None:
    with resources.connections.connect() as store:
        try:
            upload.wait_until_ready()
            put_verified(store, job.upload, upscaled, chunk_of=job.chunk_of)
        except (NotFound, ParentNotFound) as error:
            # The caller would take NotFound for a missing original.
            raise UploadFolderGone from error


def load_opencv() -> ModuleType:
    """The codecs, imported at the first image because OpenCV takes long to load.

    Raises:
        OpenCvMissing: a library that OpenCV needs is missing on this machine.
    """
    # Otherwise numpy starts a thread per core for linear algebra, which is not used here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from scaler.images import codecs  # noqa: PLC0415 - takes half a second, and may fail
    except ImportError as error:
        raise OpenCvMissing(
            f"OpenCV cannot be loaded ({error})",
            "Start with ./run.sh, which installs opencv-python-headless instead, or install the missing library"
            " (libgl1 on Debian).",
        ) from error
    return codecs


@contextlib.contextmanager
def _downloaded(job: UpscaleJob, resources: Resources, upload: Upload) -> Iterator[mmap.mmap]:
    """The original's bytes, mapped from the local disk until they are computed."""
    file = resources.folder / secrets.token_hex(8)
    try:
        with resources.connections.connect() as store:
            checksums = store.get(job.entry, file)
        upload.check_download(checksums, file)
        if file.stat().st_size == 0:
            raise UnsupportedImage("the file is empty")
        with file.open("rb") as opened:
            # Not closed explicitly: the traceback of a failed reader may still reference a view of it.
            yield mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    finally:
        file.unlink(missing_ok=True)


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _too_large(header: Header, need: int, memory: int) -> str:
    return (
        f"upscaling its {header.width}x{header.height} pixels takes about {need / 2**20:,.0f} MiB,"
        f" more than the {memory / 2**20:,.0f} MiB of --max-memory"
    )
