"""Everything tied to one set of settings: the server's capabilities, and how a poll starts (in place or by claims)."""

import abc
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import override

from loguru import logger

from scaler import names
from scaler.backoff import ImageBackoff
from scaler.claim_moves import ClaimMoves, Folders
from scaler.claims import ClaimPublisher
from scaler.config import ScalerConfig
from scaler.detection import detect_in_place, remove_leftovers
from scaler.flight_notes import FlightNotes
from scaler.in_place import PROPERTIES, InPlaceFolders, InPlacePublisher
from scaler.jobs import Published
from scaler.marker import PREFIX, unfinished_marker
from scaler.moves import MovesRejected, NameLock
from scaler.notices import Notices, skipped_in
from scaler.obstacle import OBSTACLES, Obstacle
from scaler.pipeline import KeptUpload
from scaler.recovery import Recovery, list_unfinished, missing_folder
from scaler.rights import allowed, movable
from scaler.selection import Observation, Selection, image_names, select, unreadable_format
from scaler.skip_list import SkipList, summary
from scaler.upload_notes import UploadNotes
from scaler.upscaling import load_opencv
from shared.backoff import Backoff
from shared.errors import Failure, NotFound
from shared.filenames import HIDDEN_FOLDER
from shared.retry import RetryPolicy
from shared.webdav.store import BASIC, THROWAWAY, Account, Connections, Entry, Href, Listing, Prop, Store, strong

# How often to look for unfinished work of other scalers, in seconds.
RECOVER_EVERY = 600.0


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a poll.

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
        executor: for small requests in parallel with the work.
        state: folder for state that survives a restart.
        owner: of this process's uploads.
        upscales: this process does, rather than a cluster.
    """

    executor: Executor
    state: Path
    owner: str
    name_lock: NameLock = field(default_factory=NameLock)
    upscales: bool = True

    def load_opencv(self) -> None:
        """Load it in the background while the first requests are under way."""
        if self.upscales and "scaler.images.codecs" not in sys.modules:
            self.executor.submit(load_opencv)


class InPlaceUnsupported(Exception):
    """Files cannot be replaced in place on this server; the text says why."""


def place_of(account: Account, raw: Href) -> str:
    """Identifies a raw folder across servers and accounts, in state that survives a restart."""
    return f"{account} {raw}"


class Session(abc.ABC):
    """One set of settings; recreated when they change."""

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
        # Marker properties are needed with claims too: an image that was replaced before is never upscaled again.
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
        self.notices = Notices()
        self.obstacle = Obstacle()
        self._observations: dict[str, Observation] = {}
        # Of the folder when there was nothing to do; while it stays, there still is not.
        self._idle_etag: str | None = None

    @abc.abstractmethod
    def look(self, store: Store, now: float) -> Work:
        """Find the work of this poll.

        Args:
            now: seconds, monotonic.

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
        return len(self.skip_list) + sum(unreadable_format(name) is not None for name in self.notices.skipped)

    def past_obstacle(self, store: Store, work: Work, now: float) -> Work:
        """The work allowed while an obstacle affects every image: none, then one trial image after a delay."""
        failure = self.obstacle.failure
        if failure is None or not work.take:
            return work
        if self.obstacle.may_be_gone(now):
            try:
                self._check_obstacle(store)
                return replace(work, take=(min(work.take, key=lambda entry: entry.size or 0),))
            except OBSTACLES as error:
                self.obstacle.note([error], now)
                failure = error
        return replace(work, take=(), failures=(*work.failures, failure))

    @abc.abstractmethod
    def _check_obstacle(self, store: Store) -> None:
        """Raise MovesRejected if a small file cannot be moved either."""

    def look_anew(self) -> None:
        """After a failure, make the next poll list the folder even if its ETag is unchanged."""
        self._idle_etag = None

    def finish(self, entry: Entry) -> Published:
        """Publish an image that an interrupted scaler has replaced in place."""
        marker = unfinished_marker(entry)
        assert marker is not None  # noqa: S101 - that is how it was selected
        return self.in_place.finish(entry, marker.id)

    def link(self, entry: Entry) -> str:
        """The image's page in the Nextcloud; empty on any other server."""
        root_url = self.connections.root_url
        return f"{root_url}index.php/f/{entry.file_id}" if root_url and entry.file_id else ""

    def _is_unchanged(self, store: Store) -> bool:
        if self._idle_etag is None:
            return False
        raw = store.stat(self.folders.raw)
        return raw is not None and raw.tree_etag == self._idle_etag

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
            # Some servers answer 404 if a file disappears while they list the folder.
            return list_it()

    def _select(self, listing: Listing, now: float) -> Selection:
        selection = select(
            listing,
            image_names(self.config.prefixes),
            skipped=self.skip_list.__contains__,
            before=self._observations,
            now=now,
        )
        self._remember(listing, selection)
        take, finish = self.backoff.due(selection.take, now), self.backoff.due(selection.finish, now)
        if take:
            self._host.load_opencv()
        return replace(selection, take=take, finish=finish)

    def _remember(self, listing: Listing, selection: Selection) -> None:
        """Keep what the next poll needs, forget images that no longer exist, and log what is new."""
        self._observations = dict(selection.observations)
        # After our own changes the ETag differs, so the next poll lists once more; that is cheap and misses nothing.
        busy = selection.take or selection.wait or selection.finish or selection.locked
        self._idle_etag = None if busy else listing.itself.tree_etag
        self.skip_list.keep_only(listing.entries)
        self.backoff.keep_only(listing.entries)
        # What is not listed may have been claimed, so its upload is left to recovery.
        self.kept = {entry.href: self.kept[entry.href] for entry in listing.entries if entry.href in self.kept}
        self.notices.skipped = skipped_in(selection, self.skip_list)
        self.notices.name_locked(selection.locked)
        self.notices.complain(listing.complaint(self.config.raw))

    def _would_do(self, selection: Selection) -> Iterator[str]:
        raw, unsorted = self.config.raw, self.config.unsorted
        for entry in selection.finish:
            yield f"would finish {raw}/{entry.name}, left by an interrupted scaler"
        for entry in (*selection.take, *selection.wait):
            name = names.final_name(entry.name, names.new_id(self._host.owner))
            yield f"would upscale {raw}/{entry.name} to {unsorted}/{name}"
        for name, reason in self.notices.skipped.items():
            yield f"would skip {raw}/{name}: {reason}"
        if self.notices.skipped:
            yield summary(self.notices.skipped)


