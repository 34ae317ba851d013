"""Finishing what a stopped scaler has left, from what lies on the server alone."""

import contextlib
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from loguru import logger

from scaler import names
from scaler.claims import Folders, OutcomeUnknown, discard, inside, is_as_read, publish, release
from scaler.names import ClaimName
from shared.errors import ErrorPolicy, Failure, NotFound, ParentNotFound
from shared.scheduler import ends_poll
from shared.webdav.store import Entry, Href, Listing, Store

ORPHAN_OF_MINE = 3600.0
ORPHAN_OF_OTHERS = 24 * 3600.0
# For so long what was given up tells a scaler that slept, and claims late, that its upload was not published.
GIVEN_UP_OF_OTHERS = 7 * 24 * 3600.0


class FolderStateUnknown(Failure):
    """The server contradicts itself; nothing is done before it does not."""

    policy = ErrorPolicy.DEFER


class RecoveryAction(Enum):
    """What finishes a claim."""

    PUBLISH = "publish"  # its upload is there
    DELETE = "delete"  # its upload was there and is gone: it was published
    RELEASE = "put back"  # nobody can tell where its upload is, or it is of another version, or was given up


def action_for(claimed: Entry, claim: ClaimName, uploads: Listing | None) -> RecoveryAction:
    """What a claim needs; `uploads` was listed after the claims, None where that folder is gone."""
    if uploads is None or not is_as_read(claimed, claim):
        return RecoveryAction.RELEASE
    there = {entry.name for entry in uploads.entries}
    if claim.id + names.REFUSED in there:
        return RecoveryAction.RELEASE
    return RecoveryAction.PUBLISH if claim.id in there else RecoveryAction.DELETE


def orphans(uploads: Listing, claims: list[ClaimName], owner: str, now: float | None) -> list[Entry]:
    """Uploads that nobody will claim any more: of this process after an hour, of others after a day.

    Those of others that were given up already come again after a week.

    Args:
        now: the server's clock when the claims were listed: what came later may have been claimed since.
    """
    claimed = {claim.id for claim in claims}
    found = []
    for entry in uploads.entries:
        owned_by, upload = names.owner_of(entry.name), entry.name.removesuffix(names.REFUSED)
        if owned_by is None or upload in claimed or now is None or entry.modified is None:
            continue
        of_others = ORPHAN_OF_OTHERS if entry.name == upload else GIVEN_UP_OF_OTHERS
        if now - entry.modified > (ORPHAN_OF_MINE if owned_by == owner else of_others):
            found.append(entry)
    return found


@dataclass(frozen=True, slots=True)
class UnfinishedWork:
    """What lies in the two hidden folders; None for one that is not there, or was not looked into."""

    claims: Listing | None
    uploads: Listing | None

    @property
    def claimed(self) -> list[tuple[Entry, ClaimName]]:
        """The claims with what their names say."""
        entries = self.claims.entries if self.claims else ()
        return [(entry, claim) for entry in entries if (claim := ClaimName.read(entry.name))]


def list_unfinished(store: Store, folders: Folders) -> UnfinishedWork:
    """List both hidden folders. Claims first: every claim's upload was there before it."""
    claims = _list_if_there(store, folders.claims)
    return UnfinishedWork(claims, _list_if_there(store, folders.uploads) if claims else None)


def _list_if_there(store: Store, folder: Href) -> Listing | None:
    try:
        return store.list_folder(folder)
    except NotFound:
        return None


def recover(store: Store, folders: Folders, owner: str) -> UnfinishedWork:
    """Finish every claim that lies there, remove dead uploads, and make the hidden folders where they are missing.

    Returns:
        what lay there.

    Raises:
        NotFound: the raw or the unsorted folder itself is not there.
    """
    unfinished = _list_unfinished_made(store, folders)
    if unfinished.uploads is None:
        # What is to be put back may have been claimed after the first look, and before that folder vanished.
        _write_destination_record(store, folders, unfinished.claims, verify=False)
        unfinished = UnfinishedWork(_list_if_there(store, folders.claims), None)
    for entry, claim in unfinished.claimed:
        where = (
            folders
            if claim.destination_hash == folders.destination_hash
            else _folders_of_mark(store, folders, unfinished, claim.destination_hash)
        )
        uploads = unfinished.uploads if where is folders else _list_if_there(store, where.uploads) if where else None
        try:
            _finish(store, folders, entry, claim, where, uploads)
        except Failure as failure:
            # Its original stays safe in its claim; but no upload folder is made anew before it is back.
            if ends_poll(failure) or uploads is None:
                raise
            logger.warning("{} cannot be finished yet: {}", claim.original, failure)
    if unfinished.claims and unfinished.uploads:
        claims = [claim for _, claim in unfinished.claimed]
        for orphan in orphans(unfinished.uploads, claims, owner, unfinished.claims.now):
            _remove(store, orphan, owner)
    _make_ready(store, folders, unfinished)
    return unfinished


