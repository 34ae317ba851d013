"""From a verified upload to a published image: claim the original, publish the copy, delete the claim.

An answer other than one's own 201 proves nothing, so after every other one the server is looked at before going on.
"""

import contextlib
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from scaler import names
from scaler.names import ClaimName
from shared import retry
from shared.errors import ErrorPolicy, Failure, Forbidden, NotFound, PreconditionFailed
from shared.webdav.store import Entry, Href, Store


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
    def destination_hash(self) -> str:
        """Says in a claim's name which unsorted folder it belongs to."""
        return names.destination_hash_of(self.unsorted_path)

    @staticmethod
    def of(store: Store, raw: str, unsorted: str) -> "Folders":
        """From the paths in the settings."""
        return Folders(
            raw=store.href(raw),
            claims=store.href(f"{raw}/{names.HIDDEN_FOLDER}"),
            unsorted=store.href(unsorted),
            uploads=store.href(f"{unsorted}/{names.HIDDEN_FOLDER}"),
            raw_path=raw,
            unsorted_path=unsorted,
        )


class OutcomeUnknown(Failure):
    """Nobody knows whether a claim took effect, or ever will: nothing may be deleted, recovery looks later."""


class FolderGone(Failure):
    """The hidden upload folder vanished; what was claimed meanwhile is settled by recovery, before it is made anew."""

    policy = ErrorPolicy.DEFER

    def __init__(
        self,
        what: str = "The hidden folder for uploads has vanished",
        hint: str = "Nobody but the scaler should touch it.",
    ) -> None:
        super().__init__(what, hint)


def inside(folder: Href, name: str) -> Href:
    """The address of a name in a folder."""
    return Href(folder + urllib.parse.quote(name, safe=""))


def claim(store: Store, original: Entry, target: Href, *, conditional: bool) -> bool:
    """Move the original out of everybody's way; True if it is ours now.

    Args:
        conditional: whether the server refuses the move where the ETag is another than listed.

    Returns:
        False where it certainly is not: somebody else has it, or it was replaced.

    Raises:
        OutcomeUnknown: an earlier attempt may still take effect.
        Forbidden: the account may not move it away.
    """

    def resolve(failure: Failure, *, certain: bool) -> bool:
        if store.stat(target) is not None:
            return True
        if certain and isinstance(failure, NotFound | PreconditionFailed):
            return False
        # Some servers answer a lost race with 403.
        if certain and isinstance(failure, Forbidden) and store.stat(original.href) is None:
            return False
        raise failure

    etag = original.etag if conditional else None
    try:
        ours = _move_and_verify(lambda: store.move(original.href, target, if_match=etag), resolve)
    except OutcomeUnknown:
        raise
    except Failure:
        if _is_listed(store, target):
            return True
        raise
    return ours or _is_listed(store, target)


def _is_listed(store: Store, claimed: Href) -> bool:
    """Whether a claim is there after all: a 404 can come from anywhere, and a copy is deleted where there is none."""
    folder, _, quoted = claimed.rpartition("/")
    try:
        listing = store.list_folder(Href(folder + "/"))
    except NotFound:
        return False
    except Failure as failure:
        raise OutcomeUnknown(f"Whether an image was claimed is not known yet ({failure.message})") from None
    return any(entry.name == urllib.parse.unquote(quoted) for entry in listing.entries)


def _move_and_verify[T](move: Callable[[], None], resolve: Callable[..., T]) -> T | Literal[True]:
    """Repeat a move that is looked after before it is given up; True if it was answered as hoped for.

    Args:
        judge: gets what failed, and whether all attempts before were answered for good; looks what became of the move,
            and raises the failure again if that does not tell.

    Raises:
        OutcomeUnknown: an attempt whose answer did not come may still take effect.
        Failure: the server refused, at the first attempt.
    """
    certain = True

    def attempt() -> T | Literal[True]:
        nonlocal certain
        try:
            move()
        except Failure as failure:
            before, certain = certain, False
            try:
                return resolve(failure, certain=before)
            except Failure as said:
                # A look that fails leaves open what the move did.
                certain = before and said is failure and failure.policy is not ErrorPolicy.RETRY
                raise
        return True

    try:
        return retry.of_process()(attempt)
    except Failure as failure:
        if certain:
            raise
        raise OutcomeUnknown(f"Whether an image was moved is not known yet ({failure.message})") from None


