"""Finishing what a stopped scaler has left, from what lies on the server alone."""

import contextlib
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from loguru import logger

from scaler import names
from scaler.names import ClaimName
from scaler.publish import Folders, Unclear, inside, is_as_read, publish, put_back, withdraw
from shared.errors import Failure, Missing, ParentMissing, Policy
from shared.pace import ends_the_pass
from shared.store import Entry, Href, Listing, Store

ORPHAN_OF_MINE = 3600.0
ORPHAN_OF_OTHERS = 24 * 3600.0
# For so long what was given up tells a scaler that slept, and claims late, that its upload was not published.
GIVEN_UP_OF_OTHERS = 7 * 24 * 3600.0


class FolderUnclear(Failure):
    """The server contradicts itself; nothing is done before it does not."""

    policy = Policy.NEXT_TIME


class Remedy(Enum):
    """What finishes a claim."""

    PUBLISH = "publish"  # its upload is there
    DELETE = "delete"  # its upload was there and is gone: it was published
    PUT_BACK = "put back"  # nobody can tell where its upload is, or it is of another version, or was given up


def remedy_for(claimed: Entry, claim: ClaimName, uploads: Listing | None) -> Remedy:
    """What a claim needs; `uploads` was listed after the claims, None where that folder is gone."""
    if uploads is None or not is_as_read(claimed, claim):
        return Remedy.PUT_BACK
    there = {entry.name for entry in uploads.entries}
    if claim.id + names.REFUSED in there:
        return Remedy.PUT_BACK
    return Remedy.PUBLISH if claim.id in there else Remedy.DELETE


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
class Hidden:
    """What lies in the two hidden folders; None for one that is not there, or was not looked into."""

    claims: Listing | None
    uploads: Listing | None

    @property
    def claimed(self) -> list[tuple[Entry, ClaimName]]:
        """The claims with what their names say."""
        entries = self.claims.entries if self.claims else ()
        return [(entry, claim) for entry in entries if (claim := ClaimName.read(entry.name))]


def look_into(store: Store, folders: Folders) -> Hidden:
    """List both hidden folders. Claims first: every claim's upload was there before it."""
    claims = _list_if_there(store, folders.claims)
    return Hidden(claims, _list_if_there(store, folders.uploads) if claims else None)


def _list_if_there(store: Store, folder: Href) -> Listing | None:
    try:
        return store.list_folder(folder)
    except Missing:
        return None


def recover(store: Store, folders: Folders, owner: str) -> Hidden:
    """Finish every claim that lies there, remove dead uploads, and make the hidden folders where they are missing.

    Returns:
        what lay there.

    Raises:
        Missing: the raw or the unsorted folder itself is not there.
    """
    hidden = _look_into_made(store, folders)
    if hidden.uploads is None:
        # What is to be put back may have been claimed after the first look, and before that folder vanished.
        _put_up_signpost(store, folders, hidden.claims, verify=False)
        hidden = Hidden(_list_if_there(store, folders.claims), None)
    for entry, claim in hidden.claimed:
        where = folders if claim.mark == folders.mark else _folders_of_mark(store, folders, hidden, claim.mark)
        uploads = hidden.uploads if where is folders else _list_if_there(store, where.uploads) if where else None
        try:
            _finish(store, folders, entry, claim, where, uploads)
        except Failure as failure:
            # Its original stays safe in its claim; but no upload folder is made anew before it is back.
            if ends_the_pass(failure) or uploads is None:
                raise
            logger.warning("{} cannot be finished yet: {}", claim.original, failure)
    if hidden.claims and hidden.uploads:
        claims = [claim for _, claim in hidden.claimed]
        for orphan in orphans(hidden.uploads, claims, owner, hidden.claims.now):
            _remove(store, orphan, owner)
    _make_ready(store, folders, hidden)
    return hidden


def _remove(store: Store, orphan: Entry, owner: str) -> None:
    """Delete an upload that nobody can claim any more; otherwise give it up."""
    if names.owner_of(orphan.name) == owner or orphan.name.endswith(names.REFUSED):
        store.delete(orphan.href)
        logger.info("Removed an upload that was never finished: {}", orphan.name)
    else:
        with contextlib.suppress(Unclear):
            withdraw(store, orphan.href)


