"""Finishes the work that a stopped scaler left in the hidden folders, using only what is on the server."""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from loguru import logger

from scaler import names
from scaler.claim_moves import ClaimMoves, Folders
from scaler.claims import is_as_read
from scaler.moves import OutcomeUnknown, inside
from scaler.names import ClaimName
from shared.errors import ErrorPolicy, Failure, Forbidden, NotFound, ParentNotFound
from shared.filenames import HIDDEN_FOLDER
from shared.scheduler import ends_poll
from shared.webdav.store import Entry, Href, Listing, Store, put_verified

OWN_ORPHAN_AFTER = 3600.0
OTHERS_ORPHAN_AFTER = 24 * 3600.0
# Until then, a discarded upload tells a suspended scaler that claims late that its copy was not published.
OTHERS_DISCARDED_AFTER = 7 * 24 * 3600.0


class FolderStateUnknown(Failure):
    """The server gives contradictory answers; nothing is done until they agree."""

    policy = ErrorPolicy.DEFER


class RecoveryAction(Enum):
    """How a claim is finished."""

    PUBLISH = "publish"  # its upload is there
    DELETE = "delete"  # its upload was there and is gone: it was published
    RELEASE = "release"  # its upload folder is gone, or it is of another version, or was discarded


def action_for(claimed: Entry, claim: ClaimName, uploads: Listing | None) -> RecoveryAction:
    """The action for a claim. `uploads` must be listed after the claims; None if that folder is gone."""
    if uploads is None or not is_as_read(claimed, claim):
        return RecoveryAction.RELEASE
    there = uploads.names
    if claim.id + names.DISCARDED in there:
        return RecoveryAction.RELEASE
    return RecoveryAction.PUBLISH if claim.id in there else RecoveryAction.DELETE


def orphans(uploads: Listing, claims: list[ClaimName], owner: str, now: float | None) -> list[Entry]:
    """Uploads that will not be claimed: of this process after an hour, of others after a day.

    Those of others are discarded first, and are orphans again after a week.

    Args:
        now: the server's clock when the claims were listed: later uploads may have been claimed since.
    """
    claimed = {claim.id for claim in claims}
    found = []
    for entry in uploads.entries:
        owned_by, upload = names.owner_of(entry.name), entry.name.removesuffix(names.DISCARDED)
        if owned_by is None or upload in claimed or now is None or entry.modified is None:
            continue
        of_others = OTHERS_ORPHAN_AFTER if entry.name == upload else OTHERS_DISCARDED_AFTER
        if now - entry.modified > (OWN_ORPHAN_AFTER if owned_by == owner else of_others):
            found.append(entry)
    return found


@dataclass(frozen=True, slots=True)
class UnfinishedWork:
    """The contents of the two hidden folders; None for one that is missing, or was not listed."""

    claims: Listing | None
    uploads: Listing | None

    @property
    def claimed(self) -> list[tuple[Entry, ClaimName]]:
        """The claims with their parsed names."""
        entries = self.claims.entries if self.claims else ()
        return [(entry, claim) for entry in entries if (claim := ClaimName.parse(entry.name))]


def list_unfinished(store: Store, folders: Folders) -> UnfinishedWork:
    """List both hidden folders. Claims first: every claim's upload was there before it."""
    claims = _list_if_there(store, folders.claims)
    return UnfinishedWork(claims, _list_if_there(store, folders.uploads) if claims else None)


def _list_if_there(store: Store, folder: Href) -> Listing | None:
    try:
        return store.list_folder(folder)
    except NotFound:
        return None


