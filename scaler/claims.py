"""Publication by claim, on servers that cannot replace a file in place: claim the original, publish the copy, clean up.

Of several scalers that hold a copy of one original, the one whose MOVE of the original into the hidden folder succeeds
may publish. docs/design.md has the table of states; `recovery` finishes the work of a stopped scaler.
"""

import contextlib
import threading
from dataclasses import replace

from scaler import names
from scaler.backoff import is_passing
from scaler.claim_moves import ClaimMoves, Folders, is_listed
from scaler.jobs import Published, Upload, Upscaled
from scaler.move_traits import honours_if_match, is_odd, keeps_names, plain
from scaler.moves import MovesRejected, OutcomeUnknown, inside
from scaler.names import ClaimName
from shared.errors import ErrorPolicy, Failure, NotFound, PreconditionFailed
from shared.scheduler import ends_poll
from shared.webdav.store import Entry, Href, Store, strong

TRIED = b"written to try whether it can be moved"
"""Content of the file that shows whether the server moves files at all."""


def claim_name(upload: str, folders: Folders, original: Entry, *, conditional: bool) -> ClaimName:
    """The name of a claim."""
    version = "" if conditional else names.version_hash(original.size, original.modified)
    return ClaimName(upload, folders.destination, original.name, version)


def _is_unchanged(store: Store, entry: Entry) -> bool:
    there = store.stat(entry.href)
    return there is not None and (there.etag, there.size, there.modified) == (entry.etag, entry.size, entry.modified)


def is_as_read(claimed: Entry, claim: ClaimName) -> bool:
    """Whether a claim holds the version that was read; a server that honours If-Match guarantees that."""
    return not claim.version or claim.version == names.version_hash(claimed.size, claimed.modified)


class ClaimPublisher:
    """Publishes upscaled copies by claiming their originals; `publish` may be called by several threads at once.

    Args:
        owner: of the uploads, from `names.new_owner`.
    """

    def __init__(self, moves: ClaimMoves, owner: str) -> None:
        self._moves = moves
        self._folders = moves.folders
        self._owner = owner
        self._honours_if_match: bool | None = None
        self._keeps_names: bool | None = None
        self._detecting = threading.Lock()

    def new_upload(self) -> Upload:
        """A file in the hidden folder under a unique name."""
        upload_id = names.new_id(self._owner)
        return Upload(upload_id, inside(self._folders.uploads, upload_id))

    def abandon(self, store: Store, upload: Upload) -> None:
        """Delete an upload that is not to be published, unless its original is claimed.

        A claim whose upload is missing counts as published, even if another file has the original's name by now.
        """
        with contextlib.suppress(NotFound):
            there = store.list_folder(self._folders.claims).names
            if all(claim.id != upload.id for claim in names.claims_among(there)):
                store.delete(upload.href)

    def publish(self, store: Store, entry: Entry, upload: Upload, upscaled: Upscaled) -> Published:
        """Claim the original and publish its copy; the caller deletes the claim.

        Raises:
            PreconditionFailed: it was replaced in the meantime.
            Failure: the original is where it was, or in its claim, where recovery finds it.
        """
        self._detect_if_match(store, upload)
        conditional = bool(self._honours_if_match) and strong(entry.etag)
        renamed = replace(entry, name=self._movable(store, entry.name))
        claim = claim_name(upload.id, self._folders, renamed, conditional=conditional)
        claimed = inside(self._folders.claims, str(claim))
        if not self._claim(store, entry, upload.href, claimed, conditional=conditional):
            if conditional and _is_unchanged(store, entry):
                # The server rejects the ETag that it lists. Claimed without it, the version is compared afterwards.
                self._honours_if_match = False
                return self.publish(store, entry, upload, upscaled)
            store.delete(upload.href)
            return Published(None)
        if not conditional:
            there = store.stat(claimed)
            # If the claim is gone, another scaler has finished it; the rest is the same.
            if there and not is_as_read(there, claim):
                self._moves.release(store, claimed, claim.original)
                store.delete(upload.href)
                raise PreconditionFailed(f"{entry.name} was replaced since it was listed")
        name = self._moves.publish(store, upload.href, self._folders.unsorted, claimed, claim)
        return Published(name, claimed, upscaled)

    def _claim(self, store: Store, entry: Entry, upload: Href, claimed: Href, *, conditional: bool) -> bool:
        """Claim the original; False, and the copy stays, if it was replaced or another process has it."""
        try:
            return self._moves.claim(store, entry, claimed, conditional=conditional)
        except OutcomeUnknown as error:
            # Keep the copy: our MOVE may still take effect, and the claim would need it.
            if is_listed(store, entry.href):
                raise
            raise NotFound(f"{entry.name} was removed since it was listed") from error
        except Failure as error:
            if not is_passing(error):
                store.delete(upload)
            raise

    def _movable(self, store: Store, name: str) -> str:
        """The name to use from the claim on; without special characters if the server truncates names."""
        with self._detecting:
            if self._keeps_names is None and is_odd(name):
                self._keeps_names = keeps_names(store, self._folders.uploads, lambda: names.new_id(self._owner))
            return plain(name) if self._keeps_names is False else name

    def try_moving(self, store: Store) -> None:
        """Determine with a small test file whether the server moves files.

        Raises:
            MovesRejected: it does not.
        """
        upload = self.new_upload()
        store.put(upload.href, TRIED)
        self._detect_if_match(store, upload)
        store.delete(upload.href)

    def _detect_if_match(self, store: Store, upload: Upload) -> None:
        """Determine once whether the server honours If-Match, by moving an upload, which is back in place afterwards.

        Raises:
            MovesRejected: it does not move anything; the upload is deleted.
        """
        with self._detecting:
            if self._honours_if_match is not None:
                return
            elsewhere = self.new_upload()
            try:
                honoured = honours_if_match(store, upload.href, elsewhere.href)
                if not honoured:
                    store.move(elsewhere.href, upload.href)
            except Failure as error:
                # An answer that only means "not now" says nothing; 502 to every form of the target does.
                may_pass = error.policy is ErrorPolicy.RETRY and getattr(error, "status", None) != 502
                if may_pass or ends_poll(error):
                    raise
                for left in (upload, elsewhere):
                    store.delete(left.href)
                raise MovesRejected(error.message) from error
            self._honours_if_match = honoured
