"""Publication by claim, on servers that cannot replace a file in place: claim the original, publish the copy, clean up.

Of several scalers that hold a copy of one original, the one whose MOVE of the original into the hidden folder succeeds
may publish. docs/design.md has the table of states; `recovery` finishes what a stopped scaler has left.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from scaler import names
from scaler.backoff import is_passing
from scaler.move_traits import honours_if_match, is_odd, keeps_names, plain
from scaler.moves import (
    MovesRejected,
    NameLock,
    Outcome,
    OutcomeUnknown,
    VerifiedMove,
    inside,
    move_numbered,
    move_own,
    parent_and_name,
)
from scaler.names import ClaimName
from scaler.upscaling import Published, Upload, UploadFolderGone, Upscaled
from shared.errors import Failure, Forbidden, NotAccepted, NotFound, PreconditionFailed
from shared.filenames import HIDDEN_FOLDER, numbered
from shared.retry import RetryPolicy
from shared.scheduler import ends_poll
from shared.webdav.store import Entry, Href, Store, strong

TRIED = b"written to try whether it can be moved"
"""A small file that tells whether the server moves files at all."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The four folders of one scaler, as addresses.

    Attributes:
        claims: hidden, in the raw folder: originals whose copies are being published.
        uploads: hidden, in the unsorted folder: copies that nobody sees yet.
        raw_path, unsorted_path: as the settings name them.
    """

    raw: Href
    claims: Href
    unsorted: Href
    uploads: Href
    raw_path: str
    unsorted_path: str

    @property
    def destination(self) -> str:
        """Says in a claim's name which unsorted folder it belongs to."""
        return names.destination_hash(self.unsorted_path)

    @staticmethod
    def of(store: Store, raw: str, unsorted: str) -> "Folders":
        """From the paths in the settings."""
        return Folders(
            raw=store.href(raw),
            claims=store.href(f"{raw}/{HIDDEN_FOLDER}"),
            unsorted=store.href(unsorted),
            uploads=store.href(f"{unsorted}/{HIDDEN_FOLDER}"),
            raw_path=raw,
            unsorted_path=unsorted,
        )


@dataclass(frozen=True)
class ClaimMoves:
    """The moves of claims and uploads, each with its outcome verified; several threads may use it at once.

    Attributes:
        folders: where this scaler works.
        retry: repeats what is safe to repeat.
        name_lock: of the process.
    """

    folders: Folders
    retry: RetryPolicy
    name_lock: NameLock

    def claim(self, store: Store, original: Entry, target: Href, *, conditional: bool) -> bool:
        """Move the original out of everybody's way; True if it is ours now.

        Args:
            conditional: whether the server rejects the move if the ETag is not the listed one.

        Returns:
            False where it certainly is not: somebody else has it, or it was replaced.

        Raises:
            OutcomeUnknown: an earlier attempt may still take effect.
            Forbidden: the account may not move it away.
        """

        def resolve(error: Failure, all_answered: bool) -> Outcome | None:
            if store.stat(target) is not None:
                return Outcome.MOVED
            if all_answered and isinstance(error, NotFound | PreconditionFailed):
                return Outcome.SOURCE_GONE
            # Some servers answer a lost race with 403.
            if all_answered and isinstance(error, Forbidden) and store.stat(original.href) is None:
                return Outcome.SOURCE_GONE
            # Others with 500, which may mean anything; then the other's claim is proof.
            if all_answered and getattr(error, "status", None) == 500 and store.stat(original.href) is None:
                return Outcome.SOURCE_GONE if self._has_claim(store, original.name) else None
            return None

        etag = original.etag if conditional else None
        move = VerifiedMove(lambda: store.move(original.href, target, if_match=etag), resolve)
        try:
            outcome = move.run(self.retry)
        except OutcomeUnknown:
            raise
        except Failure:
            if _is_listed(store, target):
                return True
            raise
        # A copy is deleted where there is no claim.
        return outcome is Outcome.MOVED or _is_listed(store, target)

    def _has_claim(self, store: Store, original: str) -> bool:
        """Whether somebody has claimed an original of this name."""
        entries = store.list_folder(self.folders.claims).entries
        return any(claim.original == original for entry in entries if (claim := ClaimName.parse(entry.name)))

    def publish(self, store: Store, upload: Href, folder: Href, name: Callable[[int], str]) -> str | None:
        """Move an upload to its final name, or to the first number of it that is free.

        Args:
            name: the final name with a number.

        Returns:
            the name; None if the upload is no longer there, because somebody else has published it.

        Raises:
            UploadFolderGone: its folder is not there either, so nobody can tell.
            OutcomeUnknown: it may still be published; recovery looks later.
        """
        published = move_numbered(store, self.retry, upload, folder=folder, name=name, lock=self.name_lock)
        if published is None:
            _confirm_gone(store, upload)
        return published

    def discard(self, store: Store, upload: Href) -> Href | None:
        """Put an upload that cannot be published out of the reach of others, before its original is moved back.

        Returns:
            where it is now; None if it was published after all.
        """
        target = Href(upload + names.DISCARDED)
        if move_own(store, self.retry, upload, target) is not Outcome.SOURCE_GONE:
            return target
        _confirm_gone(store, upload)
        return None

    def release(self, store: Store, claimed: Href, original: str) -> str | None:
        """Move a claimed original back to its name, beside whoever has taken it; None if the claim is gone."""
        return move_numbered(
            store,
            self.retry,
            claimed,
            folder=self.folders.raw,
            name=lambda number: numbered(original, number),
            lock=self.name_lock,
        )