def _remove(store: Store, orphan: Entry, owner: str) -> None:
    """Delete an upload that nobody can claim any more; otherwise give it up."""
    if names.owner_of(orphan.name) == owner or orphan.name.endswith(names.REFUSED):
        store.delete(orphan.href)
        logger.info("Removed an upload that was never finished: {}", orphan.name)
    else:
        with contextlib.suppress(OutcomeUnknown):
            discard(store, orphan.href)


def make_ready(store: Store, folders: Folders) -> None:
    """Make the hidden folders where they are missing; `recover` does it after looking for claims.

    Raises:
        NotFound: the unsorted folder itself is not there.
    """
    _make_ready(store, folders, _list_unfinished_made(store, folders))


def _finish(
    store: Store, folders: Folders, entry: Entry, claim: ClaimName, where: Folders | None, uploads: Listing | None
) -> None:
    action = action_for(entry, claim, uploads)
    if where and action is not RecoveryAction.PUBLISH:
        action = _checked_again(store, where, claim, action, uploads)
    if action is RecoveryAction.RELEASE or where is None:
        name = release(store, entry.href, folders.raw, claim.original)
        if name:
            logger.info("Moved {} back into the raw folder: it has no copy yet", name)
        return
    if action is RecoveryAction.PUBLISH:
        upload = inside(where.uploads, claim.id)
        name = publish(store, upload, where.unsorted, lambda n: names.final_name(claim.original, claim.id, n))
        if name:
            logger.info("{} → {} (finished after an interruption)", claim.original, name)
    store.delete(entry.href)


def _checked_again(
    store: Store, where: Folders, claim: ClaimName, action: RecoveryAction, uploads: Listing | None
) -> RecoveryAction:
    """What a claim needs if the server says a second time that what was not listed is not there.

    Raises:
        FolderUnclear: it does not.
    """
    if uploads is None and store.stat(where.uploads) is not None:
        raise FolderStateUnknown(f"The folder {where.unsorted_path}/{names.HIDDEN_FOLDER} is there and is not")
    if action is RecoveryAction.DELETE and store.stat(inside(where.uploads, claim.id)) is not None:
        return RecoveryAction.PUBLISH
    return action


def _folders_of_mark(
    store: Store, folders: Folders, unfinished: UnfinishedWork, destination_hash: str
) -> Folders | None:
    """The folders of a claim made while another unsorted folder was set, from the record beside it."""
    entries = unfinished.claims.entries if unfinished.claims else ()
    for entry in entries:
        if entry.name == names.destination_record(destination_hash):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "record"
                store.get(entry, file)
                path = file.read_text()
            if names.destination_hash_of(path) == destination_hash:
                base = Folders.of(store, "", path)
                return Folders(folders.raw, folders.claims, base.unsorted, base.uploads, folders.raw_path, path)
    return None


def _list_unfinished_made(store: Store, folders: Folders) -> UnfinishedWork:
    """What lies in the hidden folders, after the one for claims was made where it was missing."""
    unfinished = list_unfinished(store, folders)
    if unfinished.claims is None and not _made(store, folders.claims, folders.raw_path, "RAW_REMOTE_DIR"):
        # Another scaler has made it meanwhile; or it was there, and claims are in it.
        return list_unfinished(store, folders)
    return unfinished


def _make_ready(store: Store, folders: Folders, unfinished: UnfinishedWork) -> None:
    """Make the upload folder only here, when no claim depends on a vanished one any more."""
    if unfinished.uploads is None:
        _made(store, folders.uploads, folders.unsorted_path, "UNSORTED_REMOTE_DIR")
    _write_destination_record(store, folders, unfinished.claims, verify=True)


def _write_destination_record(store: Store, folders: Folders, claims: Listing | None, *, verify: bool) -> None:
    """Say which unsorted folder claims belong to, unless it stands there in full."""
    name, text = names.destination_record(folders.destination_hash), folders.unsorted_path.encode()
    # Some servers keep what came of an upload that was cut off.
    if claims is None or all((entry.name, entry.size) != (name, len(text)) for entry in claims.entries):
        store.put(inside(folders.claims, name), text, verify=verify)


def _made(store: Store, unfinished: Href, path: str, key: str) -> bool:
    """Make a hidden folder; False if there is one."""
    try:
        return store.make_folder(unfinished)
    except (NotFound, ParentNotFound):
        raise not_there(path, f"scaler_constants/{key}") from None


def not_there(path: str, key: str) -> NotFound:
    """What to say of a folder that the settings name."""
    return NotFound(f"The folder {path} is not there", f"Make it, or correct {key} in Vault.")
