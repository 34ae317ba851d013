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
from scaler.claims import Folders
from scaler.images.probe import UnsupportedImage
from scaler.limits import Limits
from scaler.pipeline import Pipeline
from scaler.recovery import list_unfinished, not_there, recover
from scaler.report import Report
from scaler.selection import SETTLED_AFTER, Observation, Selection, image_names, select
from scaler.skip_list import SkipList
from scaler.upscale_job import Account, TooLarge, load_opencv
from scaler.workdir import workdir
from shared.errors import Cancelled, Failure, Forbidden, NotAccepted, NotFound, PreconditionFailed
from shared.scheduler import ends_poll
from shared.shutdown import StopToken
from shared.webdav.store import Entry, Href, Store

# How often to look for what other scalers have left, seconds.
RECOVER_EVERY = 600.0


@dataclass(frozen=True)
class ScalerConfig:
    """What one poll is to do.

    Attributes:
        raw, unsorted: folders, relative to the account's base.
    """

    account: Account
    raw: str
    unsorted: str
    prefixes: tuple[str, ...]


class ScalerService:
    """What outlives a poll: the threads, the local folder, and what was found out about the server.

    Args:
        threads: images in flight at one time.
        state: folder for what is remembered across restarts.
    """

    def __init__(self, threads: int, limits: Limits, quality: int, state: Path, stop: StopToken) -> None:
        self._limits = limits
        self._quality = quality
        self._state = state
        self._stop = stop
        self._closing = contextlib.ExitStack()
        self._workdir = self._closing.enter_context(workdir())
        stop.on_forced_exit.append(lambda: shutil.rmtree(self._workdir, ignore_errors=True))
        allocator.keep_blocks()
        # Deleting its claim is the last of an image's five or six requests, and nobody has to wait for it.
        self._cleanup_executor = self._closing.enter_context(ThreadPoolExecutor(max(1, threads // 5), "cleanup"))
        # A little memory leaks with every new thread that runs OpenCV, so these live as long as the daemon.
        self._executor = self._closing.enter_context(ThreadPoolExecutor(threads, "image"))
        self._owner = names.new_owner()
        self._config: ScalerConfig | None = None
        self._halted: list[Failure] = []
        self._cleanups: list[tuple[Entry, Future[None]]] = []

    def _begin(self, config: ScalerConfig, folders: Folders) -> None:
        """Forget what was found out with other settings."""
        self._config = config
        self._observations: dict[str, Observation] = {}
        self._unchanged_since: str | None = None
        self._recovered_at: float | None = None
        self._skip_list = SkipList(self._state, folders.raw)
        self._pipeline = Pipeline(
            *(
                config.account,
                folders,
                self._owner,
                self._workdir,
                self._quality,
                self._limits,
                self._stop,
                self._clean_up,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def poll(self, config: ScalerConfig, *, until_settled: bool = False) -> Sequence[Failure]:
        """Scale everything that is there and settled.

        Args:
            until_settled: wait for images that may still be changing, and take them too.

        Returns:
            what failed; each was logged, except what made the rest of the poll senseless.

        Raises:
            Failure: nothing could be done at all.
            Cancelled: on request.
        """
        started = self._stop.clock()
        report = self._poll_once(config)
        total = report
        while until_settled and report.waiting:
            if self._stop.pause(SETTLED_AFTER):
                raise Cancelled
            report = self._poll_once(config)
            total = total.and_then(report)
        total.log(self._stop.clock() - started)
        return total.failed

    def _poll_once(self, config: ScalerConfig) -> Report:
        with config.account.connect() as store:
            folders = Folders.of(store, config.raw, config.unsorted)
            if config != self._config:
                self._begin(config, folders)
            selection = Selection() if self._is_unchanged(store, folders) else self._select(store, folders, config)
            if selection.take:
                self._load_opencv_meanwhile()
            if self._recovery_changed_it(store, folders):
                selection = self._select(store, folders, config)
        report = Report(waiting=len(selection.wait))
        self._process_all(selection.take, report)
        if report.failed:
            self._unchanged_since = self._recovered_at = None
        return report

    def dry_run(self, config: ScalerConfig) -> int:
        """Log what one poll would do; change nothing. The exit status."""
        lines = list(self._would_do(config))
        for line in lines or ["nothing to do"]:
            logger.info("{}", line)
        return 0

    def _would_do(self, config: ScalerConfig) -> Iterator[str]:
        with config.account.connect() as store:
            folders = Folders.of(store, config.raw, config.unsorted)
            unfinished = list_unfinished(store, folders)
            if unfinished.uploads is None and store.stat(folders.unsorted) is None:
                raise not_there(config.unsorted, "scaler_constants/UNSORTED_REMOTE_DIR")
            for _, claim in unfinished.claimed:
                yield f"would finish {claim.original}, left by a scaler that was stopped"
            self._begin(config, folders)
            selection = self._select(store, folders, config)
            for entry in (*selection.take, *selection.wait):
                name = names.final_name(entry.name, names.new_id(self._owner))
                yield f"would upscale {config.raw}/{entry.name} to {config.unsorted}/{name}"
            for entry in selection.left:
                yield f"would leave {config.raw}/{entry.name}: it was refused before and has not changed"

    def _is_unchanged(self, store: Store, folders: Folders) -> bool:
        return self._unchanged_since is not None and store.etag(folders.raw) == self._unchanged_since

    def _load_opencv_meanwhile(self) -> None:
        """It takes its time to load, which the server needs anyway to tell what stopped scalers have left."""
        if "scaler.images.codecs" not in sys.modules:
            self._cleanup_executor.submit(load_opencv)

    def _recovery_changed_it(self, store: Store, folders: Folders) -> bool:
        """Look for what stopped scalers have left, if it is time; whether the listing before is out of date by that."""
        now = self._stop.clock()
        if self._recovered_at is not None and now - self._recovered_at < RECOVER_EVERY:
            return False
        unfinished = recover(store, folders, self._owner)
        self._recovered_at = now
        # Originals may be back in the folder; or the hidden folders were made, and the ETag that tells is another.
        return bool(unfinished.claimed) or (unfinished.uploads is None and self._unchanged_since is not None)

    def _select(self, store: Store, folders: Folders, config: ScalerConfig) -> Selection:
        wanted = image_names(config.prefixes)
        try:
            listing = store.list_folder(folders.raw, wanted)
        except NotFound:
            if store.stat(folders.raw) is None:
                raise not_there(config.raw, "scaler_constants/RAW_REMOTE_DIR") from None
            # Some servers say so when a file in it is taken away while they list.
            listing = store.list_folder(folders.raw, wanted)
        selection = select(
            listing,
            wanted,
            refused=self._skip_list.__contains__,
            before=self._observations,
            clock=self._stop.clock(),
        )
        self._skip_list.keep_only(listing.entries)
        self._observations = dict(selection.observations)
        # An ETag from before our own work: the next poll lists once more, which costs little and misses nothing.
        self._unchanged_since = None if selection.take or selection.wait else listing.folder_etag
        return selection

    def _process_all(self, entries: Sequence[Entry], report: Report) -> None:
        """Carry every image through, as many at once as there are hands."""
        self._halted, self._cleanups = [], []
        futures = {self._executor.submit(self._process, entry): entry for entry in entries}
        try:
            for future in _with_progress(as_completed(futures), len(futures)):
                self._note(futures[future], future, report)
            for entry, swept in self._cleanups:
                self._note_cleaned_up(entry, swept, report)
        except Cancelled:
            for future in futures:
                future.cancel()
            raise
        self._skip_list.save()
        if futures:
            allocator.give_back()

    def _note(self, entry: Entry, future: "Future[str | None]", report: Report) -> None:
        try:
            name = future.result()
        except Cancelled:
            raise
        except UnsupportedImage as refusal:
            report.refused += 1
            logger.warning("{} is left where it is: {}", entry.name, refusal.reason)
            self._skip_list.add(entry, lasting=not isinstance(refusal, TooLarge))
        except (PreconditionFailed, NotFound):
            report.passed_by += 1
            logger.info("{} was replaced or taken away meanwhile", entry.name)
        except Failure as failure:
            self._note_failure(entry, failure, report)
            if isinstance(failure, Forbidden | NotAccepted):
                self._skip_list.add(entry, lasting=False)
        except Exception as mistake:  # noqa: BLE001 - one image must not end the daemon
            report.failed.append(Failure(f"{entry.name} cannot be upscaled for a reason nobody foresaw ({mistake!r})"))
            logger.exception("{} is left where it is, for a reason nobody foresaw", entry.name)
            self._skip_list.add(entry, lasting=False)
        else:
            report.upscaled += name is not None
            report.passed_by += name is None

    def _note_cleaned_up(self, entry: Entry, swept: "Future[None]", report: Report) -> None:
        try:
            swept.result()
        except Failure as failure:
            # Recovery deletes the claim later.
            self._note_failure(entry, failure, report)

    def _note_failure(self, entry: Entry, failure: Failure, report: Report) -> None:
        report.failed.append(failure)
        if failure not in self._halted:
            logger.error("{}: {}", entry.name, failure)

    def _process(self, entry: Entry) -> str | None:
        return self._unless_halted(lambda: self._pipeline.process(entry))

    def _clean_up(self, entry: Entry, claimed: Href) -> None:
        """Delete the claim of a published image, without keeping its hand from the next one."""

        def delete() -> None:
            with self._pipeline.account.connect() as store:
                store.delete(claimed)

        self._cleanups.append((entry, self._cleanup_executor.submit(self._unless_halted, delete)))

    def _unless_halted[T](self, work: Callable[[], T]) -> T:
        """Work, unless something was found out meanwhile that makes the rest of the poll senseless."""
        if self._halted:
            raise self._halted[0]
        try:
            return work()
        except Failure as failure:
            if ends_poll(failure):
                self._halted.append(failure)
            raise


def _with_progress[T](items: Iterator[T], total: int) -> Iterator[T]:
    """A bar on a terminal while images are on their way; nothing elsewhere."""
    if total < 2 or not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, total=total, unit="image", leave=False, dynamic_ncols=True)
