"""The one function that records what happened: log line, history, state and metrics follow from it."""

import contextlib
import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from loguru import logger

from shared import redaction
from shared.errors import Failure
from shared.events.event import LEVELS, Event, Kind, Watch
from shared.events.thumbnails import Thumbnails

# Seconds between two lines of a daemon that has nothing to do.
HEARTBEAT = 3600.0

_CHANGES = (Kind.UPSCALED, Kind.FILED, Kind.RECOVERED)


class Sink(Protocol):
    """Where events go, apart from the log; `str()` gives its name, capitalised."""

    def add(self, event: Event) -> None:
        """Take an event.

        Raises:
            OSError, ValueError: it could not.
        """


class Recorder:
    """Records events; any thread may use it, and nothing that fails here gets in the way of the work.

    Args:
        daemon: its name.
        frequency: seconds from the start of one poll to the start of the next; None to record no `Watch`.
        activity: makes a context manager that reports work in flight.
        once: with `--once`, which also reports that there was nothing to do.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        daemon: str,
        sinks: Sequence[Sink] = (),
        thumbnails: Thumbnails | None = None,
        *,
        frequency: float | None = None,
        activity: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origin = {"daemon": daemon, "host": socket.gethostname(), "pid": os.getpid()}
        self._sinks = sinks
        self._thumbnails = thumbnails
        self._frequency = frequency
        self.in_flight = activity
        self._once = once
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: set[object] = set()
        self._said_at = clock()
        self._changed_at: datetime | None = None

    @property
    def wants_thumbnails(self) -> bool:
        """Whether it is worth making one."""
        return self._thumbnails is not None

    @property
    def wants_watch(self) -> bool:
        """Whether `watching` is to be called."""
        return self._frequency is not None

    def watching(
        self,
        *,
        account: str,
        folders: tuple[str, ...],
        prefixes: tuple[str, ...] = (),
        way: str = "",
        workers: int | None = None,
    ) -> None:
        """Record what is watched from now on; the arguments are those of `Watch`."""
        watch = Watch(
            account=account,
            folders=folders,
            prefixes=prefixes,
            frequency=self._frequency or 0,
            way=way,
            workers=workers,
        )
        self.record(Event(kind=Kind.STARTED, watch=watch))

    def failed(self, failure: Failure, name: str = "", *, link: str = "", level: str = "") -> None:
        """Record a failure.

        Args:
            name: of the image, if it concerns one.
            level: of the log line, if it is not ERROR.
        """
        event = Event(kind=Kind.FAILED, name=name, reason=failure.message, hint=failure.hint, link=link)
        self.record(event, level=level)

    def record(self, event: Event, thumbnail: bytes = b"", *, level: str = "") -> None:
        """Record an event.

        Args:
            thumbnail: of the image, as JPEG.
            level: of the log line, if it is not the usual one.
        """
        # Names and messages of servers are untrusted.
        texts = {
            field: redaction.safe(getattr(event, field)) for field in ("name", "target", "worker", "reason", "hint")
        }
        with self._lock:
            event = event.model_copy(update={**self._origin, **texts, **self._kept(thumbnail)})
            self._log(event, level)
            for sink in self._sinks:
                self._try(sink, functools.partial(sink.add, event))

    def _kept(self, thumbnail: bytes) -> dict[str, str]:
        """The file of a thumbnail, if there is one."""
        if not thumbnail or self._thumbnails is None:
            return {}
        folder = self._thumbnails
        return {"thumbnail": self._try(folder, lambda: folder.add(thumbnail)) or ""}

    def _try[T](self, sink: object, act: Callable[[], T]) -> T | None:
        """Call `act`; log its first failure."""
        try:
            return act()
        except (OSError, ValueError) as error:
            if sink not in self._failed:
                self._failed.add(sink)
                logger.warning("{} cannot be written ({}); the work continues without it", sink, error)
            return None

    def _log(self, event: Event, level: str) -> None:
        if event.kind in _CHANGES:
            self._changed_at = event.time
        level, line = level or LEVELS.get(event.kind, "INFO"), event.line
        if event.kind is Kind.POLLED:
            level, line = self._heartbeat(event)
        if level != "DEBUG":
            self._said_at = self._clock()
        logger.bind(image=event.name).log(level, "{}", line)
        if event.kind is Kind.UPSCALED:
            by = f", upscaled by {event.worker}" if event.worker else ""
            logger.debug("{} is now {}{}", event.name, event.target, by)

    def _heartbeat(self, event: Event) -> tuple[str, str]:
        """The line of a poll: at info level if it had something to do, and once an hour if there was nothing."""
        if event.reason:
            return "DEBUG", f"Poll failed: {event.reason}"
        if self._once or any(event.counts.values()):
            return "INFO", event.line
        if self._clock() - self._said_at < HEARTBEAT:
            return "DEBUG", event.line
        changed = f"last change {self._changed_at.astimezone():%Y-%m-%d %H:%M}" if self._changed_at else "no change yet"
        return "INFO", f"Idle, {changed}, {event.skipped} skipped"
