"""Decides which images of a listing are upscaled now; pure, so it needs no server."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scaler.marker import unfinished_marker
from shared.filenames import READABLE, UNREADABLE, split
from shared.webdav.store import Entry, Listing, Wanted, strong

# Seconds. Two versions within one second may have the same ETag on Nextcloud, and HTTP dates have whole seconds.
SETTLED_AFTER = 2.0

Version = tuple[str | None, int | None, float | None, float | None]


def version(entry: Entry) -> Version:
    """What distinguishes the versions of a file."""
    return entry.etag, entry.size, entry.modified, entry.uploaded


@dataclass(frozen=True, slots=True)
class Observation:
    """A version of an image, and when it was first listed (seconds, monotonic)."""

    version: Version
    since: float


@dataclass(frozen=True, slots=True)
class Selection:
    """What to do with the images of a listing.

    Attributes:
        take: settled; to be upscaled now.
        wait: may still be changing; a later listing decides.
        observations: of those that wait, by href; an argument of the next selection.
        skipped: on the skip list and unchanged since.
        unreadable: named like images, but of formats that are not supported.
        locked: someone is editing them.
        finish: settled, upscaled before an interruption, and still to be published.
    """

    take: tuple[Entry, ...] = ()
    wait: tuple[Entry, ...] = ()
    observations: Mapping[str, Observation] = field(default_factory=dict)
    skipped: tuple[Entry, ...] = ()
    unreadable: tuple[Entry, ...] = ()
    locked: tuple[Entry, ...] = ()
    finish: tuple[Entry, ...] = ()


def image_names(prefixes: Sequence[str]) -> Wanted:
    """Matches names that start with one of the prefixes (compared in NFC) and have an image's extension.

    Unsupported formats are among them: they are named as skipped.
    """
    heads = tuple(unicodedata.normalize("NFC", prefix) for prefix in prefixes)

    def wanted(name: str) -> bool:
        extension = split(name)[1].lower()
        return (extension in READABLE or extension in UNREADABLE) and unicodedata.normalize("NFC", name).startswith(
            heads
        )

    return wanted


def unreadable_format(name: str) -> str | None:
    """Why an image of this name is skipped without downloading it; None if its format may be read."""
    kind = UNREADABLE.get(split(name)[1].lower())
    return f"{kind} is not supported" if kind else None


def select(
    listing: Listing,
    wanted: Wanted,
    *,
    skipped: Callable[[Entry], bool],
    before: Mapping[str, Observation],
    now: float,
) -> Selection:
    """Decide what to do with each image of a listing.

    Args:
        listing: of the raw folder.
        wanted: matches the names of images, from `image_names`.
        skipped: whether this version of an image is on the skip list.
        before: the observations of the last selection.
        now: seconds, monotonic, of this listing.
    """
    take: list[Entry] = []
    finish: list[Entry] = []
    wait: list[Entry] = []
    unchanged: list[Entry] = []
    unreadable: list[Entry] = []
    locked: list[Entry] = []
    observations: dict[str, Observation] = {}
    for entry in listing.entries:
        unfinished = unfinished_marker(entry)
        if entry.is_folder or not (unfinished or wanted(entry.name)):
            continue
        settled = finish if unfinished else take
        if unfinished is None and unreadable_format(entry.name):
            unreadable.append(entry)
        elif skipped(entry):
            unchanged.append(entry)
        elif entry.locked:
            locked.append(entry)
        elif _settled_by_date(entry, listing.now):
            settled.append(entry)
        else:
            seen = before.get(entry.href)
            since = seen.since if seen and seen.version == version(entry) else now
            observations[entry.href] = Observation(version(entry), since)
            (settled if now - since >= SETTLED_AFTER else wait).append(entry)
    return Selection(
        take=tuple(take),
        wait=tuple(wait),
        observations=observations,
        skipped=tuple(unchanged),
        unreadable=tuple(unreadable),
        locked=tuple(locked),
        finish=tuple(finish),
    )


def _settled_by_date(entry: Entry, now: float | None) -> bool:
    """Whether the last change is old enough by the server's own clock; clients may have set any date."""
    dates = [date for date in (entry.modified, entry.uploaded) if date is not None]
    if now is None or entry.modified is None or not strong(entry.etag):
        return False
    return max(dates) <= now - SETTLED_AFTER