class ClaimSession(Session):
    """On a server that cannot replace a file in place."""

    publisher: ClaimPublisher

    def __init__(self, config: ScalerConfig, connections: Connections, retry: RetryPolicy, host: Host) -> None:
        super().__init__(config, connections, retry, host)
        self.publisher = ClaimPublisher(self.moves, host.owner)
        self._recovered_at: float | None = None

    @override
    def look(self, store: Store, now: float) -> Work:
        selection = Selection() if self._is_unchanged(store) else self._select(self._list_raw(store), now)
        if self._recover_if_due(store, now):
            selection = self._select(self._list_raw(store), now)
        return Work(selection.take, selection.finish, len(selection.wait))

    @override
    def look_anew(self) -> None:
        super().look_anew()
        self._recovered_at = None

    @override
    def would_do(self, store: Store) -> Iterator[str]:
        unfinished = list_unfinished(store, self.folders)
        if unfinished.uploads is None and store.stat(self.folders.unsorted) is None:
            raise missing_folder(self.config.unsorted, "scaler_constants/UNSORTED_REMOTE_DIR")
        for _, claim in unfinished.claimed:
            yield f"would finish {claim.original}, left by an interrupted scaler"
        yield from self._would_do(self._select(self._list_raw(store), 0.0))

    @override
    def _check_obstacle(self, store: Store) -> None:
        if isinstance(self.obstacle.failure, MovesRejected):
            self.publisher.try_moving(store)

    def _recover_if_due(self, store: Store, now: float) -> bool:
        """Finish the work of stopped scalers, if it is due; return whether the last listing is then out of date."""
        if self._recovered_at is not None and now - self._recovered_at < RECOVER_EVERY:
            return False
        kept = {kept.upload.id for kept in self.kept.values()}
        unfinished = Recovery(store, self.moves, self._host.owner, kept).run()
        self._recovered_at = now
        # Originals may be back, or creating the hidden folders has changed the folder's ETag.
        return bool(unfinished.claimed) or (unfinished.uploads is None and self._idle_etag is not None)


class InPlaceSession(Session):
    """On a Nextcloud."""

    def __init__(self, config: ScalerConfig, connections: Connections, retry: RetryPolicy, host: Host) -> None:
        super().__init__(config, connections, retry, host)
        self.publisher = self.in_place
        self._started = self._supported = False
        self._unknown: Failure | None = None
        self._unknown_backoff = Backoff()

    @override
    def look(self, store: Store, now: float) -> Work:
        if self._is_unchanged(store):
            return Work(())
        listing = self._list_raw(store)
        if any(entry.is_folder and entry.name == HIDDEN_FOLDER for entry in listing.entries):
            self._require_support(store, now)
            logger.info("Finishing work that an earlier version left in {}/{}", self.config.raw, HIDDEN_FOLDER)
            Recovery(store, self.moves, self._host.owner).run_for_the_last_time()
            listing = self._list_raw(store)
        selection = self._select(listing, now)
        if remove_leftovers(store, listing):
            self.look_anew()
        if self._started and not selection.take and not selection.finish:
            return Work((), waiting=len(selection.wait))
        unsorted = self._unsorted(store)
        self._started = True
        work = self._allowed(selection, listing.itself, unsorted)
        if work.take:
            self._require_support(store, now)
            if not all(strong(entry.etag) for entry in work.take):
                raise InPlaceUnsupported("the server lists files without strong ETags")
        return work

    @override
    def _check_obstacle(self, store: Store) -> None:
        """`_require_support` has tested that files can be moved."""

    def _require_support(self, store: Store, now: float) -> None:
        """Test once whether files can be replaced in place here; after a failure, retry with a delay.

        Raises:
            InPlaceUnsupported: they cannot.
            Failure: the server cannot be reached at the moment.
        """
        if not self._supported:
            if self._unknown and not self._unknown_backoff.is_over(now):
                raise self._unknown
            try:
                capability = detect_in_place(store, self.connections, self.in_place.folders, self.retry.stop.pause)
            except Failure as error:
                self._unknown = error
                self._unknown_backoff.fail(now)
                raise
            if not capability.supported:
                raise InPlaceUnsupported(capability.reason)
            self._supported = True

    @override
    def would_do(self, store: Store) -> Iterator[str]:
        self._unsorted(store)
        for _, claim in list_unfinished(store, self.folders).claimed:
            yield f"would finish {claim.original}, left by an interrupted scaler"
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
