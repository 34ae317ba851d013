"""Publication in place, on a Nextcloud: the file itself becomes the upscaled image and is moved to the unsorted folder.

Its content is replaced by a chunked upload, provided that it is still the version that was read. The file is moved:
its id, tags, favourite, comments, links, shares and date stay, and the old content becomes a
version of the file. docs/design.md walks through what can stop or change in between; in every case the marker in the
next listing shows what remains to be done. Only our own uploads are ever deleted.
"""

import tempfile
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from scaler import names
from scaler.backoff import is_passing
from scaler.jobs import Published, Upload, Upscaled
from scaler.marker import checksums_with_marker, marker_in
from scaler.moves import Outcome, OutcomeUnknown, VerifiedMove, inside
from scaler.selection import SETTLED_AFTER
from scaler.upload_notes import Note, UploadNotes
from scaler.upscaling import sha256_of
from shared.errors import Failure, NotFound, PreconditionFailed
from shared.retry import RetryPolicy
from shared.webdav.store import BASIC, Assembly, Connections, Entry, Href, Prop, Store

PROPERTIES = (*BASIC, Prop.CHECKSUMS, Prop.PERMISSIONS, Prop.AVAILABLE)
# Nextcloud rejects dates up to 1970-01-02.
_EARLIEST = 86_400


class _State(Enum):
    """The state of the original after an assembly that was not answered 204."""

    REPLACED = "our content"
    ORIGINAL = "the version that was read"
    CHANGED = "another version"
    GONE = "nothing"


@dataclass(frozen=True, slots=True)
class InPlaceFolders:
    """Addresses.

    Attributes:
        uploads: the account's folder for chunked uploads; each upload is a folder in it that no file listing shows.
    """

    raw: Href
    unsorted: Href
    uploads: Href

    @staticmethod
    def of(connections: Connections, raw: Href, unsorted: Href) -> "InPlaceFolders":
        """The folders for the account of these connections."""
        user = urllib.parse.quote(connections.user_id, safe="")
        root = urllib.parse.urlsplit(connections.root_url).path
        return InPlaceFolders(raw, unsorted, Href(f"{root}remote.php/dav/uploads/{user}/"))