def make_ready(store: Store, folders: Folders) -> None:
    """Make the hidden folders where they are missing; `recover` does it after looking for claims.

    Raises:
        Missing: the unsorted folder itself is not there.
    """
    _make_ready(store, folders, _look_into_made(store, folders))


def _finish(
    store: Store, folders: Folders, entry: Entry, claim: ClaimName, where: Folders | None, uploads: Listing | None
) -> None:
    remedy = remedy_for(entry, claim, uploads)
    if where and remedy is not Remedy.PUBLISH:
        remedy = _looked_again(store, where, claim, remedy, uploads)
    if remedy is Remedy.PUT_BACK or where is None:
        name = put_back(store, entry.href, folders.raw, claim.original)
        if name:
            logger.info("Moved {} back into the raw folder: it has no copy yet", name)
        return
    if remedy is Remedy.PUBLISH:
        upload = inside(where.uploads, claim.id)
        name = publish(store, upload, where.unsorted, lambda n: names.final_name(claim.original, claim.id, n))
        if name:
            logger.info("{} → {} (finished after an interruption)", claim.original, name)
    store.delete(entry.href)


def _looked_again(store: Store, where: Folders, claim: ClaimName, remedy: Remedy, uploads: Listing | None) -> Remedy:
    """What a claim needs if the server says a second time that what was not listed is not there.

    Raises:
        FolderUnclear: it does not.
    """
    if uploads is None and store.look(where.uploads) is not None:
        raise FolderUnclear(f"The folder {where.unsorted_path}/{names.HIDDEN_FOLDER} is there and is not")
    if remedy is Remedy.DELETE and store.look(inside(where.uploads, claim.id)) is not None:
        return Remedy.PUBLISH
    return remedy


def _folders_of_mark(store: Store, folders: Folders, hidden: Hidden, mark: str) -> Folders | None:
    """The folders of a claim made while another unsorted folder was set; the signpost beside it says which."""
    entries = hidden.claims.entries if hidden.claims else ()
    for entry in entries:
        if entry.name == names.signpost(mark):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "signpost"
                store.get(entry, file)
                path = file.read_text()
            if names.mark_of(path) == mark:
                base = Folders.of(store, "", path)
                return Folders(folders.raw, folders.claims, base.unsorted, base.uploads, folders.raw_path, path)
    return None


def _look_into_made(store: Store, folders: Folders) -> Hidden:
    """What lies in the hidden folders, after the one for claims was made where it was missing."""
    hidden = look_into(store, folders)
    if hidden.claims is None and not _made(store, folders.claims, folders.raw_path, "RAW_REMOTE_DIR"):
        # Another scaler has made it meanwhile; or it was there, and claims are in it.
        return look_into(store, folders)
    return hidden


def _make_ready(store: Store, folders: Folders, hidden: Hidden) -> None:
    """Make the upload folder only here, when no claim depends on a vanished one any more."""
    if hidden.uploads is None:
        _made(store, folders.uploads, folders.unsorted_path, "UNSORTED_REMOTE_DIR")
    _put_up_signpost(store, folders, hidden.claims, verify=True)


def _put_up_signpost(store: Store, folders: Folders, claims: Listing | None, *, verify: bool) -> None:
    """Say which unsorted folder claims belong to, unless it stands there in full."""
    name, text = names.signpost(folders.mark), folders.unsorted_path.encode()
    # Some servers keep what came of an upload that was cut off.
    if claims is None or all((entry.name, entry.size) != (name, len(text)) for entry in claims.entries):
        store.put(inside(folders.claims, name), text, verify=verify)


def _made(store: Store, hidden: Href, path: str, key: str) -> bool:
    """Make a hidden folder; False if there is one."""
    try:
        return store.make_folder(hidden)
    except (Missing, ParentMissing):
        raise not_there(path, f"scaler_constants/{key}") from None


def not_there(path: str, key: str) -> Missing:
    """What to say of a folder that the settings name."""
    return Missing(f"The folder {path} is not there", f"Make it, or correct {key} in Vault.")
