"""The mover's poll: files the images in the unsorted folder, then finishes what interrupted movers left."""

import contextlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from loguru import logger

from mover.config import MoverConfig
from mover.move import FileMover, FolderUnusable, Outcome
from mover.scanner import ROUND_EVERY, Scanner
from mover.selection import Leftover, PlannedMove, select
from mover.tags import TagClient
from shared.backoff import Backoff
from shared.errors import Cancelled, ErrorPolicy, Failure, NotWebDav
from shared.events.event import Event, Kind
from shared.events.recorder import Recorder
from shared.log_once import LogOnce
from shared.poll_report import PollReport
from shared.retry import RetryPolicy
from shared.scheduler import ends_poll
from shared.webdav.account import WebDavAccount
from shared.webdav.store import Connections, Entry, Tag

# Images moved concurrently. If the password changes while they are moved, at most this many requests are rejected.
AT_ONCE = 5
FILED, FINISHED, LEFT = "filed", "finished after an interruption", "changed or removed in the meantime"


@dataclass(slots=True)
class FailedMove:
    """The version and category of an image that was not moved, the line that was logged, and when it is tried again."""

    etag: str | None
    category: str
    line: str = ""
    backoff: Backoff = field(default_factory=Backoff)

    def concerns(self, planned: PlannedMove) -> bool:
        """Whether a planned move may fail in the same way."""
        return (self.etag, self.category) == (planned.file.etag, planned.category)


class Session:
    """The connections to one account, and the findings with one configuration.

    Args:
        retry: used for this account only.

    Raises:
        Failure: the server did not say who the account is.
        NotWebDav: it is not a Nextcloud.
    """

    def __init__(self, config: MoverConfig, retry: RetryPolicy) -> None:
        self.config = config
        self.retry = retry
        self.connections = open_nextcloud(config.account, retry)
        self.tags = TagClient(config.account, self.connections)
        self.scanner = Scanner(self.connections.root_url, config.rules, self.tags, retry)
        self.file_mover = FileMover(self.connections, config.rules, retry)
        self.failed_moves: dict[str | None, FailedMove] = {}

    def close(self) -> None:
        """Close all connections."""
        self.connections.close()
        self.tags.close()


class NoNextcloud(NotWebDav):
    """A WebDAV server that is not a Nextcloud."""


def open_nextcloud(account: WebDavAccount, retry: RetryPolicy) -> Connections:
    """Connections to an account on a Nextcloud.

    Raises:
        Failure: the server did not say who the account is.
        NoNextcloud: it is another WebDAV server.
        NotWebDav: it is neither.
    """
    # Treat the address as a possible Nextcloud root, whatever the settings say.
    connections = account.model_copy(update={"is_host": True}).open(retry)
    if connections.root_url:
        return connections
    message = f"{account.base_url} does not answer like a Nextcloud"
    try:
        with contextlib.closing(connections), connections.connect() as store:
            there = store.stat(store.href(""))
    except NotWebDav as error:
        raise NotWebDav(f"{message} ({error.message})", error.hint) from error
    hint = "The mover needs one: correct webdav/url (https://host/remote.php/dav/files/USER/) in Vault."
    kind = NoNextcloud if there and "/remote.php/" not in account.base_url else NotWebDav
    raise kind(message, hint)


