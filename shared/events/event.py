"""The one model of everything that a daemon records, and its log line."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Kind(StrEnum):
    """What happened."""

    STARTED = "started"  # a daemon watches a folder, from its start or since its settings changed
    UPSCALED = "upscaled"
    FILED = "filed"
    RECOVERED = "recovered"  # finished after an interruption
    SKIPPED = "skipped"  # not tried again until it changes
    CHANGED = "changed"  # replaced, removed or locked in the meantime
    FAILED = "failed"
    POLLED = "polled"  # a poll has ended; too frequent to be kept
    STOPPED = "stopped"


type Stage = Literal["download", "compute", "upload", "publish"]

LEVELS = {
    Kind.UPSCALED: "SUCCESS",
    Kind.FILED: "SUCCESS",
    Kind.SKIPPED: "WARNING",
    Kind.FAILED: "ERROR",
    Kind.POLLED: "INFO",
}
"""The level of the log line, if it is not INFO."""


class Watch(BaseModel):
    """What a daemon watches.

    Attributes:
        account: the address that all folders are relative to, and the login name.
        folders: first the one that is polled, then where images go.
        prefixes: of the names of raw images; empty for the mover.
        frequency: seconds from the start of one poll to the start of the next; 0 with `--once`.
        way: how results are published, and where they are computed if it is not here, in a few words.
        workers: of a Dask cluster; None without one.
    """

    model_config = ConfigDict(frozen=True)

    account: str
    folders: tuple[str, ...]
    prefixes: tuple[str, ...] = ()
    frequency: float
    way: str = ""
    workers: int | None = None

    def __str__(self) -> str:
        named = f", names that start with {', '.join(map(repr, self.prefixes))}" if self.prefixes else ""
        way = f"; {self.way}" if self.way else ""
        every = f" every {self.frequency:g} s" if self.frequency else ""
        return f"Watching {' → '.join(self.folders)} on {self.account}{every}{named}{way}"


class Event(BaseModel):
    """One thing that happened; a JSON line holds what differs from the defaults.

    Attributes:
        daemon, host, pid: filled in by the recorder.
        name: of the image, as it was found.
        target: where it is now, relative to the account's base folder, or its new name.
        surprising: the new name is not what a user would expect.
        link: the image's page in the Nextcloud.
        width, height: of the original, in pixels.
        bytes_before, bytes_after: sizes of the files.
        seconds: by stage; of a poll the whole under "compute".
        thumbnail: its file name in the folder of thumbnails.
        worker: the Dask worker that upscaled it.
        reason, hint: why, and what the user can do; of a poll, what ended it.
        counts: of a poll, by the words of its log line.
        skipped: images that are skipped at present; of a poll.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    time: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    daemon: str = ""
    host: str = ""
    pid: int = 0
    name: str = ""
    target: str = ""
    surprising: bool = False
    link: str = ""
    width: int = 0
    height: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    seconds: dict[Stage, float] = {}
    thumbnail: str = ""
    worker: str = ""
    reason: str = ""
    hint: str = ""
    counts: dict[str, int] = {}
    skipped: int = 0
    watch: Watch | None = None

    @property
    def total_seconds(self) -> float:
        """The time that it took."""
        return sum(self.seconds.values())

    @property
    def line(self) -> str:
        """What is logged."""
        match self.kind:
            case Kind.UPSCALED:
                size = f"{self.width}x{self.height} → {2 * self.width}x{2 * self.height}"
                renamed = f" (now {self.target})" if self.surprising else ""
                return f"{self.name} {size}, {self.total_seconds:.1f} s{renamed}"
            case Kind.FILED:
                return f"{self.name} → {self.target}"
            case Kind.RECOVERED:
                return f"{self.name} {self.reason or f'→ {self.target} (finished after an interruption)'}"
            case Kind.SKIPPED:
                return f"{self.name} is skipped: {self.reason}"
            case Kind.CHANGED:
                return f"{self.name} was {self.reason or 'replaced or removed'} in the meantime"
            case Kind.FAILED:
                what = f"{self.name}: {self.reason}" if self.name else self.reason
                return f"{what}. {self.hint}" if self.hint else what
            case Kind.POLLED:
                done = ", ".join(f"{count} {what}" for what, count in self.counts.items() if count)
                return f"Poll finished in {self.total_seconds:.1f} s: {done or 'nothing to do'}"
            case Kind.STARTED:
                return str(self.watch)
            case Kind.STOPPED:
                return "Stopped"
