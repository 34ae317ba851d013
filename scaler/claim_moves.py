"""The moves of claims and uploads in the hidden folders, each with its outcome verified."""

from dataclasses import dataclass

from scaler import names
from scaler.moves import NameLock, Outcome, OutcomeUnknown, VerifiedMove, move_numbered, move_own, parent_and_name
from scaler.names import ClaimName
from scaler.upscaling import UploadFolderGone
from shared.errors import Failure, Forbidden, NotAccepted, NotFound, PreconditionFailed
from shared.filenames import HIDDEN_FOLDER, numbered
from shared.retry import RetryPolicy
from shared.webdav.store import Entry, Href, Store


@dataclass(frozen=True, slots=True)
class Folders:
    """The four folders of one scaler, as addresses.

    Attributes:
        claims: hidden, in the raw folder: originals whose copies are being published.
        uploads: hidden, in the unsorted folder: copies that are not visible yet.
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
        """The part of a claim's name that identifies its unsorted folder."""
        return names.destination_hash(self.unsorted_path)

    @staticmethod
    def of(store: Store, raw: str, unsorted: str) -> "Folders":
        """The folders for the paths in the settings."""
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
        """Move the original into the hidden folder; return True if this scaler owns the claim.

        Args:
            conditional: whether the server rejects the move if the ETag is not the listed one.

        Returns:
            False if it certainly does not: another process has it, or it was replaced.

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
            # Others answer 500, which may mean anything; another scaler's claim is then the proof.
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
            if is_listed(store, target):
                return True
            raise
        # Confirmed by a listing, because the caller deletes the copy if there is no claim.
        return outcome is Outcome.MOVED or is_listed(store, target)

    def _has_claim(self, store: Store, original: str) -> bool:
        """Whether an original of this name has been claimed."""
        listing = store.list_folder(self.folders.claims)
        return any(claim.original == original for claim in names.claims_among(listing.names))

    def publish(self, store: Store, upload: Href, folder: Href, claimed: Href, claim: ClaimName) -> str | None:
        """Move the copy of a claimed original to its final name, or to the first number of it that is free.

        Returns:
            the name; None if the upload is no longer there, because another scaler has published it.

        Raises:
            Forbidden, NotAccepted: the server rejects it for good; the original is back, and the copy is deleted.
            UploadFolderGone: the upload's folder is missing too, so the outcome is unknown.
            OutcomeUnknown: it may still be published; recovery looks later.
        """
        try:
            published = move_numbered(
                store,
                self.retry,
                upload,
                folder=folder,
                name=lambda number: names.final_name(claim.original, claim.id, number),
                lock=self.name_lock,
            )
        except (Forbidden, NotAccepted):
            discarded = self.discard(store, upload)
            if discarded is None:
                return None
            # The original goes back before its copy is dropped, so one of them is always visible.
            self.release(store, claimed, claim.original)
            store.delete(discarded)
            raise
        if published is None:
            _confirm_gone(store, upload)
        return published

    def discard(self, store: Store, upload: Href) -> Href | None:
        """Rename an upload so that no scaler publishes it, before its original is moved back.

        Returns:
            where it is now; None if it was published after all.
        """
        target = Href(upload + names.DISCARDED)
        if move_own(store, self.retry, upload, target) is not Outcome.SOURCE_GONE:
            return target
        _confirm_gone(store, upload)
        return None

    def release(self, store: Store, claimed: Href, original: str) -> str | None:
        """Move a claimed original back to its name, or to a numbered one; None if the claim is gone.

        Raises:
            OutcomeUnknown: the server says that the claim is gone, and still lists it; its discarded upload has to
                stay, since that marks the claim for release.
        """
        name = move_numbered(
            store,
            self.retry,
            claimed,
            folder=self.folders.raw,
            name=lambda number: numbered(original, number),
            lock=self.name_lock,
        )
        if name is None and is_listed(store, claimed):
            raise OutcomeUnknown("The server gave contradictory answers about a claim; will retry")
        return name


def is_listed(store: Store, href: Href) -> bool:
    """Whether a listing of its folder shows a file: a 404 may come from a proxy."""
    folder, name = parent_and_name(href)
    try:
        return name in store.list_folder(folder).names
    except NotFound:
        return False
    except Failure as error:
        raise OutcomeUnknown(f"Whether an image was claimed is not known yet ({error.message})") from error


def _confirm_gone(store: Store, upload: Href) -> None:
    """Raise unless a listing of its folder shows that an upload is gone: a 404 may come from a proxy."""
    folder, name = parent_and_name(upload)
    try:
        there = store.list_folder(folder).names
    except NotFound as error:
        raise UploadFolderGone from error
    if there & {name, name + names.DISCARDED}:
        raise OutcomeUnknown("The server gave contradictory answers about an upload; will retry")
