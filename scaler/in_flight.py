"""The images of one poll that are in flight: processed by threads, then counted and logged."""

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed

from loguru import logger

from scaler import names
from scaler.backoff import ImageBackoff
from scaler.images.probe import UnsupportedImage
from scaler.jobs import Published
from scaler.skip_list import SkipList
from scaler.upscaling import TooLarge
from shared.errors import (
    Cancelled,
    Failure,
    Locked,
    NotFound,
    NotWebDav,
    PreconditionFailed,
    ServerUnreachable,
    Unauthorized,
)
from shared.events.event import Event, Kind
from shared.events.recorder import Recorder
from shared.poll_report import PollReport
from shared.retry import RequestObserver
from shared.scheduler import ends_poll
from shared.webdav.store import Connections, Entry, Href

# After these no more requests are sent in this poll.
_SERVER_LOST = (ServerUnreachable, Unauthorized, NotWebDav)


class _NotStarted(Exception):
    """The poll had to end before this image was taken, so nothing happened to it."""


class InFlight:
    """The images of one poll.

    Args:
        executor: processes images.
        cleanup_executor: deletes claims in the background.
        report: counts what happens.
        clock: seconds, monotonic.
        recorder: records what happens to each image.
        link: the page of an image in the Nextcloud; empty where there is none.
        observer: hears how many images are in flight.
    """

    def __init__(
        self,
        *,
        executor: Executor,
        cleanup_executor: Executor,
        connections: Connections,
        skip_list: SkipList,
        backoff: ImageBackoff,
        report: PollReport,
        clock: Callable[[], float],
        recorder: Recorder,
        link: Callable[[Entry], str],
        observer: RequestObserver,
    ) -> None:
        self._executor = executor
        self._cleanup_executor = cleanup_executor
        self._connections = connections
        self._skip_list = skip_list
        self._backoff = backoff
        self._report = report
        self._clock = clock
        self._recorder = recorder
        self._link = link
        self._observer = observer
        # What ended the poll; not logged for each image.
        self._halted: list[Failure] = []
        self._cleanups: list[tuple[Entry, Future[None]]] = []

    def process_all(self, process: Callable[[Entry], Published], entries: Sequence[Entry]) -> None:
        """Process all images, as many at once as there are threads.

        Args:
            process: processes one image; raises as `Pipeline.process`.

        Raises:
            Cancelled: the daemon was asked to stop.
        """
        futures = {self._executor.submit(self._process, process, entry): entry for entry in entries}
        try:
            for future in _with_progress(as_completed(futures), len(futures)):
                self._record(futures[future], future)
            cleanups, self._cleanups = self._cleanups, []
            for entry, cleanup in cleanups:
                self._record_cleanup(entry, cleanup)
        except Cancelled:
            for future in futures:
                future.cancel()
            raise
        finally:
            self._skip_list.save()

    def _process(self, process: Callable[[Entry], Published], entry: Entry) -> Published:
        """Process an image, unless the poll has to end; another thread deletes its claim, so this one can continue."""
        if self._halted:
            raise _NotStarted
        self._observer.in_flight(1)
        try:
            published = process(entry)
        except Failure as error:
            if ends_poll(error):
                self._halted.append(error)
            raise
        finally:
            self._observer.in_flight(-1)
        if published.leftover:
            cleanup = self._cleanup_executor.submit(self._delete, published.leftover)
            self._cleanups.append((entry, cleanup))
        return published

    def _delete(self, href: Href) -> None:
        """Delete the claim of a published image, even if no more images are taken because the storage is full."""
        if self._halted and isinstance(self._halted[0], _SERVER_LOST):
            raise _NotStarted
        with self._connections.connect() as store:
            store.delete(href)

    def _record(self, entry: Entry, future: "Future[Published]") -> None:
        """Count and log what happened to an image; an error with one image never ends the daemon.

        Raises:
            Cancelled: the daemon was asked to stop.
        """
        try:
            published = future.result()
        except Cancelled:
            raise
        except UnsupportedImage as error:
            self._report.counts["skipped"] += 1
            self._tell(Kind.SKIPPED, entry, reason=error.reason)
            self._skip_list.add(entry, error.reason, lasting=not isinstance(error, TooLarge))
        except _NotStarted:
            pass
        except (PreconditionFailed, NotFound) as error:
            self._record_taken(entry, error)
            self._tell(Kind.CHANGED, entry)
        except Locked as error:
            # Another scaler or a user is working on it: not a failure, like a listed lock.
            self._report.counts["locked"] += 1
            if self._backoff.fail(entry, error, self._clock()):
                self._tell(Kind.CHANGED, entry, reason="locked")
        except Failure as error:
            self._record_failure(entry, error)
        except Exception as error:  # noqa: BLE001 - one image must not end the daemon; logged with its traceback
            self._report.failed.append(Failure(f"Unexpected error while upscaling {entry.name} ({error!r}); skipped"))
            logger.exception("Unexpected error while upscaling {}; skipped", entry.name)
            self._recorder.failed(self._report.failed[-1], link=self._link(entry), level="DEBUG")
            self._skip_list.add(entry, f"unexpected error ({error!r})", lasting=False)
        else:
            self._record_published(entry, published)

    def _record_taken(self, entry: Entry, error: Failure) -> None:
        """Count it, and back off in case it is listed unchanged again."""
        self._report.counts["changed or removed in the meantime"] += 1
        self._backoff.fail(entry, error, self._clock())

    def _record_published(self, entry: Entry, published: Published) -> None:
        if published.name is None:
            self._record_taken(entry, NotFound("it was published by another scaler, or removed"))
            return
        name, upscaled = published.name, published.upscaled
        if upscaled is None:
            self._report.counts["finished after an interruption"] += 1
            self._tell(Kind.RECOVERED, entry, target=name)
            return
        self._report.counts["upscaled"] += 1
        event = Event(
            kind=Kind.UPSCALED,
            name=entry.name,
            target=name,
            surprising=not names.is_usual(entry.name, name),
            link=self._link(entry),
            width=upscaled.width,
            height=upscaled.height,
            bytes_before=entry.size or 0,
            bytes_after=upscaled.size,
            seconds=upscaled.seconds | {"publish": published.seconds},
            worker=upscaled.worker,
        )
        self._recorder.record(event, upscaled.thumbnail)

    def _tell(self, kind: Kind, entry: Entry, *, reason: str = "", target: str = "") -> None:
        event = Event(kind=kind, name=entry.name, reason=reason, target=target, link=self._link(entry))
        self._recorder.record(event)

    def _record_cleanup(self, entry: Entry, cleanup: "Future[None]") -> None:
        # If it failed, recovery deletes the claim later.
        try:
            cleanup.result()
        except _NotStarted:
            pass
        except Cancelled:
            raise
        except Failure as error:
            self._report.failed.append(error)
            self._recorder.failed(error, entry.name, link=self._link(entry))
        except Exception as error:  # noqa: BLE001 - it must not keep the others from being recorded
            self._report.failed.append(Failure(f"Unexpected error after upscaling {entry.name} ({error!r})"))
            logger.exception("Unexpected error after upscaling {}", entry.name)

    def _record_failure(self, entry: Entry, error: Failure) -> None:
        """Count a failure; log it if it is new, unless it ends the poll, which logs it."""
        self._report.failed.append(error)
        if error not in self._halted:
            if self._backoff.fail(entry, error, self._clock()):
                self._recorder.failed(error, entry.name, link=self._link(entry))
            else:
                logger.debug("{}: {}", entry.name, error)


def _with_progress[T](items: Iterator[T], total: int) -> Iterator[T]:
    """Show a progress bar if standard error is a terminal."""
    if total < 2 or not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm  # noqa: PLC0415 - not needed without a terminal

    yield from tqdm(items, total=total, unit="image", leave=False, dynamic_ncols=True)