class MoverService:
    """Keeps the session and what was logged from one poll to the next; use it in a `with` block.

    Args:
        recorder: of what happens; by default it is only logged.
    """

    def __init__(self, retry: RetryPolicy, recorder: Recorder | None = None) -> None:
        self._retry = retry
        self._recorder = recorder or Recorder("mover")
        self._watching: Session | None = None
        self._log_once = LogOnce()
        self._session: Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def poll(self, config: MoverConfig) -> Sequence[Failure]:
        """File all tagged images, and finish what interrupted movers left.

        Returns:
            the failures; each was logged.

        Raises:
            Failure: the poll ended early.
            Cancelled: the daemon was asked to stop.
        """
        session = self._session_for(config)
        if self._recorder.wants_watch and session is not self._watching:
            self._watching = session
            rules = config.rules
            self._recorder.watching(
                account=str(config.account),
                folders=(rules.unsorted, f"{rules.images}/…"),
                way=f"files by tags {rules.parent}:…",
            )
        return _Poll(session, self._log_once, self._recorder).run()

    def dry_run(self, config: MoverConfig) -> None:
        """Log what a poll would do; change nothing."""
        session, rules = self._session_for(config), config.rules
        with session.connections.connect() as store:
            scan = session.scanner.scan(store)
            leftovers = session.scanner.leftovers(store, scan)
        plan = select(scan.files, rules)
        for planned in plan.planned_moves:
            source, target = f"{rules.unsorted}/{planned.file.name}", rules.folder(planned.category)
            logger.info(
                "would move {} to {}/{} and remove the tag {!r}", source, target, planned.file.name, planned.tag.name
            )
        for left in leftovers:
            logger.info(
                "would remove the tag {!r} from {}, which is already in its category's folder", left.tag.name, left.path
            )
        for note in (*scan.notes, *plan.notes):
            logger.info("{}", note)
        if not leftovers and not plan.planned_moves:
            logger.info("nothing to do")

    def _session_for(self, config: MoverConfig) -> Session:
        if self._session is not None and self._session.config != config:
            old, self._session = self._session, None
            old.close()
        if self._session is None:
            self._session = Session(config, self._retry.for_new_account())
        return self._session


