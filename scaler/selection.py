"""Which images of a listing are to be upscaled now: pure, so that it can be decided and tested without a server."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scaler.images.probe import EXTENSIONS
from scaler.names import split
from shared.webdav.store import Entry, Listing, Wanted, strong

# Within one second an ETag of Nextcloud does not tell two versions apart, and a date has whole seconds.
SETTLED_AFTER = 2.0

Version = tuple[str | None, int | None, float | None, float | None]


def version(entry: Entry) -> Version:
    """What tells one version of a file from the next."""
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
        take: settled: to be upscaled now.
        wait: may still be changing: a later listing tells.
        sightings: of those that wait, by href; goes into the next choice.
        left: refused before and unchanged since.
    """

    take: tuple[Entry, ...] = ()
    wait: tuple[Entry, ...] = ()
    observations: Mapping[str, Observation] = field(default_factory=dict)
    left: tuple[Entry, ...] = ()


def image_names(prefixes: Sequence[str]) -> Wanted:
    """Names that start with one of the prefixes, in whatever Unicode form, and end as an image's does."""
    heads = tuple(unicodedata.normalize("NFC", prefix) for prefix in prefixes)

    def wanted(name: str) -> bool:
        return unicodedata.normalize("NFC", name).startswith(heads) and split(name)[1].lower() in EXTENSIONS

    return wanted


def select(
    listing: Listing,
    wanted: Wanted,
    *,
    refused: Callable[[Entry], bool],
    before: Mapping[str, Observation],
    clock: float,
) -> Selection:
    """Decide what to do with each image of a listing.

    Args:
        listing: of the raw folder.
        wanted: the names that are, from `image_names`.
        refused: whether this version of an image was found impossible to scale.
        before: the sightings of the last choice.
        clock: seconds, monotonic, of this listing.
    """
    take: list[Entry] = []
    wait: list[Entry] = []
    left: list[Entry] = []
    observations: dict[str, Observation] = {}
    for entry in listing.entries:
        if entry.is_folder or not wanted(entry.name):
            continue
        if refused(entry):
            left.append(entry)
        elif _settled_by_date(entry, listing.now):
            take.append(entry)
        else:
            seen = before.get(entry.href)
            since = seen.since if seen and seen.version == version(entry) else clock
            observations[entry.href] = Observation(version(entry), since)
            (take if clock - since >= SETTLED_AFTER else wait).append(entry)
    return Selection(tuple(take), tuple(wait), observations, tuple(left))


def _settled_by_date(entry: Entry, now: float | None) -> bool:
    """Whether the last change lies far enough back by the server's own clock, whatever date the client has set."""
    dates = [date for date in (entry.modified, entry.uploaded) if date is not None]
    if now is None or entry.modified is None or not strong(entry.etag):
        return False
    return max(dates) <= now - SETTLED_AFTER
