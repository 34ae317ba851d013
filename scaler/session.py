"""What was found out with one set of settings, and how a poll begins with them: on a Nextcloud, and elsewhere."""

import abc
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import override

from loguru import logger

from scaler import names
from scaler.backoff import Backoff, ImageBackoff
from scaler.claims import ClaimMoves, ClaimPublisher, Folders
from scaler.config import ScalerConfig
from scaler.detection import detect_in_place, remove_leftovers
from scaler.flight_notes import FlightNotes
from scaler.in_place import PROPERTIES, InPlaceFolders, InPlacePublisher
from scaler.marker import PREFIX, unfinished_marker
from scaler.moves import MovesRejected, NameLock
from scaler.pipeline import KeptUpload, Pipeline
from scaler.recovery import Recovery, list_unfinished, missing_folder
from scaler.rights import allowed, movable
from scaler.selection import Observation, Selection, image_names, select, unreadable_format
from scaler.skip_list import SkipList, summary
from scaler.upload_notes import UploadNotes
from scaler.upscaling import Published, Resources, Upscaled, UpscaleJob, load_opencv
from shared.errors import Failure, NotFound, StorageFull
from shared.filenames import HIDDEN_FOLDER
from shared.retry import RetryPolicy
from shared.webdav.store import BASIC, THROWAWAY, Account, Connections, Entry, Href, Listing, Prop, Store, strong

