"""What was found out with one set of settings, and how a poll begins with them: on a Nextcloud, and elsewhere."""

import abc
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import override

from loguru import logger

from scaler import names
from scaler.claims import ClaimMoves, ClaimPublisher, Folders
from scaler.config import ScalerConfig
from scaler.detection import THROWAWAY, detect_in_place, remove_leftovers
from scaler.in_place import PROPERTIES, InPlaceFolders, InPlacePublisher
from scaler.marker import PREFIX, unfinished_marker
from scaler.moves import NameLock
from scaler.pipeline import Pipeline
from scaler.recovery import Recovery, list_unfinished, missing_folder
from scaler.rights import allowed, movable
from scaler.selection import Observation, Selection, image_names, select
from scaler.skip_list import SkipList
from scaler.upload_notes import UploadNotes
from scaler.upscaling import Published, Resources, load_opencv
from shared.errors import Failure, NotFound
from shared.filenames import HIDDEN_FOLDER
from shared.retry import RetryPolicy
from shared.webdav.store import BASIC, Connections, Entry, Listing, Prop, Store, strong

# How often to look for what other scalers have left, seconds.
RECOVER_EVERY = 600.0


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
        self.skip_list = SkipList(host.state, self.folders.raw)
        self.moves = ClaimMoves(self.folders, retry, host.name_lock)
        # Also where copies are published: an image that was replaced before is never upscaled again.
        self.properties: tuple[Prop, ...] = PROPERTIES if connections.user_id else BASIC
        self.in_place = InPlacePublisher(
            folders=InPlaceFolders.of(connections, self.folders.raw, self.folders.unsorted),
            connections=connections,
            retry=retry,
            notes=UploadNotes(host.state, self.folders.raw),
            owner=host.owner,
        )
        self._observations: dict[str, Observation] = {}
        self._unchanged_since: str | None = None

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

    def forget_what_is_done(self) -> None:
        """Something failed: the next poll looks anew, whatever the folder's ETag says."""
        self._unchanged_since = None

    def finish(self, entry: Entry) -> Published:
        """Move on an image that an interrupted scaler has replaced in place."""
        marker = unfinished_marker(entry)
        assert marker is not None  # noqa: S101 - that is how it was selected
        return self.in_place.finish(entry, marker.id)

    def pipeline(self, resources: Resources, quality: int, *, thumbnails: bool) -> Pipeline:
        """What processes the images that are taken."""
        return Pipeline(resources, self.publisher, self.in_place, quality, thumbnails)

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
        self._observations = dict(selection.observations)
        if selection.take:
            self._host.load_opencv()
        # An ETag from before our own work: the next poll lists once more, which costs little and misses nothing.
        busy = selection.take or selection.wait or selection.finish
        self._unchanged_since = None if busy else listing.itself.tree_etag
        return selection

    def _would_do(self, selection: Selection) -> Iterator[str]:
        raw, unsorted = self.config.raw, self.config.unsorted
        for entry in selection.finish:
            yield f"would finish {raw}/{entry.name}, left by a scaler that was stopped"
        for entry in (*selection.take, *selection.wait):
            name = names.final_name(entry.name, names.new_id(self._host.owner))
            yield f"would upscale {raw}/{entry.name} to {unsorted}/{name}"
        for entry in selection.skipped:
            yield f"would skip {raw}/{entry.name}: it was skipped before and has not changed"


class ClaimSession(Session):
    """On a server that cannot replace a file in place."""

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

    def _recovery_changed_it(self, store: Store, clock: float) -> bool:
        """Finish what stopped scalers have left, if it is time; whether the listing before is out of date by that."""
        if self._recovered_at is not None and clock - self._recovered_at < RECOVER_EVERY:
            return False
        unfinished = Recovery(store, self.moves, self._host.owner).run()
        self._recovered_at = clock
        # Originals may be back in the folder; or the hidden folders were made, and the ETag that tells is another.
        return bool(unfinished.claimed) or (unfinished.uploads is None and self._unchanged_since is not None)


class InPlaceSession(Session):
    """On a Nextcloud."""

    def __init__(self, config: ScalerConfig, connections: Connections, retry: RetryPolicy, host: Host) -> None:
        super().__init__(config, connections, retry, host)
        self.publisher = self.in_place
        self._started = self._supported = False

    @override
    def look(self, store: Store, clock: float) -> Work:
        if self._is_unchanged(store):
            return Work(())
        listing = self._list_raw(store)
        if any(entry.is_folder and entry.name == HIDDEN_FOLDER for entry in listing.entries):
            self._require_support(store)
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
            self._require_support(store)
            if not all(strong(entry.etag) for entry in work.take):
                raise InPlaceUnsupported("the server lists files without an ETag that tells their versions apart")
        return work

    def _require_support(self, store: Store) -> None:
        """Find out once, by trying, whether files can be replaced in place here.

        Raises:
            InPlaceUnsupported: they cannot.
            Failure: the server could not be asked now.
        """
        if not self._supported:
            capability = detect_in_place(store, self.connections, self.in_place.folders)
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
