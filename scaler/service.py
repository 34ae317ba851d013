"""The scaler's poll.

A poll lists the raw folder (`session`, which differs by server), selects the images that are settled (`selection`,
pure), and processes each in its own thread (`in_flight`, `pipeline`).
"""

import contextlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

from loguru import logger

from scaler import allocator, names
from scaler.config import ScalerConfig
from scaler.in_flight import InFlight
from scaler.jobs import Resources
from scaler.memory_budget import Limits, MemoryBudget
from scaler.pipeline import Pipeline
from scaler.selection import SETTLED_AFTER
from scaler.session import ClaimSession, Host, InPlaceSession, InPlaceUnsupported, Session, Work
from scaler.upscaling import upscale_image
from scaler.workdir import sweep, workdir
from shared.errors import Cancelled, Failure, NotFound, NotWebDav
from shared.events.recorder import Recorder
from shared.log_once import LogOnce
from shared.poll_report import PollReport
from shared.retry import RetryPolicy
from shared.scheduler import ends_poll
from shared.webdav.account import open_as_nextcloud
from shared.webdav.limited import LimitedConnections
from shared.webdav.store import Connections, Entry

if TYPE_CHECKING:
    from scaler.dask_cluster import Cluster


class ScalerService:
    """Keeps the threads and the session from one poll to the next.

    Args:
        threads: images processed concurrently.
        quality: 1 to 100, for lossy formats.
        state: folder for state that survives a restart.
        recorder: records events; by default they are only logged.
        cluster: upscales images elsewhere; then threads only wait for it, and there are as many as it can use.
    """

    def __init__(
        self,
        *,
        threads: int,
        limits: Limits,
        quality: int,
        state: Path,
        retry: RetryPolicy,
        recorder: Recorder | None = None,
        cluster: "Cluster | None" = None,
    ) -> None:
        self._cluster = cluster
        self._threads = threads
        self._quality = quality
        self._recorder = recorder or Recorder("scaler")
        # What was recorded as watched: the settings, and how results are published and computed.
        self._watching: tuple[ScalerConfig, str] | None = None
        self._retry = retry
        self._stop = retry.stop
        self._closing = contextlib.ExitStack()
        self._workdir: Path | None = None
        self._stop.on_forced_exit.append(self._remove_downloads)
        sweep()
        allocator.keep_blocks()
        # The last request of an image deletes its claim; the next image need not wait for it.
        self.cleanup_executor = self._closing.enter_context(ThreadPoolExecutor(max(1, threads // 5), "cleanup"))
        # OpenCV leaks a little memory with every new thread, so these live as long as the daemon.
        self.executor = ThreadPoolExecutor(threads, "image")
        self._budget = MemoryBudget(limits)
        self._host = Host(self.cleanup_executor, state, names.new_owner(), upscales=cluster is None)
        self._log_once = LogOnce()
        self._session: Session | None = None
        self._stop.on_request.append(self._close_notes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.shutdown()
        self._closing.close()
        if self._session:
            self._session.close()

    def poll(self, config: ScalerConfig, *, until_settled: bool = False) -> Sequence[Failure]:
        """Upscale all settled images in the raw folder.

        Args:
            until_settled: wait for images that may still be changing, and upscale them too.

        Returns:
            the failures; each was logged, except one that ended the poll.

        Raises:
            Failure: the raw folder could not be listed.
            Cancelled: the daemon was asked to stop.
        """
        started = self._stop.clock()
        report = PollReport()
        while (waiting := self._poll_once(config, report)) and until_settled:
            if self._stop.pause(SETTLED_AFTER):
                raise Cancelled
        report.counts["still changing"] += waiting
        skipped = self._session.skipped_count if self._session else 0
        self._recorder.record(report.event(self._stop.clock() - started, skipped))
        self._log_once.next_poll()
        return report.failed

    def _close_notes(self) -> None:
        if self._session:
            self._session.flight_notes.close()

    def dry_run(self, config: ScalerConfig) -> None:
        """Log what a poll would do; change nothing."""
        session = self._session_for(config)
        with session.connections.connect() as store:
            lines = list(session.would_do(store))
        for line in lines or ["nothing to do"]:
            logger.info("{}", line)

    def _remove_downloads(self) -> None:
        if self._workdir:
            shutil.rmtree(self._workdir, ignore_errors=True)

    def _session_for(self, config: ScalerConfig) -> Session:
        """The session for these settings; a new one when they change."""
        if self._session is None or self._session.config != config:
            if self._session:
                old, self._session = self._session, None
                old.close()
            retry = self._retry.for_new_account()
            connections = self._limited(config.account.open(retry))
            kind = InPlaceSession if connections.user_id else ClaimSession
            self._session = kind(config, connections, retry, self._host)
        return self._session

    def _poll_once(self, config: ScalerConfig, report: PollReport) -> int:
        """List the raw folder once and process the selected images; return how many images are still changing."""
        session = self._session_for(config)
        try:
            session, work = self._look(session)
        except (NotFound, NotWebDav):
            connections = open_as_nextcloud(config.account, session.retry)
            if connections is None:
                raise
            session.close()
            self._session = InPlaceSession(config, self._limited(connections), session.retry, self._host)
            session, work = self._look(self._session)
        session.notices.name_skipped()
        self._do(session, work, report)
        return work.waiting

    def _look(self, session: Session) -> tuple[Session, Work]:
        """Find the work of this poll; return it with the session that does it."""
        clock = self._stop.clock
        session.flight_notes.collect()
        self._record_watching(session)
        with session.connections.connect() as store:
            try:
                work = session.look(store, clock())
            except InPlaceUnsupported as reason:
                logger.warning("Images cannot be replaced in place here, so copies are published: {}", reason)
                session.flight_notes.close()
                session = self._session = ClaimSession(session.config, session.connections, session.retry, self._host)
                self._record_watching(session)
                work = session.look(store, clock())
            return session, session.past_obstacle(store, work, clock())

    def _record_watching(self, session: Session) -> None:
        """Record what is watched, unless that is known."""
        config, cluster = session.config, self._cluster
        way = "images are replaced in place" if isinstance(session, InPlaceSession) else "copies are published"
        if cluster and cluster.description:
            way += f"; upscaled by {cluster.description}"
        if self._recorder.wants_watch and self._watching != (config, way):
            self._watching = config, way
            self._recorder.watching(
                account=str(config.account),
                folders=(config.raw, config.unsorted),
                prefixes=config.prefixes,
                way=way,
                workers=cluster.workers if cluster else None,
            )

    def _limited(self, connections: Connections) -> Connections:
        """With a cluster, leave most of the requests at a time to its workers."""
        return LimitedConnections(connections, self._cluster.own_requests) if self._cluster else connections

    def _resize(self, threads: int) -> None:
        if threads != self._threads:
            self.executor.shutdown()
            self.executor, self._threads = ThreadPoolExecutor(threads, "image"), threads

    def _is_suspect(self, session: Session, entry: Entry) -> bool:
        on_cluster = self._cluster is not None and self._cluster.is_suspect(entry)
        return on_cluster or session.skip_list.is_suspect(entry)

    def _do(self, session: Session, work: Work, report: PollReport) -> None:
        for failure in work.failures:
            report.failed.append(failure)
            if not ends_poll(failure) and self._log_once.is_new(str(failure)):
                self._recorder.failed(failure)
        if self._cluster and work.take:
            self._resize(self._cluster.window())
            self._record_watching(session)
        in_flight = InFlight(
            executor=self.executor,
            cleanup_executor=self.cleanup_executor,
            connections=session.connections,
            skip_list=session.skip_list,
            backoff=session.backoff,
            report=report,
            clock=self._stop.clock,
            recorder=self._recorder,
            link=session.link,
            observer=self._retry.observer,
        )
        before = len(report.failed)
        in_flight.process_all(session.finish, work.finish)
        if work.take:
            with workdir() as self._workdir, self._recorder.in_flight():
                resources = Resources(
                    connections=session.connections,
                    budget=self._budget,
                    folder=self._workdir,
                    stop=self._stop,
                    executor=self.cleanup_executor,
                    flight_notes=session.flight_notes,
                )
                upscale = self._cluster.upscaler(session.config.account) if self._cluster else upscale_image
                pipeline = Pipeline(
                    upscale=upscale,
                    resources=resources,
                    publisher=session.publisher,
                    in_place=session.in_place,
                    kept=session.kept,
                    quality=self._quality,
                    thumbnails=self._recorder.wants_thumbnails,
                )
                suspects = [entry for entry in work.take if self._is_suspect(session, entry)]
                in_flight.process_all(pipeline.process, [entry for entry in work.take if entry not in suspects])
                for entry in suspects:
                    in_flight.process_all(pipeline.process, [entry])
            allocator.give_back()
            session.obstacle.note(report.failed[before:], self._stop.clock())
        if len(report.failed) > before:
            session.look_anew()
