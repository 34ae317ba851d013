"""One look into the raw folder, and everything that follows from it."""

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from loguru import logger

from scaler import allocator, names
from scaler.carry import Carrier
from scaler.formats import Unscalable
from scaler.limits import Limits
from scaler.plan import SETTLED_AFTER, Choice, Sighting, choose, picture_names
from scaler.publish import Folders
from scaler.recover import look_into, not_there, recover
from scaler.refusals import Refusals
from scaler.report import Report
from scaler.scale import Account, TooLarge, load_opencv
from scaler.workdir import workdir
from shared.errors import Failure, Forbidden, Mismatch, Missing, NotAccepted, Stopped
from shared.pace import ends_the_pass
from shared.stop import Stop
from shared.store import Entry, Href, Store

# How often to look for what other scalers have left, seconds.
RECOVER_EVERY = 600.0


@dataclass(frozen=True)
class Task:
    """What one pass is to do.

    Attributes:
        raw, unsorted: folders, relative to the account's base.
    """

    account: Account
    raw: str
    unsorted: str
    prefixes: tuple[str, ...]


class Scaler:
    """What outlives a pass: the threads, the local folder, and what was found out about the server.

    Args:
        threads: pictures in hand at one time.
        state: folder for what is remembered across restarts.
    """

    def __init__(self, threads: int, limits: Limits, quality: int, state: Path, stop: Stop) -> None:
        self._limits = limits
        self._quality = quality
        self._state = state
        self._stop = stop
        self._closing = contextlib.ExitStack()
        self._workdir = self._closing.enter_context(workdir())
        stop.at_hard_end.append(lambda: shutil.rmtree(self._workdir, ignore_errors=True))
        allocator.keep_blocks()
        # Deleting its claim is the last of a picture's five or six requests, and nobody has to wait for it.
        self._sweepers = self._closing.enter_context(ThreadPoolExecutor(max(1, threads // 5), "sweep"))
        # A little memory leaks with every new thread that runs OpenCV, so these live as long as the daemon.
        self._hands = self._closing.enter_context(ThreadPoolExecutor(threads, "picture"))
        self._owner = names.new_owner()
        self._task: Task | None = None
        self._halted: list[Failure] = []
        self._sweeping: list[tuple[Entry, Future[None]]] = []

    def _begin(self, task: Task, folders: Folders) -> None:
        """Forget what was found out with other settings."""
        self._task = task
        self._sightings: dict[str, Sighting] = {}
        self._unchanged_since: str | None = None
        self._recovered_at: float | None = None
        self._refusals = Refusals(self._state, folders.raw)
        self._carrier = Carrier(
            *(
                task.account,
                folders,
                self._owner,
                self._workdir,
                self._quality,
                self._limits,
                self._stop,
                self._sweep,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def one_pass(self, task: Task, *, until_settled: bool = False) -> Sequence[Failure]:
        """Scale everything that is there and settled.

        Args:
            until_settled: wait for pictures that may still be changing, and take them too.

        Returns:
            what failed; each was logged, except what made the rest of the pass senseless.

        Raises:
            Failure: nothing could be done at all.
            Stopped: on request.
        """
        started = self._stop.clock()
        report = self._look_once(task)
        total = report
        while until_settled and report.waiting:
            if self._stop.pause(SETTLED_AFTER):
                raise Stopped
            report = self._look_once(task)
            total = total.and_then(report)
        total.log(self._stop.clock() - started)
        return total.failed

    def _look_once(self, task: Task) -> Report:
        with task.account.connect() as store:
            folders = Folders.of(store, task.raw, task.unsorted)
            if task != self._task:
                self._begin(task, folders)
            choice = Choice() if self._is_unchanged(store, folders) else self._choose(store, folders, task)
            if choice.take:
                self._load_opencv_meanwhile()
            if self._recovery_changed_it(store, folders):
                choice = self._choose(store, folders, task)
        report = Report(waiting=len(choice.wait))
        self._carry_all(choice.take, report)
        if report.failed:
            self._unchanged_since = self._recovered_at = None
        return report

    def dry_run(self, task: Task) -> int:
        """Log what one pass would do; change nothing. The exit status."""
        lines = list(self._would_do(task))
        for line in lines or ["nothing to do"]:
            logger.info("{}", line)
        return 0

    def _would_do(self, task: Task) -> Iterator[str]:
        with task.account.connect() as store:
            folders = Folders.of(store, task.raw, task.unsorted)
            hidden = look_into(store, folders)
            if hidden.uploads is None and store.look(folders.unsorted) is None:
                raise not_there(task.unsorted, "scaler_constants/UNSORTED_REMOTE_DIR")
            for _, claim in hidden.claimed:
                yield f"would finish {claim.original}, left by a scaler that was stopped"
            self._begin(task, folders)
            choice = self._choose(store, folders, task)
            for entry in (*choice.take, *choice.wait):
                name = names.final_name(entry.name, names.new_id(self._owner))
                yield f"would scale {task.raw}/{entry.name} to {task.unsorted}/{name}"
            for entry in choice.left:
                yield f"would leave {task.raw}/{entry.name}: it was refused before and has not changed"

    def _is_unchanged(self, store: Store, folders: Folders) -> bool:
        return self._unchanged_since is not None and store.etag(folders.raw) == self._unchanged_since

    def _load_opencv_meanwhile(self) -> None:
        """It takes its time to load, which the server needs anyway to tell what stopped scalers have left."""
        if "scaler.picture" not in sys.modules:
            self._sweepers.submit(load_opencv)

    def _recovery_changed_it(self, store: Store, folders: Folders) -> bool:
        """Look for what stopped scalers have left, if it is time; whether the listing before is out of date by that."""
        now = self._stop.clock()
        if self._recovered_at is not None and now - self._recovered_at < RECOVER_EVERY:
            return False
        hidden = recover(store, folders, self._owner)
        self._recovered_at = now
        # Originals may be back in the folder; or the hidden folders were made, and the ETag that tells is another.
        return bool(hidden.claimed) or (hidden.uploads is None and self._unchanged_since is not None)

    def _choose(self, store: Store, folders: Folders, task: Task) -> Choice:
        wanted = picture_names(task.prefixes)
        try:
            listing = store.list_folder(folders.raw, wanted)
        except Missing:
            if store.look(folders.raw) is None:
                raise not_there(task.raw, "scaler_constants/RAW_REMOTE_DIR") from None
            # Some servers say so when a file in it is taken away while they list.
            listing = store.list_folder(folders.raw, wanted)
        choice = choose(
            listing,
            wanted,
            refused=self._refusals.__contains__,
            before=self._sightings,
            clock=self._stop.clock(),
        )
        self._refusals.keep_only(listing.entries)
        self._sightings = dict(choice.sightings)
        # An ETag from before our own work: the next pass lists once more, which costs little and misses nothing.
        self._unchanged_since = None if choice.take or choice.wait else listing.folder_etag
        return choice

    def _carry_all(self, entries: Sequence[Entry], report: Report) -> None:
        """Carry every picture through, as many at once as there are hands."""
        self._halted, self._sweeping = [], []
        futures = {self._hands.submit(self._carry, entry): entry for entry in entries}
        try:
            for future in _with_progress(as_completed(futures), len(futures)):
                self._note(futures[future], future, report)
            for entry, swept in self._sweeping:
                self._note_swept(entry, swept, report)
        except Stopped:
            for future in futures:
                future.cancel()
            raise
        self._refusals.save()
        if futures:
            allocator.give_back()

    def _note(self, entry: Entry, future: "Future[str | None]", report: Report) -> None:
        try:
            name = future.result()
        except Stopped:
            raise
        except Unscalable as refusal:
            report.refused += 1
            logger.warning("{} is left where it is: {}", entry.name, refusal.reason)
            self._refusals.add(entry, lasting=not isinstance(refusal, TooLarge))
        except (Mismatch, Missing):
            report.passed_by += 1
            logger.info("{} was replaced or taken away meanwhile", entry.name)
        except Failure as failure:
            self._note_failure(entry, failure, report)
            if isinstance(failure, Forbidden | NotAccepted):
                self._refusals.add(entry, lasting=False)
        except Exception as mistake:  # noqa: BLE001 - one picture must not end the daemon
            report.failed.append(Failure(f"{entry.name} cannot be scaled for a reason nobody foresaw ({mistake!r})"))
            logger.exception("{} is left where it is, for a reason nobody foresaw", entry.name)
            self._refusals.add(entry, lasting=False)
        else:
            report.scaled += name is not None
            report.passed_by += name is None

    def _note_swept(self, entry: Entry, swept: "Future[None]", report: Report) -> None:
        try:
            swept.result()
        except Failure as failure:
            # Recovery deletes the claim later.
            self._note_failure(entry, failure, report)

    def _note_failure(self, entry: Entry, failure: Failure, report: Report) -> None:
        report.failed.append(failure)
        if failure not in self._halted:
            logger.error("{}: {}", entry.name, failure)

    def _carry(self, entry: Entry) -> str | None:
        return self._unless_halted(lambda: self._carrier.carry(entry))

    def _sweep(self, entry: Entry, claimed: Href) -> None:
        """Delete the claim of a published picture, without keeping its hand from the next one."""

        def delete() -> None:
            with self._carrier.account.connect() as store:
                store.delete(claimed)

        self._sweeping.append((entry, self._sweepers.submit(self._unless_halted, delete)))

    def _unless_halted[T](self, work: Callable[[], T]) -> T:
        """Work, unless something was found out meanwhile that makes the rest of the pass senseless."""
        if self._halted:
            raise self._halted[0]
        try:
            return work()
        except Failure as failure:
            if ends_the_pass(failure):
                self._halted.append(failure)
            raise


def _with_progress[T](items: Iterator[T], total: int) -> Iterator[T]:
    """A bar on a terminal while pictures are on their way; nothing elsewhere."""
    if total < 2 or not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, total=total, unit="picture", leave=False, dynamic_ncols=True)
