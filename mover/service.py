"""One look at the images, and everything that follows from it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loguru import logger

from mover.config import MoverConfig
from mover.move import FileMover, FolderUnusable, ServerDown
from mover.nextcloud import Nextcloud
from mover.scanner import Scanner
from mover.selection import File, PlannedMove, Tag, select
from shared.errors import Cancelled, ErrorPolicy, Failure, PreconditionFailed
from shared.retry import RetryPolicy
from shared.scheduler import ends_poll

# Images on their way at one time. If the password changes meanwhile, so many requests are refused.
AT_ONCE = 5


@dataclass
class Report:
    """What became of the images of one poll."""

    filed: int = 0
    finished: int = 0
    passed_by: int = 0
    failed: list[Failure] = field(default_factory=list)

    def log(self, seconds: float) -> None:
        """One line, if there was anything to do."""
        counts = {
            "filed": self.filed,
            "finished after an interruption": self.finished,
            "changed or taken meanwhile": self.passed_by,
            "failed": len(self.failed),
        }
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        logger.log("INFO" if said else "DEBUG", "Poll finished in {:.1f} s: {}", seconds, said or "nothing to do")


class LogOnce:
    """Says things once while they last."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        self._now: set[str] = set()

    def say(self, level: str, line: str) -> None:
        """Log it, unless it was said already in this poll or the last."""
        if line not in self._before | self._now:
            logger.log(level, "{}", line)
        self._now.add(line)

    def next_poll(self) -> None:
        """Forget what did not last."""
        self._before, self._now = self._now, set()


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """What the server would not do, and what was said about it."""

    etag: str | None
    category: str
    line: str


class Connection:
    """A login to the server and what was found out there, for one task."""

    def __init__(self, config: MoverConfig, retry: RetryPolicy) -> None:
        self.config = config
        self.nextcloud = Nextcloud(config.account)
        self.scanner = Scanner(self.nextcloud, config.rules, retry)
        self.file_mover = FileMover(self.nextcloud, config.rules, retry)
        self.skip_list: dict[str, SkippedFile] = {}


