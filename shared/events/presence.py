"""Which daemons run: a small file for each process, rewritten after every poll and removed at its end.

No lock is needed, which NFS may lack: on its own host a process is looked up by pid and start time; one on another host
runs as long as its file is rewritten.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import override

from loguru import logger
from pydantic import AwareDatetime, BaseModel

from shared.events.event import Event, Kind, Watch
from shared.files import write_atomically

# Seconds. While a poll processes many images, the file is rewritten at most this often.
_REWRITE_EVERY = 10.0
# Seconds, in addition to three periods: how long a daemon on another host may be silent.
_SILENT = 120.0
_FORGOTTEN = 7 * 86_400.0


class Running(BaseModel):
    """A daemon, as its file describes it.

    Attributes:
        process: when the process was started, as the kernel counts; empty where that cannot be told.
        since: when it began to watch these folders.
        seen: when the file was written.
        failing: what ended the last poll, if anything did.
        skipped: images that are skipped at present.
    """

    daemon: str
    host: str
    pid: int
    process: str
    since: AwareDatetime
    seen: AwareDatetime
    watch: Watch
    last_poll: AwareDatetime | None = None
    last_success: AwareDatetime | None = None
    failing: str = ""
    skipped: int = 0

    def is_alive(self, now: datetime) -> bool:
        """Whether it still runs, as far as can be seen from this machine."""
        if self.host == socket.gethostname():
            return self.process == _start_of(self.pid)
        return (now - self.seen).total_seconds() < 3 * self.watch.frequency + _SILENT

    def watches_the_same(self, other: "Running") -> bool:
        """Whether both daemons do the same work."""
        mine, theirs = self.watch, other.watch
        return (self.daemon, mine.account, mine.folders) == (other.daemon, theirs.account, theirs.folders)


class Presence:
    """Keeps the file of this process; warns at its start if another daemon does the same work.

    Args:
        folder: of these files; created when first needed, for its owner alone.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._state: Running | None = None

    @override
    def __str__(self) -> str:
        return f"The state of this daemon in {self._folder}"

    def add(self, event: Event) -> None:
        """Take note of an event.

        Raises:
            OSError: the file could not be written.
        """
        if event.kind is Kind.STARTED and event.watch is not None:
            self._start(event, event.watch)
        elif self._state is None:
            return
        elif event.kind is Kind.STOPPED:
            self._file_of(self._state).unlink(missing_ok=True)
            self._state = None
        elif event.kind is Kind.POLLED:
            success = {} if event.reason else {"last_success": event.time, "skipped": event.skipped}
            self._write(self._state.model_copy(update={"last_poll": event.time, "failing": event.reason, **success}))
        elif self._clock() - self._state.seen.timestamp() >= _REWRITE_EVERY:
            self._write(self._state)

    def _start(self, event: Event, watch: Watch) -> None:
        state = Running(
            daemon=event.daemon,
            host=event.host,
            pid=event.pid,
            process=_start_of(event.pid),
            since=event.time,
            seen=event.time,
            watch=watch,
        )
        # Written before looking, so that of two daemons that start at once one sees the other.
        self._write(state)
        for file, other in running(self._folder):
            now = datetime.fromtimestamp(self._clock(), UTC)
            if (other.host, other.pid) == (state.host, state.pid):
                continue
            if not other.is_alive(now):
                if other.host == state.host or (now - other.seen).total_seconds() > _FORGOTTEN:
                    file.unlink(missing_ok=True)
            elif other.watches_the_same(state):
                logger.warning("{}", _told(state, other))

    def _file_of(self, state: Running) -> Path:
        host = re.sub(r"[^A-Za-z0-9.-]", "_", state.host)
        return self._folder / f"{state.daemon}-{host}-{state.pid}.json"

    def _write(self, state: Running) -> None:
        self._state = state.model_copy(update={"seen": datetime.fromtimestamp(self._clock(), UTC)})
        write_atomically(self._file_of(state), self._state.model_dump_json().encode())


def running(folder: Path) -> Iterator[tuple[Path, Running]]:
    """The files of all daemons, also of those that were killed."""
    try:
        found = sorted(folder.glob("*.json"))
    except OSError:
        return
    for file in found:
        try:
            yield file, Running.model_validate_json(file.read_bytes())
        except (OSError, ValueError):
            continue


def _told(state: Running, other: Running) -> str:
    since = f"{other.since.astimezone():%Y-%m-%d %H:%M}"
    if other.host == state.host:
        where, how = f"as process {other.pid}", f"kill {other.pid}"
    else:
        where, how = f"on {other.host} as process {other.pid}", f"kill {other.pid} on {other.host}"
    return (
        f"Another {state.daemon} has been watching the same folders since {since}, {where}."
        f" This is harmless: they share the work. To stop the other one: {how}"
    )


def _start_of(pid: int) -> str:
    """When a process was started, in clock ticks since boot (proc(5), starttime); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