class Recovery:
    """Finishes claims, removes orphans, and creates missing hidden folders.

    Args:
        owner: of this process's uploads.
        kept: ids of uploads that this process will still publish.
    """

    def __init__(self, store: Store, moves: ClaimMoves, owner: str, kept: Collection[str] = ()) -> None:
        self._store = store
        self._moves = moves
        self._folders = moves.folders
        self._owner = owner
        self._kept = kept

    def run(self) -> UnfinishedWork:
        """Finish all claims and remove orphans.

        Returns:
            the work that was found.

        Raises:
            NotFound: the raw or the unsorted folder itself is not there.
            FolderStateUnknown: the server gives contradictory answers.
        """
        try:
            return self._run()
        except FolderStateUnknown:
            # Another scaler may have created a folder in between: list again, as a scaler that starts now would.
            return self._run()

    def _run(self) -> UnfinishedWork:
        unfinished = self._list_made()
        if unfinished.uploads is None:
            # Claims made after the first listing, before the folder vanished, must be released too.
            self._write_destination_record(unfinished.claims, self._store.put)
            unfinished = UnfinishedWork(_list_if_there(self._store, self._folders.claims), None)
        for entry, claim in unfinished.claimed:
            self._finish_or_defer(unfinished, entry, claim)
        if unfinished.claims and unfinished.uploads:
            claims = names.claims_among(unfinished.claims.names)
            for orphan in orphans(unfinished.uploads, claims, self._owner, unfinished.claims.now):
                if orphan.name not in self._kept:
                    self._remove(orphan)
        self._make_ready(unfinished)
        return unfinished

    def run_for_the_last_time(self) -> None:
        """Finish everything, and remove the hidden folders once they are empty: files are replaced in place now.

        Raises:
            NotFound: the raw or the unsorted folder itself is not there.
        """
        unfinished = list_unfinished(self._store, self._folders)
        for entry, claim in unfinished.claimed:
            self._finish_or_defer(unfinished, entry, claim)
        left = list_unfinished(self._store, self._folders)
        if left.claims is None or not all(map(names.is_destination_record, left.claims.names)):
            return
        if left.uploads is not None:
            for orphan in orphans(left.uploads, [], self._owner, left.claims.now):
                self._remove(orphan)
        uploads = _list_if_there(self._store, self._folders.uploads)
        if uploads is None or not uploads.names:
            self._store.delete(self._folders.uploads, for_good=True)
            # Through the trash bin, in case an older scaler claims an original at this moment.
            self._store.delete(self._folders.claims)

    def make_ready(self) -> None:
        """Create missing hidden folders; `run` does it after looking for claims.

        Raises:
            NotFound: the raw or the unsorted folder itself is not there.
        """
        self._make_ready(self._list_made())

    # --- claims -----------------------------------------------------------------------------------------------------

    def _finish_or_defer(self, unfinished: UnfinishedWork, entry: Entry, claim: ClaimName) -> None:
        ours = claim.destination == self._folders.destination
        where = self._folders if ours else self._folders_of(unfinished, claim.destination)
        uploads = unfinished.uploads if ours else _list_if_there(self._store, where.uploads) if where else None
        try:
            self._finish(entry, claim, where, uploads)
        except Failure as error:
            # Its original stays safe in its claim; but the upload folder is not recreated before it is back.
            if ends_poll(error) or uploads is None:
                raise
            logger.warning("{} cannot be published yet: {}", claim.original, error)

    def _finish(self, entry: Entry, claim: ClaimName, where: Folders | None, uploads: Listing | None) -> None:
        action = action_for(entry, claim, uploads)
        if where and action is not RecoveryAction.PUBLISH:
            action = self._confirmed(where, claim, action, uploads)
        if action is RecoveryAction.RELEASE or where is None:
            name = self._moves.release(self._store, entry.href, claim.original)
            if name:
                logger.info("Moved {} back into the raw folder: it has not been published yet", name)
            return
        if action is RecoveryAction.PUBLISH:
            upload = inside(where.uploads, claim.id)
            name = self._moves.publish(self._store, upload, where.unsorted, entry.href, claim)
            if name:
                logger.info("{} → {} (finished after an interruption)", claim.original, name)
        else:
            logger.info(
                "Deleting the claimed original of {} in {}/{}: its copy has been published",
                claim.original,
                self._folders.raw_path,
                HIDDEN_FOLDER,
            )
        self._store.delete(entry.href)

    def _confirmed(
        self, where: Folders, claim: ClaimName, action: RecoveryAction, uploads: Listing | None
    ) -> RecoveryAction:
        """The action once the server has confirmed that what was not listed is missing.

        Raises:
            FolderStateUnknown: it did not confirm it.
        """
        if uploads is None and self._store.stat(where.uploads) is not None:
            raise FolderStateUnknown(
                f"The server gave contradictory answers about {where.unsorted_path}/{HIDDEN_FOLDER}"
            )
        if action is RecoveryAction.DELETE and self._store.stat(inside(where.uploads, claim.id)) is not None:
            return RecoveryAction.PUBLISH
        return action

    def _folders_of(self, unfinished: UnfinishedWork, destination: str) -> Folders | None:
        """The folders of a claim made while another unsorted folder was set, from the record next to it.

        Raises:
            FolderStateUnknown: the server withholds the record.
        """
        name = names.destination_record(destination)
        if unfinished.claims is None or name not in unfinished.claims.names:
            return None
        record = next((entry for entry in unfinished.claims.entries if entry.name == name), None)
        if record is None:
            raise FolderStateUnknown(f"The server does not describe {self._folders.raw_path}/{HIDDEN_FOLDER}/{name}")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "record"
            self._store.get(record, file)
            path = file.read_text()
        if names.destination_hash(path) != destination:
            return None
        there = Folders.of(self._store, "", path)
        return replace(self._folders, unsorted=there.unsorted, uploads=there.uploads, unsorted_path=path)

    # --- uploads and folders ----------------------------------------------------------------------------------------

    def _remove(self, orphan: Entry) -> None:
        """Delete an upload that can no longer be claimed; discard one that still might be."""
        if names.owner_of(orphan.name) == self._owner or orphan.name.endswith(names.DISCARDED):
            self._store.delete(orphan.href)
            logger.info("Removed an upload that was never finished: {}", orphan.name)
        else:
            with contextlib.suppress(OutcomeUnknown):
                self._moves.discard(self._store, orphan.href)

    def _list_made(self) -> UnfinishedWork:
        """The contents of the hidden folders, after creating the one for claims if it was missing."""
        unfinished = list_unfinished(self._store, self._folders)
        if unfinished.claims is None and not self._made(self._folders.claims, self._folders.raw_path, "RAW_REMOTE_DIR"):
            # Another scaler has created it in the meantime; or it was there, and contains claims.
            return list_unfinished(self._store, self._folders)
        return unfinished

    def _make_ready(self, unfinished: UnfinishedWork) -> None:
        """Create the upload folder only now that no claim depends on a vanished one."""
        if unfinished.uploads is None:
            self._made(self._folders.uploads, self._folders.unsorted_path, "UNSORTED_REMOTE_DIR")
        self._write_destination_record(unfinished.claims, functools.partial(put_verified, self._store))

    def _write_destination_record(self, claims: Listing | None, put: Callable[[Href, bytes], object]) -> None:
        """Record which unsorted folder claims belong to, unless the record is already complete.

        Args:
            put: uploads it; need not verify it where a listing follows.
        """
        name = names.destination_record(self._folders.destination)
        text = self._folders.unsorted_path.encode()
        # Some servers keep the partial content of an aborted upload.
        if claims is None or all((entry.name, entry.size) != (name, len(text)) for entry in claims.entries):
            put(inside(self._folders.claims, name), text)

    def _made(self, hidden: Href, path: str, key: str) -> bool:
        """Make a hidden folder; False if there is one."""
        try:
            return self._store.make_folder(hidden)
        except (NotFound, ParentNotFound) as error:
            raise missing_folder(path, f"scaler_constants/{key}") from error
        except Forbidden:
            # Apache answers 403 if two clients create it at the same moment.
            if self._store.stat(hidden) is None:
                raise
            return False


def missing_folder(path: str, key: str) -> NotFound:
    """The error for a missing folder that the settings name."""
    return NotFound(f"The folder {path} does not exist", f"Create it, or correct {key} in Vault.")
