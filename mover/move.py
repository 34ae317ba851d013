"""Moves an image into the folder of its category, even if it is moved or changed at the same time."""

import threading
from dataclasses import dataclass
from enum import Enum

from loguru import logger

from mover.selection import PlannedMove, Rules, free_name
from shared.errors import (
    ErrorPolicy,
    Failure,
    Forbidden,
    NotAccepted,
    NotFound,
    ParentNotFound,
    PreconditionFailed,
    ServerUnavailable,
    ServerUnreachable,
)
from shared.retry import RetryPolicy
from shared.webdav.store import Connections, Entry, Prop, Store

# Names tried for one image, since a free name may be taken in the meantime.
NAMES = 5
_VERSION = (Prop.TYPE, Prop.ETAG, Prop.FILE_ID)
# None of these shows what happened: an attempt whose answer was lost may have moved the image, and Nextcloud may answer
# a lost race with 403.
_INCONCLUSIVE = (PreconditionFailed, NotFound, ParentNotFound, Forbidden, ServerUnavailable, ServerUnreachable)


class FolderUnusable(Failure):
    """The folder of a category cannot be created or used."""

    policy = ErrorPolicy.SKIP


class ServerDown(ServerUnavailable):
    """The server cannot even say where an image is, so the other images would fail too."""

    policy = ErrorPolicy.DEFER


class Outcome(Enum):
    """The result of a move."""

    FILED = "filed"
    TAKEN_AWAY = "moved or removed"  # by the user, or by another mover under another name
    CHANGED = "changed"  # there is another version, which the next poll files


@dataclass(frozen=True, slots=True)
class Moved:
    """The outcome of a move, and the name under which an image was filed."""

    outcome: Outcome
    name: str = ""


class FileMover:
    """Moves images of one account; several threads may use it at once.

    Args:
        retry: repeats a move that is known not to have happened.
    """

    def __init__(self, connections: Connections, rules: Rules, retry: RetryPolicy) -> None:
        self._connections = connections
        self._rules = rules
        self._retry = retry
        self._folders = CategoryFolders()

    def move(self, planned: PlannedMove) -> Moved:
        """Move an image into the folder of its category, never over another file.

        Raises:
            Failure: it was not moved, according to the server.
        """
        folder = self._rules.folder(planned.category)
        with self._connections.connect() as store:
            return self._retry(lambda: self._attempt(store, planned.file, folder))

    def _attempt(self, store: Store, file: Entry, folder: str) -> Moved:
        """Safe to repeat: it detects what an earlier attempt did."""
        name = file.name
        for _ in range(NAMES):
            self._folders.ensure(store, folder)
            try:
                store.move(file.href, store.href(folder, name), if_match=file.etag)
            except _INCONCLUSIVE as error:
                found = _look_for(store, file, folder)
                if found is not None:
                    return found
                name = self._next_name(store, error, file=file, folder=folder, name=name)
            else:
                return Moved(Outcome.FILED, name)
        raise NotAccepted(f"No name is free for {file.name} in {folder}: all {NAMES} that were tried are taken")

    def _next_name(self, store: Store, error: Failure, *, file: Entry, folder: str, name: str) -> str:
        """The name to try next after a move that did not happen; raises the error if no name would help."""
        if isinstance(error, PreconditionFailed):
            return free_name(file.name, [other.name for other in _list(store, folder)])
        if isinstance(error, ParentNotFound):
            self._folders.forget(store, folder)
            return name
        raise error


def _look_for(store: Store, file: Entry, folder: str) -> Moved | None:
    """The outcome of a failed move; None if the image is where it was."""
    try:
        there = store.stat(file.href, _VERSION)
    except (ServerUnavailable, ServerUnreachable) as error:
        raise ServerDown(error.message, error.hint) from error
    if there is not None and there.file_id == file.file_id:
        return None if there.etag == file.etag else Moved(Outcome.CHANGED)
    name = next((other.name for other in _list(store, folder) if other.file_id == file.file_id), None)
    return Moved(Outcome.TAKEN_AWAY) if name is None else Moved(Outcome.FILED, name)


def _list(store: Store, folder: str) -> tuple[Entry, ...]:
    try:
        return store.list_folder(store.href(folder), _VERSION).entries
    except NotFound:
        return ()


class CategoryFolders:
    """Creates the folders of categories, each once, one at a time."""

    def __init__(self) -> None:
        self._there: set[str] = set()
        self._lock = threading.Lock()

    def ensure(self, store: Store, folder: str) -> None:
        """Create a folder if it does not exist.

        Raises:
            FolderUnusable: it cannot be created.
        """
        with self._lock:
            if folder in self._there:
                return
            try:
                made = _make_with_parents(store, folder)
            except (Forbidden, NotAccepted) as error:
                raise FolderUnusable(f"The folder {folder} cannot be created ({error.message})") from error
            self._there.add(folder)
            if made:
                logger.info("Created the folder {}", folder)

    def forget(self, store: Store, folder: str) -> None:
        """Look for a folder again, since it has disappeared.

        Raises:
            FolderUnusable: a file has its name.
        """
        with self._lock:
            self._there.discard(folder)
        there = store.stat(store.href(folder), _VERSION)
        if there is not None and not there.is_folder:
            raise FolderUnusable(f"{folder} is a file, so no image can be filed there")


def _make_with_parents(store: Store, folder: str) -> bool:
    """Create a folder; False if it existed."""
    try:
        return store.make_folder(store.href(folder))
    except ParentNotFound as error:
        parent = folder.rpartition("/")[0]
        # A parent that existed before is not a folder.
        if not parent or not _make_with_parents(store, parent):
            raise FolderUnusable(
                f"The folder {folder} cannot be created: a file has the name of a folder above it"
            ) from error
    return store.make_folder(store.href(folder))