def publish(store: Store, upload: Href, folder: Href, name: Callable[[int], str]) -> str | None:
    """Move an upload to its final name, or to the first number of it that is free.

    Args:
        name: the final name with a number.

    Returns:
        the name; None if the upload is no longer there, because somebody else has published it.

    Raises:
        UploadFolderGone: its folder is not there either, so nobody can tell.
        OutcomeUnknown: it may still be published; recovery looks later.
    """
    number = 1
    while True:
        with _only_one(name(number)):
            moved = _move_own(store, upload, inside(folder, name(number)))
        if moved is None:
            _confirm_gone(store, upload)
            return None
        if moved:
            return name(number)
        number += 1


def _move_own(store: Store, source: Href, target: Href) -> bool | None:
    """True: moved; False: the target's name is taken; None: the source is gone."""

    def resolve(failure: Failure, *, certain: bool) -> bool | None:
        if store.stat(source) is None:
            return None
        if certain and isinstance(failure, PreconditionFailed):
            if store.stat(target) is not None:
                return False
            # Other names would fare no better, and there is no end of them.
            raise OutcomeUnknown(f"{failure.message}, though the name is free")
        raise failure

    return _move_and_verify(lambda: store.move(source, target), resolve)


def _confirm_gone(store: Store, upload: Href) -> None:
    """Raise unless a listing of its folder shows that an upload is gone: a 404 can come from anywhere."""
    folder, _, quoted = upload.rpartition("/")
    name = urllib.parse.unquote(quoted)
    try:
        listing = store.list_folder(Href(folder + "/"))
    except NotFound:
        raise FolderGone from None
    there = {entry.name for entry in listing.entries}
    if there & {name, name + names.REFUSED}:
        raise OutcomeUnknown("An upload is there and is not, or is being given up")


def discard(store: Store, upload: Href) -> Href | None:
    """Put an upload that cannot be published out of the reach of others, before its original is moved back.

    Returns:
        where it is now; None if it was published after all.
    """
    target = Href(upload + names.REFUSED)
    if _move_own(store, upload, target):
        return target
    _confirm_gone(store, upload)
    return None


def release(store: Store, claimed: Href, raw: Href, original: str) -> str | None:
    """Move a claimed original back to its name, beside whoever has taken it; None if the claim is gone."""
    number = 1
    while True:
        name = names.name_again(original, number)
        moved = _move_own(store, claimed, inside(raw, name))
        if moved is not False:
            return name if moved else None
        number += 1


def honours_conditions(store: Store, upload: Href, elsewhere: Href) -> bool:
    """Whether the server refuses a MOVE whose If-Match is wrong; found out with an upload of our own.

    Where it does not, the upload lies at `elsewhere` afterwards.
    """
    with contextlib.suppress(PreconditionFailed):
        store.move(upload, elsewhere, if_match='"no-such-version"')
    return store.stat(elsewhere) is None


# Apache's MOVE with `Overwrite: F` lets two sources onto one name win at once: one name is published by one thread.
_publishing: set[str] = set()
_published = threading.Condition()


@contextlib.contextmanager
def _only_one(name: str) -> Iterator[None]:
    with _published:
        _published.wait_for(lambda: name not in _publishing)
        _publishing.add(name)
    try:
        yield
    finally:
        with _published:
            _publishing.discard(name)
            _published.notify_all()


def claim_name(upload: str, folders: Folders, original: Entry, *, conditional: bool) -> ClaimName:
    """What an original is called while its copy is published."""
    version = "" if conditional else names.version_hash(original.size, original.modified)
    return ClaimName(upload, folders.destination_hash, original.name, version)


def is_as_read(claimed: Entry, claim: ClaimName) -> bool:
    """Whether a claim holds the version that was read; where the server looks at conditions it made sure of that."""
    return not claim.version or claim.version == names.version_hash(claimed.size, claimed.modified)