class MoverService:
    """What outlives a poll: the connection, and what was said already.

    Args:
        retry: repeats what the server was not able to do.
    """

    def __init__(self, retry: RetryPolicy) -> None:
        self._retry = retry
        self._stop = retry.stop
        self._log_once = LogOnce()
        self._connection: Connection | None = None

    async def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.nextcloud.close()

    async def poll(self, config: MoverConfig) -> Sequence[Failure]:
        """File everything that is there, and finish what was left half done.

        Returns:
            what failed; each was logged.

        Raises:
            Failure: nothing could be done at all, or nothing more.
            Cancelled: on request.
        """
        started = self._stop.clock()
        report = Report()
        connection = await self._connect(config)
        scan = await connection.scanner.stat()
        if scan.new_round:
            connection.skip_list.clear()
        await self._finish_all(connection, scan.unfinished, report)
        plan = select(scan.files, config.rules)
        for note in (*scan.notes, *plan.notes):
            self._log_once.say("WARNING", note)
        try:
            await self._file_all(connection, plan.planned_moves, report)
        finally:
            self._log_once.next_poll()
            report.log(self._stop.clock() - started)
        return report.failed

    async def dry_run(self, config: MoverConfig) -> None:
        """Log what one poll would do; change nothing."""
        connection = await self._connect(config)
        scan = await connection.scanner.stat()
        plan = select(scan.files, config.rules)
        for file, tag in scan.unfinished:
            logger.info("would take the tag {!r} off {}, which lies where it belongs", tag.name, "/".join(file.path))
        for planned in plan.planned_moves:
            target = "/".join((*config.rules.folder(planned.category), planned.file.name))
            logger.info("would move {} to {} and take off {!r}", "/".join(planned.file.path), target, planned.tag.name)
        for note in (*scan.notes, *plan.notes):
            logger.info("{}", note)
        if not scan.unfinished and not plan.planned_moves:
            logger.info("would do nothing: there is nothing to do")

    async def _connect(self, config: MoverConfig) -> Connection:
        if self._connection is None or self._connection.config != config:
            await self.close()
            # Kept only once it has worked: one request alone tells whether the password is right.
            connection = Connection(config, self._retry)
            try:
                await self._retry.call_async(connection.nextcloud.log_in)
            except BaseException:
                await connection.nextcloud.close()
                raise
            self._connection = connection
        return self._connection

    # --- what was left half done --------------------------------------------------------------------------------------

    async def _finish_all(self, connection: Connection, unfinished: Iterable[tuple[File, Tag]], report: Report) -> None:
        """Take off the tags of images that lie in their category's folder."""
        for file, tag in unfinished:
            self._stop.check()
            if await self._untag(connection, file, tag, report):
                report.finished += 1
                logger.info("{} was there already: took the tag {!r} off", "/".join(file.path), tag.name)

    async def _untag(self, connection: Connection, file: File, tag: Tag, report: Report) -> bool:
        """Take a tag off; if that fails, a later poll does it."""
        try:
            return await self._retry.call_async(lambda: connection.nextcloud.untag(file, tag))
        except Failure as failure:
            connection.scanner.start_over()
            if ends_poll(failure):
                raise
            report.failed.append(failure)
            self._log_once.say("ERROR", f"The tag {tag.name!r} is still on {file.name}: {failure}")
            return False

    # --- filing -------------------------------------------------------------------------------------------------------

    async def _file_all(self, connection: Connection, planned_moves: Sequence[PlannedMove], report: Report) -> None:
        """File several at a time, until all are done or nothing more can be."""
        connection.skip_list = {
            planned.file.id: refusal
            for planned in planned_moves
            if (refusal := connection.skip_list.get(planned.file.id)) and _same(refusal, planned)
        }
        halted: list[Failure] = []
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(planned: PlannedMove) -> None:
            async with turns:
                if not halted and not self._stop.requested:
                    await self._file(connection, planned, report, halted)

        async with asyncio.TaskGroup() as group:
            for planned in planned_moves:
                if refusal := connection.skip_list.get(planned.file.id):
                    self._log_once.say("ERROR", refusal.line)
                else:
                    group.create_task(in_turn(planned))
        if halted:
            raise halted[0]
        self._stop.check()

    async def _file(self, connection: Connection, planned: PlannedMove, report: Report, halted: list[Failure]) -> None:
        file = planned.file
        try:
            name = await connection.file_mover.move(planned)
            if name is None:
                report.passed_by += 1
                logger.info("{} was taken away meanwhile", file.name)
                return
            report.filed += 1
            await self._untag(connection, file, planned.tag, report)
            self._say_filed(planned, name)
        except PreconditionFailed:
            report.passed_by += 1
            logger.info("{} was changed meanwhile", file.name)
        except Cancelled:
            # The others end by themselves.
            return
        except Failure as failure:
            if ends_poll(failure) or isinstance(failure, ServerDown):
                halted.append(failure)
            else:
                self._note(connection, planned, failure, report)
        except Exception as mistake:  # noqa: BLE001 - logged with its traceback
            # One image must not keep the others.
            logger.exception("{} is left where it is, for a reason nobody foresaw", file.name)
            report.failed.append(Failure(f"{file.name} cannot be filed for a reason nobody foresaw ({mistake!r})"))

    def _note(self, connection: Connection, planned: PlannedMove, failure: Failure, report: Report) -> None:
        report.failed.append(failure)
        line = str(failure) if isinstance(failure, FolderUnusable) else f"{planned.file.name}: {failure}"
        self._log_once.say("ERROR", line)
        if failure.policy is ErrorPolicy.SKIP:
            connection.skip_list[planned.file.id] = SkippedFile(planned.file.etag, planned.category, line)

    def _say_filed(self, planned: PlannedMove, name: str) -> None:
        logger.success("{} → {}/{}", planned.file.name, planned.category, name)
        if planned.left_on:
            others = ", ".join(map(repr, planned.left_on))
            logger.warning("{} names several categories: filed under {}, left on: {}", name, planned.category, others)


def _same(refusal: SkippedFile, planned: PlannedMove) -> bool:
    return (refusal.etag, refusal.category) == (planned.file.etag, planned.category)