# How often to look for what other scalers have left, seconds.
RECOVER_EVERY = 600.0
# What makes every image fail, and is certain to do so for a while.
_OBSTACLES = (StorageFull, MovesRejected)


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do in a poll.

    Attributes:
        take: to be upscaled.
        finish: upscaled already, to be published.
        waiting: how many may still be changing.
        failures: why others are not taken; not logged yet.
    """

    take: tuple[Entry, ...]
    finish: tuple[Entry, ...] = ()
    waiting: int = 0
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Host:
    """What the process provides to every session.

    Attributes:
        executor: for small requests beside the work.
        state: folder for what is remembered across restarts.
        owner: of this process's uploads.
    """

    executor: Executor
    state: Path
    owner: str
    name_lock: NameLock = field(default_factory=NameLock)

    def load_opencv(self) -> None:
        """It takes its time to load, which the server needs anyway for what comes before the first image."""
        if "scaler.images.codecs" not in sys.modules:
            self.executor.submit(load_opencv)


class InPlaceUnsupported(Exception):
    """Files cannot be replaced in place on this server; the text says why."""


def place_of(account: Account, raw: Href) -> str:
    """Names a raw folder on all servers and of all accounts, in what is remembered across restarts."""
    return f"{account} {raw}"


def skipped_in(selection: Selection, skip_list: SkipList) -> dict[str, str]:
    """Names and reasons of the images that are skipped."""
    unreadable = {entry.name: unreadable_format(entry.name) or "" for entry in selection.unreadable}
    return unreadable | {entry.name: skip_list.reason(entry) or "" for entry in selection.skipped}


class Session(abc.ABC):
    """One set of settings; made anew when they change."""

    publisher: InPlacePublisher | ClaimPublisher

    def __init__(self, config: ScalerConfig, connections: Connections, retry: RetryPolicy, host: Host) -> None:
        self.config = config
        self.connections = connections
        self.retry = retry
        self._host = host
        with connections.connect() as store:
            self.folders = Folders.of(store, config.raw, config.unsorted)
        place = place_of(config.account, self.folders.raw)
        self.skip_list = SkipList(host.state, place)
        self.flight_notes = FlightNotes(host.state, place, host.owner, self.skip_list)
        self.moves = ClaimMoves(self.folders, retry, host.name_lock)
        # Also where copies are published: an image that was replaced before is never upscaled again.
        self.properties: tuple[Prop, ...] = (*(PROPERTIES if connections.user_id else BASIC), Prop.LOCKS)
        self.in_place = InPlacePublisher(
            folders=InPlaceFolders.of(connections, self.folders.raw, self.folders.unsorted),
            connections=connections,
            retry=retry,
            notes=UploadNotes(host.state, self.folders.raw),
            owner=host.owner,
        )
        self.backoff = ImageBackoff()
        self.kept: dict[Href, KeptUpload] = {}
        self._obstacle: Failure | None = None
        self._obstacle_backoff = Backoff()
        self._locked: set[str] = set()
        self._observations: dict[str, Observation] = {}
        self._skipped: dict[str, str] = {}
        self._named: set[str] | None = None
        self._unchanged_since: str | None = None
        self._complained = ""

    @abc.abstractmethod
    def look(self, store: Store, clock: float) -> Work:
        """See what there is to do.

        Args:
            clock: seconds, monotonic.

        Raises:
            NotFound: a folder that the settings name does not exist.
        """

    @abc.abstractmethod
    def would_do(self, store: Store) -> Iterator[str]:
        """Sentences about what a poll would do; changes nothing."""

    def close(self) -> None:
        """Close connections and files."""
        self.connections.close()
        self.flight_notes.close()

    @property
    def skipped_count(self) -> int:
        """How many images are skipped at present, those of formats that are not supported among them."""
        return len(self.skip_list) + sum(unreadable_format(name) is not None for name in self._skipped)

    def name_skipped(self) -> None:
        """Log which images are skipped: all of them once, then new ones whose format is not supported.

        The others are logged when they are tried.
        """
        first, named = self._named is None, self._named or set()
        new = {
            name: reason
            for name, reason in self._skipped.items()
            if name not in named and (first or unreadable_format(name))
        }
        if new:
            logger.info("{}", summary(new))
        self._named = named | set(new)

    def note_obstacle(self, failures: Sequence[Failure], clock: float) -> None:
        """Take note of what made an image fail, and would make every other image fail too.

        Args:
            failures: of a poll in which images were taken; empty if all went well.
        """
        found = next((failure for failure in failures if isinstance(failure, _OBSTACLES)), None)
        if found:
            self._obstacle_backoff.fail(clock)
        elif not failures:
            self._obstacle_backoff = Backoff()
        if found or not failures:
            self._obstacle = found

    def past_obstacle(self, store: Store, work: Work, clock: float) -> Work:
        """What may be taken while something is in the way of every image: none, and one at last, after a delay."""
        if self._obstacle is None or not work.take:
            return work
        if self._obstacle_backoff.is_over(clock):
            try:
                self._check_obstacle(store)
                return replace(work, take=(min(work.take, key=lambda entry: entry.size or 0),))
            except _OBSTACLES as error:
                self.note_obstacle([error], clock)
        return replace(work, take=(), failures=(*work.failures, self._obstacle))

    @abc.abstractmethod
    def _check_obstacle(self, store: Store) -> None:
        """Raise MovesRejected if a small file cannot be moved either."""

    def forget_what_is_done(self) -> None:
        """Something failed: the next poll looks anew, whatever the folder's ETag says."""
        self._unchanged_since = None

    def finish(self, entry: Entry) -> Published:
        """Move on an image that an interrupted scaler has replaced in place."""
        marker = unfinished_marker(entry)
        assert marker is not None  # noqa: S101 - that is how it was selected
        return self.in_place.finish(entry, marker.id)

    def pipeline(
        self,
        upscale: Callable[[UpscaleJob, Resources], Upscaled],
        resources: Resources,
        quality: int,
        *,
        thumbnails: bool,
    ) -> Pipeline:
        """What processes the images that are taken."""
        return Pipeline(upscale, resources, self.publisher, self.in_place, self.kept, quality, thumbnails)

    def link(self, entry: Entry) -> str:
        """The image's page in the Nextcloud; empty on any other server."""
        root_url = self.connections.root_url
        return f"{root_url}index.php/f/{entry.file_id}" if root_url and entry.file_id else ""

    def _is_unchanged(self, store: Store) -> bool:
        if self._unchanged_since is None:
            return False
        raw = store.stat(self.folders.raw)
        return raw is not None and raw.tree_etag == self._unchanged_since

    def _list_raw(self, store: Store) -> Listing:
        """The images of the raw folder, everything with a marker, and the hidden folder."""
        is_image = image_names(self.config.prefixes)

        def list_it() -> Listing:
            return store.list_folder(
                self.folders.raw,
                self.properties,
                lambda name: name == HIDDEN_FOLDER or name.startswith(THROWAWAY) or is_image(name),
                marked=PREFIX,
            )

        try:
            return list_it()
        except NotFound as error:
            if store.stat(self.folders.raw) is None:
                raise missing_folder(self.config.raw, "scaler_constants/RAW_REMOTE_DIR") from error
            # Some servers say so when a file in it is taken away while they list.
            return list_it()

    def _select(self, listing: Listing, clock: float) -> Selection:
        selection = select(
            listing,
            image_names(self.config.prefixes),
            skipped=self.skip_list.__contains__,
            before=self._observations,
            clock=clock,
        )
        self.skip_list.keep_only(listing.entries)
        complaint = listing.complaint(self.config.raw)
        if complaint and complaint != self._complained:
            logger.warning("{}", complaint)
        self._complained = complaint
        self._skipped = skipped_in(selection, self.skip_list)
        self._observations = dict(selection.observations)
        self._name_locked(selection.locked)
        # An ETag from before our own work: the next poll lists once more, which costs little and misses nothing.
        busy = selection.take or selection.wait or selection.finish or selection.locked
        self._unchanged_since = None if busy else listing.itself.tree_etag
        self.backoff.keep_only(listing.entries)
        # What is not listed may have been claimed, so its upload is left to recovery.
        self.kept = {entry.href: self.kept[entry.href] for entry in listing.entries if entry.href in self.kept}
        take, finish = self.backoff.due(selection.take, clock), self.backoff.due(selection.finish, clock)
        if take:
            self._host.load_opencv()
        return replace(selection, take=take, finish=finish)

    def _name_locked(self, entries: Sequence[Entry]) -> None:
        names = {entry.name for entry in entries}
        for name in sorted(names - self._locked):
            logger.info("{} waits: it is locked by somebody who is editing it", name)
        self._locked = names

    def _would_do(self, selection: Selection) -> Iterator[str]:
        raw, unsorted = self.config.raw, self.config.unsorted
        for entry in selection.finish:
            yield f"would finish {raw}/{entry.name}, left by a scaler that was stopped"
        for entry in (*selection.take, *selection.wait):
            name = names.final_name(entry.name, names.new_id(self._host.owner))
            yield f"would upscale {raw}/{entry.name} to {unsorted}/{name}"
        for name, reason in self._skipped.items():
            yield f"would skip {raw}/{name}: {reason}"
        if self._skipped:
            yield summary(self._skipped)