class _Poll:
    """The state of one poll."""

    def __init__(self, session: Session, log_once: LogOnce, recorder: Recorder) -> None:
        self._session = session
        self._log_once = log_once
        self._recorder = recorder
        self._stop = session.retry.stop
        self._report = PollReport()
        # Set by a failure that would affect all other images.
        self._halted: Failure | None = None

    def run(self) -> list[Failure]:
        """Run the poll; return the failures."""
        started = self._stop.clock()
        scanner, connections = self._session.scanner, self._session.connections
        # A single request first, in case the password is wrong.
        with connections.connect() as store:
            scan = scanner.scan(store)
        plan = select(scan.files, self._session.config.rules)
        for note in (*scan.notes, *plan.notes):
            self._log_once.log("WARNING", note)
        try:
            self._file_all(plan.planned_moves)
            with connections.connect() as store:
                leftovers = scanner.leftovers(store, scan)
            self._finish_all(leftovers)
        except (Failure, Cancelled):
            # The loop records that the poll failed.
            ended = self._ended(started)
            logger.log("INFO" if any(ended.counts.values()) else "DEBUG", "{}", ended.line)
            raise
        finally:
            self._log_once.next_poll()
        self._recorder.record(self._ended(started))
        return self._report.failed

    def _ended(self, started: float) -> Event:
        now = self._stop.clock()
        waiting = sum(not move.backoff.is_over(now) for move in self._session.failed_moves.values())
        return self._report.event(now - started, waiting)

    # --- filing -----------------------------------------------------------------------------------------------------

    def _file_all(self, planned_moves: Sequence[PlannedMove]) -> None:
        """File several images at a time, until all are done or the poll has to end."""
        waiting = self._waiting(planned_moves)
        to_file = [planned for planned in planned_moves if planned.file.file_id not in waiting]
        if to_file:
            with self._recorder.in_flight(), ThreadPoolExecutor(AT_ONCE, "move") as executor:
                futures = [executor.submit(self._file, planned) for planned in to_file]
            for future in futures:
                self._report.add(future.result())
        if self._halted:
            raise self._halted
        self._stop.check()

    def _waiting(self, planned_moves: Iterable[PlannedMove]) -> set[str | None]:
        """The ids of the images that failed and are not due yet; failures of others are forgotten."""
        known, now = self._session.failed_moves, self._stop.clock()
        self._session.failed_moves = {
            planned.file.file_id: failed
            for planned in planned_moves
            if (failed := known.get(planned.file.file_id)) and failed.concerns(planned)
        }
        waiting = {file_id for file_id, failed in self._session.failed_moves.items() if not failed.backoff.is_over(now)}
        for file_id in waiting:
            self._log_once.log("ERROR", self._session.failed_moves[file_id].line)
        return waiting

    def _file(self, planned: PlannedMove) -> PollReport:
        """File one image in its own thread, unless the poll has to end."""
        report = PollReport()
        name = planned.file.name
        if self._halted or self._stop.requested:
            return report
        try:
            moved = self._session.file_mover.move(planned)
            if moved.outcome is not Outcome.FILED:
                report.counts[LEFT] += 1
                self._recorder.record(Event(kind=Kind.CHANGED, name=name, reason=moved.outcome.value))
                return report
            report.counts[FILED] += 1
            self._untag(planned.file, planned.tag, report)
            self._say_filed(planned, moved.name)
        except Cancelled:
            # The other threads stop by themselves.
            pass
        except Failure as failure:
            if ends_poll(failure):
                self._halted = self._halted or failure
            else:
                report.failed.append(failure)
                self._note(planned, failure)
        except Exception as error:  # noqa: BLE001 - one image must not stop the others; logged with its traceback
            logger.exception("Internal error while filing {}; skipped", name)
            report.failed.append(Failure(f"Internal error while filing {name} ({error!r}); skipped"))
            self._recorder.failed(report.failed[-1], link=self._link(planned.file), level="DEBUG")
        return report

    def _note(self, planned: PlannedMove, failure: Failure) -> None:
        """Log why an image stays; it waits longer after each failure, at once if the server rejected it."""
        name = "" if isinstance(failure, FolderUnusable) else planned.file.name
        line = f"{name}: {failure}" if name else str(failure)
        if self._log_once.is_new(line):
            self._recorder.failed(failure, name, link=self._link(planned.file))
        failed = self._session.failed_moves.setdefault(
            planned.file.file_id, FailedMove(planned.file.etag, planned.category)
        )
        failed.line = line
        failed.backoff.fail(self._stop.clock(), ROUND_EVERY if failure.policy is ErrorPolicy.SKIP else 0.0)

    def _say_filed(self, planned: PlannedMove, name: str) -> None:
        filed = Event(
            kind=Kind.FILED,
            name=planned.file.name,
            target=f"{planned.category}/{name}",
            link=self._link(planned.file),
        )
        self._recorder.record(filed)
        if planned.left_on:
            others = ", ".join(map(repr, planned.left_on))
            logger.warning(
                "{} has tags of several categories: filed under {}; these tags stay: {}", name, planned.category, others
            )

    def _link(self, file: Entry) -> str:
        """The image's page in the Nextcloud."""
        return f"{self._session.connections.root_url}index.php/f/{file.file_id}"

    # --- tags -------------------------------------------------------------------------------------------------------

    def _finish_all(self, leftovers: Iterable[Leftover]) -> None:
        """Remove the tags of images that are in the folder of their category."""
        for left in leftovers:
            self._stop.check()
            if self._untag(left.file, left.tag, self._report):
                self._report.counts[FINISHED] += 1
                done = f"was filed already: removed the tag {left.tag.name!r}"
                link = self._link(left.file)
                self._recorder.record(Event(kind=Kind.RECOVERED, name=str(left.path), reason=done, link=link))

    def _untag(self, file: Entry, tag: Tag, report: PollReport) -> bool:
        """Remove a tag; if that fails, a later poll does it."""
        try:
            return self._session.retry(lambda: self._session.tags.unassign(file, tag))
        except Failure as failure:
            self._session.scanner.start_over()
            if ends_poll(failure):
                raise
            report.failed.append(failure)
            still_on = Failure(f"The tag {tag.name!r} is still on {file.name}: {failure.message}", failure.hint)
            if self._log_once.is_new(str(still_on)):
                self._recorder.failed(still_on)
            return False