class InPlacePublisher:
    """Replaces originals and publishes them; used by several threads at once.

    Args:
        notes: about uploads that are about to replace a file.
        owner: of the uploads, from `names.new_owner`.
    """

    def __init__(
        self,
        *,
        folders: InPlaceFolders,
        connections: Connections,
        retry: RetryPolicy,
        notes: UploadNotes,
        owner: str,
    ) -> None:
        self.folders = folders
        self._connections = connections
        self._retry = retry
        self.notes = notes
        self._owner = owner

    def new_upload(self) -> Upload:
        """One chunk in an upload folder of its own."""
        upload_id = names.new_id(self._owner)
        folder = Href(inside(self.folders.uploads, upload_id) + "/")
        return Upload(upload_id, Href(folder + "00001"), folder)

    def abandon(self, store: Store, upload: Upload) -> None:
        """Delete an upload that is not to be published."""
        store.delete(upload.whole)

    def publish(self, store: Store, entry: Entry, upload: Upload, upscaled: Upscaled) -> Published:
        """Replace the content of the original, and publish the file.

        Raises:
            PreconditionFailed, NotFound: the original was replaced or removed in the meantime; it is left as found.
            OutcomeUnknown: whether it was replaced is not known yet; the next listing shows it.
        """
        self.notes.add(entry.file_id, Note(upscaled.sha256, upload.id))
        etag, marker_id = self._replace(store, entry, upload, upscaled)
        name = self._move_on(store, entry, etag, marker_id)
        self.notes.forget(entry.file_id)
        return Published(name, upscaled=upscaled)

    def finish(self, entry: Entry, marker_id: str) -> Published:
        """Publish an upscaled image that an interrupted scaler left.

        Raises:
            PreconditionFailed: the user has changed it in the meantime.
            OutcomeUnknown: it may still be moved; the next listing shows it.
        """
        with self._connections.connect() as store:
            name = self._move_on(store, entry, entry.etag, marker_id)
        self.notes.forget(entry.file_id)
        return Published(name)

    # --- replacing --------------------------------------------------------------------------------------------------

    def _replace(self, store: Store, entry: Entry, upload: Upload, upscaled: Upscaled) -> tuple[str, str]:
        """Replace the original by the upload; return the new ETag and the id in its marker."""
        assembly = Assembly(upscaled.size, _date_for(entry), checksums_with_marker(upscaled.sha256, upload.id))
        try:
            assembled = store.assemble(upload.whole, entry, assembly)
        except Failure as error:
            etag, marker_id = self._after_failure(store, entry, upload, upscaled, error)
            return etag, marker_id or upload.id
        if assembled.created or (assembled.file_id and entry.file_id and assembled.file_id != entry.file_id):
            raise OutcomeUnknown(
                f"{entry.name} was deleted while it was replaced, and the server created a new file of that name"
            )
        return assembled.etag or self._etag_of(store, entry, upload.id), upload.id

    def _after_failure(
        self, store: Store, entry: Entry, upload: Upload, upscaled: Upscaled, error: Failure
    ) -> tuple[str, str]:
        """Determine what an assembly did; only 204 proves anything.

        Returns:
            the ETag of the new content, and the id in its marker: another scaler may have put the same there.
        """
        state, there = self._look(store, entry, upscaled)
        if state is _State.REPLACED and there is not None:
            marker = marker_in(there.checksums)
            return there.etag or "", marker.id if marker else ""
        if state is not _State.ORIGINAL or not is_passing(error):
            # No late assembly can fulfil its condition, or the answer is final: the upload is no longer needed.
            store.delete(upload.whole)
        if state is _State.GONE:
            raise NotFound(f"{entry.name} was removed since it was listed") from error
        if state is _State.CHANGED:
            raise PreconditionFailed(f"{entry.name} was replaced since it was listed") from error
        raise error

    def _look(self, store: Store, entry: Entry, upscaled: Upscaled) -> tuple[_State, Entry | None]:
        """The current state of the original."""
        there = store.stat(entry.href, PROPERTIES)
        if there is None:
            return _State.GONE, None
        if upscaled.sha256 in there.checksums:
            return _State.REPLACED, there
        if there.etag == entry.etag:
            return _State.ORIGINAL, there
        if there.size == upscaled.size and self._has_content(store, there, upscaled.sha256):
            # The marker is written last, and may still be missing.
            return _State.REPLACED, there
        return _State.CHANGED, there

    def _has_content(self, store: Store, there: Entry, sha256: str) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "content"
            try:
                store.get(there, file)
            except (NotFound, PreconditionFailed):
                return False
            return sha256_of(file) == sha256

    def _etag_of(self, store: Store, entry: Entry, upload_id: str) -> str:
        """The ETag that the answer to the assembly left out."""
        there = store.stat(entry.href, PROPERTIES)
        marker = marker_in(there.checksums) if there else None
        if there is None or there.etag is None or marker is None or marker.id != upload_id:
            raise OutcomeUnknown(f"{entry.name} was replaced and changed again immediately")
        return there.etag

    # --- moving on --------------------------------------------------------------------------------------------------

    def _move_on(self, store: Store, entry: Entry, etag: str | None, marker_id: str) -> str | None:
        """Move an upscaled image to the first free of its final names; None if another process has moved it.

        Raises:
            PreconditionFailed: the user has changed it in the meantime.
            OutcomeUnknown: it may still be moved; the next listing shows it.
        """
        number = 1
        while True:
            name = names.final_name(entry.name, marker_id, number)
            outcome = self._move(store, entry, etag, inside(self.folders.unsorted, name))
            if outcome is Outcome.SOURCE_CHANGED:
                raise PreconditionFailed(f"{entry.name} was changed after it was upscaled")
            if outcome is not Outcome.TARGET_TAKEN:
                return name if outcome is Outcome.MOVED else None
            number += 1

    def _move(self, store: Store, entry: Entry, etag: str | None, target: Href) -> Outcome:
        def resolve(error: Failure, all_answered: bool) -> Outcome | None:
            source = store.stat(entry.href)
            if source is None or source.file_id != entry.file_id:
                there = store.stat(target)
                ours = there is not None and there.file_id == entry.file_id
                return Outcome.MOVED if ours else Outcome.SOURCE_GONE
            if source.etag != etag:
                return Outcome.SOURCE_CHANGED
            if all_answered and isinstance(error, PreconditionFailed):
                if store.stat(target) is not None:
                    return Outcome.TARGET_TAKEN
                raise OutcomeUnknown(f"{error.message}, though the name is free") from error
            return None

        return VerifiedMove(lambda: store.move(entry.href, target, if_match=etag), resolve).run(self._retry)


def _date_for(entry: Entry, now: Callable[[], float] = time.time) -> int:
    """The date of the upscaled image: its original's, less a second.

    Versions are kept by date. With the original's own date its version could not be listed or restored; with a later
    one it would be gone after the next edit.
    """
    date = int(entry.modified) - 1 if entry.modified is not None else 0
    return date if date > _EARLIEST else int(now() - SETTLED_AFTER)
