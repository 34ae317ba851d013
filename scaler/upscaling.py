"""Download, upscale, upload and verify one image: `upscale_image`.

Its job is small and picklable, so that a worker in another process can do it; what the process provides is in
`Resources`.
"""

import contextlib
import hashlib
import mmap
import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from scaler.images.probe import Header, UnsupportedImage, memory_needed, read_header
from scaler.jobs import Resources, Upload, Upscaled, UpscaleJob
from scaler.marker import Marker, checksums_with_marker, marker_in
from scaler.upload_notes import Note
from shared.errors import Cancelled, ErrorPolicy, Failure, Forbidden, NotFound, ParentNotFound
from shared.events.event import Stage
from shared.webdav.store import Entry, Href, Store, put_verified


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
    """The download is an upscaled image that only has to be published; the argument is the id in its marker."""

    def __init__(self, marker_id: str) -> None:
        super().__init__(marker_id)
        self.marker_id = marker_id


class TooLarge(UnsupportedImage):
    """It needs more memory than this process may use."""


def upscale_image(job: UpscaleJob, resources: Resources) -> Upscaled:
    """Download, upscale, upload and verify one image; a failed upload is deleted again.

    Raises:
        AlreadyUpscaled: it only has to be published.
        UnsupportedImage: it cannot be upscaled.
        UploadFolderGone: the upload folder has vanished.
        Failure: the server rejected a request or could not be reached.
        Cancelled: the process was asked to stop.
    """
    watch = _StopWatch()
    with _downloaded(job, resources) as data:
        watch.ended("download")
        with resources.flight_notes.working_on(job.entry):
            header = read_header(data)
        need = memory_needed(header) + len(data)
        if need > resources.budget.memory:
            raise TooLarge(_too_large(header, need, resources.budget.memory))
        with _upload_prepared(job.upload, resources) as folder, resources.budget.acquire(need) as reservation:
            codecs = load_opencv()
            resources.stop.check()
            with resources.flight_notes.working_on(job.entry):
                upscaled, thumbnail = _computed(codecs, data[:], job)
            resources.flight_notes.survived(job.entry)
            resources.stop.check()
            reservation.shrink(len(upscaled))
            watch.ended("compute")
            upload = _send(job, resources, folder, upscaled)
            sha256 = hashlib.sha256(upscaled).hexdigest() if folder else ""
            watch.ended("upload")
            return Upscaled(
                upload=upload,
                width=header.width,
                height=header.height,
                size=len(upscaled),
                sha256=sha256,
                seconds=watch.seconds,
                thumbnail=thumbnail,
            )


class _StopWatch:
    """Times one stage after another."""

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {}
        self._since = time.monotonic()

    def ended(self, stage: Stage) -> None:
        now = time.monotonic()
        self.seconds[stage], self._since = now - self._since, now


def _computed(codecs: ModuleType, data: bytes, job: UpscaleJob) -> tuple[bytes, bytes]:
    """The upscaled image and its thumbnail."""
    if job.thumbnail:
        both: tuple[bytes, bytes] = codecs.upscale_with_thumbnail(data, quality=job.quality)
        return both
    return codecs.upscale(data, quality=job.quality), b""


@contextlib.contextmanager
def _downloaded(job: UpscaleJob, resources: Resources) -> Iterator[mmap.mmap]:
    """The original's bytes, mapped from the local disk until they are processed."""
    file = resources.folder / secrets.token_hex(8)
    try:
        with resources.connections.connect() as store:
            checksums = _download(store, job.entry, file)
        for marker in (marker_in(checksums), _marker_noted(job.note, file)):
            if marker and marker.is_unfinished(job.entry.name):
                raise AlreadyUpscaled(marker.id)
        if file.stat().st_size == 0:
            raise UnsupportedImage("the file is empty")
        with file.open("rb") as opened:
            # Not closed explicitly: the traceback of a failed reader may still reference a view of it.
            yield mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    finally:
        file.unlink(missing_ok=True)


def _download(store: Store, entry: Entry, file: Path) -> str:
    try:
        return store.get(entry, file)
    except Forbidden as error:
        # Apache answers 403 when a file is moved while it opens it.
        if store.stat(entry.href) is None:
            raise NotFound(f"{entry.name} was removed since it was listed") from error
        raise


def _marker_noted(note: Note | None, file: Path) -> Marker | None:
    """The marker that a download would have if the server had not been stopped before it wrote it."""
    if note is None or sha256_of(file) != note.sha256:
        return None
    return marker_in(checksums_with_marker(note.sha256, note.upload))


@contextlib.contextmanager
def _upload_prepared(upload: Upload, resources: Resources) -> Iterator[Future[bool] | None]:
    """Create the upload's own folder in parallel with processing; delete it unless the whole image is sent."""
    making = resources.executor.submit(_make_folder, upload.folder, resources) if upload.folder else None
    try:
        yield making
    except BaseException:
        if making:
            with contextlib.suppress(Failure, Cancelled):
                making.result()
            _delete(upload, resources)
        raise


def _make_folder(folder: Href, resources: Resources) -> bool:
    with resources.connections.connect() as store:
        return store.make_folder(folder)


class _StillThere(Exception):
    """An upload without an answer could not be deleted, so no other may be sent: they would pile up."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


@dataclass
class _Attempts:
    """The current attempt to upload a copy; each gets a name of its own."""

    upload: Upload

    def send(self, store: Store, data: bytes) -> None:
        """Upload and verify."""

        def another() -> Href:
            try:
                store.delete(self.upload.href)
            except Failure as error:
                raise _StillThere(error) from error
            self.upload = self.upload.renewed()
            return self.upload.href

        put_verified(store, self.upload.href, data, another=another)


def _send(job: UpscaleJob, resources: Resources, folder: Future[bool] | None, upscaled: bytes) -> Upload:
    """Upload and verify; return what holds the copy."""
    attempts = _Attempts(job.upload)
    try:
        if folder:
            folder.result()
        with resources.connections.connect() as store:
            if folder:
                # The same name each time: what is cut off late is noticed by the assembly, which knows the length.
                put_verified(store, job.upload.href, upscaled, chunk_of=job.entry.href)
            else:
                attempts.send(store, upscaled)
    except _StillThere as stop:
        raise stop.failure from None
    except (Failure, Cancelled) as error:
        if not folder:
            _delete(attempts.upload, resources)
        if isinstance(error, NotFound | ParentNotFound):
            # The caller would mistake NotFound for a missing original.
            raise UploadFolderGone from error
        raise
    return attempts.upload


def _delete(upload: Upload, resources: Resources) -> None:
    """Delete an upload; if that fails, recovery or the server deletes it later."""
    with contextlib.suppress(Failure, Cancelled), resources.connections.connect() as store:
        store.delete(upload.whole)


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


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _too_large(header: Header, need: int, memory: int) -> str:
    return (
        f"upscaling its {header.width}x{header.height} pixels takes about {need / 2**20:,.0f} MiB,"
        f" more than the {memory / 2**20:,.0f} MiB that this process may use (--max-memory)"
    )