def _is_listed(store: Store, href: Href) -> bool:
    """Whether a listing of its folder shows a file: a 404 can come from anywhere."""
    folder, name = parent_and_name(href)
    try:
        listing = store.list_folder(folder)
    except NotFound:
        return False
    except Failure as error:
        raise OutcomeUnknown(f"Whether an image was claimed is not known yet ({error.message})") from error
    return any(entry.name == name for entry in listing.entries)


def _confirm_gone(store: Store, upload: Href) -> None:
    """Raise unless a listing of its folder shows that an upload is gone: a 404 can come from anywhere."""
    folder, name = parent_and_name(upload)
    try:
        listing = store.list_folder(folder)
    except NotFound as error:
        raise UploadFolderGone from error
    if {entry.name for entry in listing.entries} & {name, name + names.DISCARDED}:
        raise OutcomeUnknown("The server gave contradictory answers about an upload; will retry")


def claim_name(upload: str, folders: Folders, original: Entry, *, conditional: bool) -> ClaimName:
    """What an original is called while its copy is published."""
    version = "" if conditional else names.version_hash(original.size, original.modified)
    return ClaimName(upload, folders.destination, original.name, version)


def _is_unchanged(store: Store, entry: Entry) -> bool:
    there = store.stat(entry.href)
    return there is not None and (there.etag, there.size, there.modified) == (entry.etag, entry.size, entry.modified)


def is_as_read(claimed: Entry, claim: ClaimName) -> bool:
    """Whether a claim holds the version that was read; a server that honours If-Match made sure of that."""
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
        """A file in the hidden folder under a name that nobody else uses."""
        upload_id = names.new_id(self._owner)
        return Upload(upload_id, inside(self._folders.uploads, upload_id))

    def publish(self, store: Store, entry: Entry, upload: Upload, upscaled: Upscaled) -> Published:
        """Claim the original and publish its copy; the claim is left to be deleted.

        Raises:
            PreconditionFailed: it was replaced meanwhile.
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
            return Published(None, upscaled=upscaled)
        if not conditional:
            there = store.stat(claimed)
            # If it is gone another scaler has finished it, and what is left to do is the same.
            if there and not is_as_read(there, claim):
                self._moves.release(store, claimed, claim.original)
                store.delete(upload.href)
                raise PreconditionFailed(f"{entry.name} was replaced since it was listed")
        return Published(self._publish(store, claim, upload.href, claimed), claimed, upscaled)

    def _claim(self, store: Store, entry: Entry, upload: Href, claimed: Href, *, conditional: bool) -> bool:
        """Claim the original; False, and the copy stays, if it was replaced or somebody else has it."""
        try:
            return self._moves.claim(store, entry, claimed, conditional=conditional)
        except OutcomeUnknown as error:
            # The copy stays in any case: an attempt of ours may still take effect, and its claim would need it.
            if _is_listed(store, entry.href):
                raise
            raise NotFound(f"{entry.name} was taken away since it was listed") from error
        except Failure as error:
            if not is_passing(error):
                store.delete(upload)
            raise

    def _publish(self, store: Store, claim: ClaimName, upload: Href, claimed: Href) -> str | None:
        try:
            return self._moves.publish(
                store, upload, self._folders.unsorted, lambda number: names.final_name(claim.original, claim.id, number)
            )
        except (Forbidden, NotAccepted):
            discarded = self._moves.discard(store, upload)
            if discarded:
                # The original goes back before its copy is dropped: never are both out of sight.
                self._moves.release(store, claimed, claim.original)
                store.delete(discarded)
                raise
            return None

    def _movable(self, store: Store, name: str) -> str:
        """What an original is called from its claim on: otherwise where the server cuts names."""
        with self._detecting:
            if self._keeps_names is None and is_odd(name):
                self._keeps_names = keeps_names(store, self._folders.uploads, lambda: names.new_id(self._owner))
            return plain(name) if self._keeps_names is False else name

    def try_moving(self, store: Store) -> None:
        """Find out with a small file of our own whether the server moves files.

        Raises:
            MovesRejected: it does not.
        """
        upload = self.new_upload()
        store.put(upload.href, TRIED)
        self._detect_if_match(store, upload)
        store.delete(upload.href)

    def _detect_if_match(self, store: Store, upload: Upload) -> None:
        """Find out once whether the server honours If-Match on a MOVE, with an upload that is there afterwards.

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
                if ends_poll(error):
                    raise
                for left in (upload, elsewhere):
                    store.delete(left.href)
                raise MovesRejected(error.message) from error
            self._honours_if_match = honoured