class ClaimSession(Session):
    """On a server that cannot replace a file in place."""

    publisher: ClaimPublisher

    def __init__(self, config: ScalerConfig, connections: Connections, retry: RetryPolicy, host: Host) -> None:
        super().__init__(config, connections, retry, host)
        self.publisher = ClaimPublisher(self.moves, host.owner)
        self._recovered_at: float | None = None

    @override
    def look(self, store: Store, clock: float) -> Work:
        selection = Selection() if self._is_unchanged(store) else self._select(self._list_raw(store), clock)
        if self._recovery_changed_it(store, clock):
            selection = self._select(self._list_raw(store), clock)
        return Work(selection.take, selection.finish, len(selection.wait))

    @override
    def forget_what_is_done(self) -> None:
        super().forget_what_is_done()
        self._recovered_at = None

    @override
    def would_do(self, store: Store) -> Iterator[str]:
        unfinished = list_unfinished(store, self.folders)
        if unfinished.uploads is None and store.stat(self.folders.unsorted) is None:
            raise missing_folder(self.config.unsorted, "scaler_constants/UNSORTED_REMOTE_DIR")
        for _, claim in unfinished.claimed:
            yield f"would finish {claim.original}, left by a scaler that was stopped"
        yield from self._would_do(self._select(self._list_raw(store), 0.0))

    @override
    def _check_obstacle(self, store: Store) -> None:
        if isinstance(self._obstacle, MovesRejected):
            self.publisher.try_moving(store)

    def _recovery_changed_it(self, store: Store, clock: float) -> bool:
        """Finish what stopped scalers have left, if it is time; whether the listing before is out of date by that."""
        if self._recovered_at is not None and clock - self._recovered_at < RECOVER_EVERY:
            return False
        kept = {kept.upload.id for kept in self.kept.values()}
        unfinished = Recovery(store, self.moves, self._host.owner, kept).run()
        self._recovered_at = clock
        # Originals may be back in the folder; or the hidden folders were made, and the ETag that tells is another.
        return bool(unfinished.claimed) or (unfinished.uploads is None and self._unchanged_since is not None)


