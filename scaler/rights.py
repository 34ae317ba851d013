"""Decides from listings, before anything is touched, whether an image may be replaced and published; pure.

Nextcloud's letters in `oc:permissions`: W, a file's content may be changed; D, it may be deleted or moved away; C,
files may be created in a folder. To replace content, Nextcloud also requires C on the folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import ErrorPolicy, Failure, StorageFull
from shared.webdav.store import Entry

# An upscaled image is seldom larger than this many times its original; for a larger one the server itself answers 507.
_GROWTH = 4


class MissingRight(Failure):
    """The account lacks a right needed to process an image; nothing was touched."""

    policy = ErrorPolicy.SKIP


@dataclass(frozen=True, slots=True)
class Allowed:
    """The images that may be taken, and why the others may not."""

    entries: tuple[Entry, ...]
    failures: tuple[Failure, ...]


def allowed(entries: Sequence[Entry], raw: Entry, unsorted: Entry, paths: tuple[str, str]) -> Allowed:
    """The images for which rights and free space suffice.

    Args:
        entries: images in the raw folder, to be replaced and published.
        raw, unsorted: the two folders, with permissions and available space.
        paths: of both, as the settings name them.
    """
    if not entries:
        return Allowed((), ())
    if forbidden := forbidden_folder(raw, unsorted, paths):
        return Allowed((), (forbidden,))
    free = [entry for entry in entries if not _lacks(entry, "WD")]
    failures: list[Failure] = []
    if len(free) < len(entries):
        failures.append(_missing_on_files([entry for entry in entries if _lacks(entry, "WD")], paths[0]))
    roomy = _with_room(free, raw, unsorted)
    if len(roomy) < len(free):
        failures.append(
            StorageFull(
                f"There is too little free space to replace {free[len(roomy)].name} and keep its original as a version",
                "Free some space: upscaling waits until twice the size of the original and its upscaled copy is free.",
            )
        )
    return Allowed(tuple(roomy), tuple(failures))


def forbidden_folder(raw: Entry, unsorted: Entry, paths: tuple[str, str]) -> MissingRight | None:
    """The first of the two folders in which no image can be replaced, or to which none can be moved."""
    lacking = (path for folder, path in zip((raw, unsorted), paths, strict=True) if _lacks(folder, "C"))
    return next((_no_creating(path) for path in lacking), None)


def movable(entries: Sequence[Entry], unsorted: Entry, paths: tuple[str, str]) -> Allowed:
    """The upscaled images that may be published.

    Args:
        paths: of the raw and the unsorted folder, as the settings name them.
    """
    if entries and _lacks(unsorted, "C"):
        return Allowed((), (_no_creating(paths[1]),))
    free = tuple(entry for entry in entries if not _lacks(entry, "D"))
    stuck = [entry for entry in entries if _lacks(entry, "D")]
    return Allowed(free, (_missing_on_files(stuck, paths[0]),) if stuck else ())


def _no_creating(path: str) -> MissingRight:
    return MissingRight(
        f"The account may not create files in {path} (right C)", f"Ask its owner to let it create files in {path}."
    )


def _lacks(entry: Entry, letters: str) -> bool:
    """Whether a right is known to be missing; if the server does not list rights, it may be granted."""
    return entry.permissions is not None and not set(letters) <= set(entry.permissions)


def _missing_on_files(entries: Sequence[Entry], path: str) -> MissingRight:
    first = entries[0]
    missing = [
        f"{what} (right {letter})"
        for letter, what in (("W", "change"), ("D", "move"))
        if any(_lacks(entry, letter) for entry in entries)
    ]
    others = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
    rights = " or ".join(missing)
    return MissingRight(
        f"The account may not {rights} {first.name}{others} in {path}",
        f"Ask the owner of {path} for the right to edit and delete there.",
    )


def _with_room(entries: Sequence[Entry], raw: Entry, unsorted: Entry) -> list[Entry]:
    """As many as fit twice into the free space, with what they become: Nextcloud prunes versions if space is short."""
    spaces = [folder.available for folder in (raw, unsorted) if folder.available is not None and folder.available >= 0]
    if not spaces:
        return list(entries)
    left, fitting = min(spaces), []
    for entry in entries:
        need = (entry.size or 0) * (1 + _GROWTH)
        if left <= 2 * need:
            break
        left -= need
        fitting.append(entry)
    return fitting
