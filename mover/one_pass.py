"""One look at the pictures, and everything that follows from it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loguru import logger

from mover.filing import Filer, FolderRefused, ServerDown
from mover.lookout import Lookout
from mover.nextcloud import Nextcloud
from mover.plan import File, Filing, Tag, choose
from mover.settings import Task
from shared.errors import Failure, Mismatch, Policy, Stopped
from shared.pace import ends_the_pass
from shared.patience import Patience

# Pictures on their way at one time. If the password changes meanwhile, so many requests are refused.
AT_ONCE = 5


@dataclass
class Report:
    """What became of the pictures of one pass."""

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
        logger.log("INFO" if said else "DEBUG", "Pass done in {:.1f} s: {}", seconds, said or "nothing to do")


class Once:
    """Says things once while they last."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        self._now: set[str] = set()

    def say(self, level: str, line: str) -> None:
        """Log it, unless it was said already in this pass or the last."""
        if line not in self._before | self._now:
            logger.log(level, "{}", line)
        self._now.add(line)

    def next_pass(self) -> None:
        """Forget what did not last."""
        self._before, self._now = self._now, set()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the server would not do, and what was said about it."""

    etag: str | None
    category: str
    line: str


class Connection:
    """A login to the server and what was found out there, for one task."""

    def __init__(self, task: Task, patience: Patience) -> None:
        self.task = task
        self.nextcloud = Nextcloud(task.account)
        self.lookout = Lookout(self.nextcloud, task.rules, patience)
        self.filer = Filer(self.nextcloud, task.rules, patience)
        self.refusals: dict[str, Refusal] = {}


class Mover:
    """What outlives a pass: the connection, and what was said already.

    Args:
        patience: repeats what the server was not able to do.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._stop = patience.stop
        self._once = Once()
        self._connection: Connection | None = None

    async def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.nextcloud.close()

    async def one_pass(self, task: Task) -> Sequence[Failure]:
        """File everything that is there, and finish what was left half done.

        Returns:
            what failed; each was logged.

        Raises:
            Failure: nothing could be done at all, or nothing more.
            Stopped: on request.
        """
        started = self._stop.clock()
        report = Report()
        connection = await self._connect(task)
        sight = await connection.lookout.look()
        if sight.new_round:
            connection.refusals.clear()
        await self._finish_all(connection, sight.unfinished, report)
        plan = choose(sight.files, task.rules)
        for note in (*sight.notes, *plan.notes):
            self._once.say("WARNING", note)
        try:
            await self._file_all(connection, plan.filings, report)
        finally:
            self._once.next_pass()
            report.log(self._stop.clock() - started)
        return report.failed

    async def dry_run(self, task: Task) -> None:
        """Log what one pass would do; change nothing."""
        connection = await self._connect(task)
        sight = await connection.lookout.look()
        plan = choose(sight.files, task.rules)
        for file, tag in sight.unfinished:
            logger.info("would take the tag {!r} off {}, which lies where it belongs", tag.name, "/".join(file.path))
        for filing in plan.filings:
            target = "/".join((*task.rules.folder(filing.category), filing.file.name))
            logger.info("would move {} to {} and take off {!r}", "/".join(filing.file.path), target, filing.tag.name)
        for note in (*sight.notes, *plan.notes):
            logger.info("{}", note)
        if not sight.unfinished and not plan.filings:
            logger.info("would do nothing: there is nothing to do")

    async def _connect(self, task: Task) -> Connection:
        if self._connection is None or self._connection.task != task:
            await self.close()
            # Kept only once it has worked: one request alone tells whether the password is right.
            connection = Connection(task, self._patience)
            try:
                await self._patience.awaiting(connection.nextcloud.log_in)
            except BaseException:
                await connection.nextcloud.close()
                raise
            self._connection = connection
        return self._connection

    # --- what was left half done --------------------------------------------------------------------------------------

    async def _finish_all(self, connection: Connection, unfinished: Iterable[tuple[File, Tag]], report: Report) -> None:
        """Take off the tags of pictures that lie in their category's folder."""
        for file, tag in unfinished:
            self._stop.check()
            if await self._untag(connection, file, tag, report):
                report.finished += 1
                logger.info("{} was there already: took the tag {!r} off", "/".join(file.path), tag.name)

    async def _untag(self, connection: Connection, file: File, tag: Tag, report: Report) -> bool:
        """Take a tag off; if that fails, a later pass does it."""
        try:
            return await self._patience.awaiting(lambda: connection.nextcloud.untag(file, tag))
        except Failure as failure:
            connection.lookout.start_over()
            if ends_the_pass(failure):
                raise
            report.failed.append(failure)
            self._once.say("ERROR", f"The tag {tag.name!r} is still on {file.name}: {failure}")
            return False

    # --- filing -------------------------------------------------------------------------------------------------------

    async def _file_all(self, connection: Connection, filings: Sequence[Filing], report: Report) -> None:
        """File several at a time, until all are done or nothing more can be."""
        connection.refusals = {
            filing.file.id: refusal
            for filing in filings
            if (refusal := connection.refusals.get(filing.file.id)) and _same(refusal, filing)
        }
        halted: list[Failure] = []
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(filing: Filing) -> None:
            async with turns:
                if not halted and not self._stop.requested:
                    await self._file(connection, filing, report, halted)

        async with asyncio.TaskGroup() as group:
            for filing in filings:
                if refusal := connection.refusals.get(filing.file.id):
                    self._once.say("ERROR", refusal.line)
                else:
                    group.create_task(in_turn(filing))
        if halted:
            raise halted[0]
        self._stop.check()

    async def _file(self, connection: Connection, filing: Filing, report: Report, halted: list[Failure]) -> None:
        file = filing.file
        try:
            name = await connection.filer.move(filing)
            if name is None:
                report.passed_by += 1
                logger.info("{} was taken away meanwhile", file.name)
                return
            report.filed += 1
            await self._untag(connection, file, filing.tag, report)
            self._say_filed(filing, name)
        except Mismatch:
            report.passed_by += 1
            logger.info("{} was changed meanwhile", file.name)
        except Stopped:
            # The others end by themselves.
            return
        except Failure as failure:
            if ends_the_pass(failure) or isinstance(failure, ServerDown):
                halted.append(failure)
            else:
                self._note(connection, filing, failure, report)
        except Exception as mistake:  # noqa: BLE001 - logged with its traceback
            # One picture must not keep the others.
            logger.exception("{} is left where it is, for a reason nobody foresaw", file.name)
            report.failed.append(Failure(f"{file.name} cannot be filed for a reason nobody foresaw ({mistake!r})"))

    def _note(self, connection: Connection, filing: Filing, failure: Failure, report: Report) -> None:
        report.failed.append(failure)
        line = str(failure) if isinstance(failure, FolderRefused) else f"{filing.file.name}: {failure}"
        self._once.say("ERROR", line)
        if failure.policy is Policy.LEAVE:
            connection.refusals[filing.file.id] = Refusal(filing.file.etag, filing.category, line)

    def _say_filed(self, filing: Filing, name: str) -> None:
        logger.success("{} → {}/{}", filing.file.name, filing.category, name)
        if filing.left_on:
            others = ", ".join(map(repr, filing.left_on))
            logger.warning("{} names several categories: filed under {}, left on: {}", name, filing.category, others)


def _same(refusal: Refusal, filing: Filing) -> bool:
    return (refusal.etag, refusal.category) == (filing.file.etag, filing.category)
