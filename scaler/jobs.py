"""The data of an image's path through the scaler: its job, the resources of a process, and the results."""

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from scaler import names
from scaler.flight_notes import FlightNotes
from scaler.memory_budget import MemoryBudget
from scaler.upload_notes import Note
from shared.events.event import Stage
from shared.shutdown import StopToken
from shared.webdav.store import Connections, Entry, Href


@dataclass(frozen=True, slots=True)
class Upload:
    """The place of an upscaled copy before it is published.

    Attributes:
        id: from `names.new_id`.
        href: the address that the copy is sent to.
        folder: created for this upload alone; None if the copy goes into an existing folder.
    """

    id: str
    href: Href
    folder: Href | None = None

    @property
    def whole(self) -> Href:
        """What to delete if it is not published."""
        return self.folder or self.href

    def renewed(self) -> "Upload":
        """A new upload in the same place with a fresh unique id."""
        fresh = names.renewed_id(self.id)
        folder = Href(self.folder.replace(self.id, fresh)) if self.folder else None
        return Upload(fresh, Href(self.href.replace(self.id, fresh)), folder)


@dataclass(frozen=True, slots=True)
class UpscaleJob:
    """One image to upscale.

    Attributes:
        entry: the original, as listed.
        note: the note of an interrupted replacement, if any.
        quality: 1 to 100, for lossy formats.
        thumbnail: make one.
    """

    entry: Entry
    upload: Upload
    note: Note | None
    quality: int
    thumbnail: bool = False


@dataclass(frozen=True)
class Resources:
    """What a process provides to all its jobs.

    Attributes:
        folder: local and private, for downloads.
        executor: for small requests in parallel with processing.
        flight_notes: of the images that are being decoded.
    """

    connections: Connections
    budget: MemoryBudget
    folder: Path
    stop: StopToken
    executor: Executor
    flight_notes: FlightNotes


@dataclass(frozen=True, slots=True)
class Upscaled:
    """The result of a job.

    Attributes:
        upload: where the copy is.
        width, height: of the original, in pixels.
        size: of the copy, in bytes.
        sha256: of the copy, hexadecimal; empty for claims, which do not need it.
        seconds: by stage; waiting for memory counts as computing.
        thumbnail: as JPEG; empty if none was wanted or could be made.
        worker: the address of the Dask worker that did the job; empty without Dask.
    """

    upload: Upload
    width: int
    height: int
    size: int
    sha256: str
    seconds: dict[Stage, float]
    thumbnail: bytes = b""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """How publication ended.

    Attributes:
        name: of the published image; None if another scaler published it, or the original was removed.
        leftover: a claim that remains to be deleted.
        upscaled: what was published; None if it had been upscaled before an interruption.
        seconds: that publication took.
    """

    name: str | None
    leftover: Href | None = None
    upscaled: Upscaled | None = None
    seconds: float = 0.0