class InPlaceSession(Session):
    """On a Nextcloud."""

    def __init__(self, config: ScalerConfig, connections: Connections, retry: RetryPolicy, host: Host) -> None:
        super().__init__(config, connections, retry, host)
        self.publisher = self.in_place
        self._started = self._supported = False
        self._unknown: Failure | None = None
        self._unknown_backoff = Backoff()

    @override
    def look(self, store: Store, clock: float) -> Work:
        if self._is_unchanged(store):
            return Work(())
        listing = self._list_raw(store)
        if any(entry.is_folder and entry.name == HIDDEN_FOLDER for entry in listing.entries):
            self._require_support(store, clock)
            logger.info("Finishing what an earlier version has left in {}/{}", self.config.raw, HIDDEN_FOLDER)
            Recovery(store, self.moves, self._host.owner).run_for_the_last_time()
            listing = self._list_raw(store)
        selection = self._select(listing, clock)
        if remove_leftovers(store, listing):
            self.forget_what_is_done()
        if self._started and not selection.take and not selection.finish:
            return Work((), waiting=len(selection.wait))
        unsorted = self._unsorted(store)
        self._started = True
        work = self._allowed(selection, listing.itself, unsorted)
        if work.take:
            self._require_support(store, clock)
            if not all(strong(entry.etag) for entry in work.take):
                raise InPlaceUnsupported("the server lists files without an ETag that tells their versions apart")
        return work

    @override
    def _check_obstacle(self, store: Store) -> None:
        """`_require_support` has tried it."""

    def _require_support(self, store: Store, clock: float) -> None:
        """Find out once, by trying, whether files can be replaced in place here; if it fails, not in each poll.

        Raises:
            InPlaceUnsupported: they cannot.
            Failure: the server could not be asked now.
        """
        if not self._supported:
            if self._unknown and not self._unknown_backoff.is_over(clock):
                raise self._unknown
            try:
                capability = detect_in_place(store, self.connections, self.in_place.folders)
            except Failure as error:
                self._unknown = error
                self._unknown_backoff.fail(clock)
                raise
            if not capability.supported:
                raise InPlaceUnsupported(capability.reason)
            self._supported = True

    @override
    def would_do(self, store: Store) -> Iterator[str]:
        self._unsorted(store)
        for _, claim in list_unfinished(store, self.folders).claimed:
            yield f"would finish {claim.original}, left by a scaler that was stopped"
        yield from self._would_do(self._select(self._list_raw(store), 0.0))

    def _unsorted(self, store: Store) -> Entry:
        unsorted = store.stat(self.folders.unsorted, PROPERTIES)
        if unsorted is None:
            raise missing_folder(self.config.unsorted, "scaler_constants/UNSORTED_REMOTE_DIR")
        return unsorted

    def _allowed(self, selection: Selection, raw: Entry, unsorted: Entry) -> Work:
        paths = (self.config.raw, self.config.unsorted)
        finish = movable(selection.finish, unsorted, paths)
        take = allowed(selection.take, raw, unsorted, paths)
        failures = tuple({str(failure): failure for failure in (*finish.failures, *take.failures)}.values())
        return Work(take.entries, finish.entries, len(selection.wait), failures)
