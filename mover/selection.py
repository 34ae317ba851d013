"""Decides which images go where, by their tags; pure, so it needs no server."""

import itertools
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shared import filenames
from shared.webdav.store import Entry, Tag


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings about tags and folders; folders are relative to the account's base.

    Attributes:
        parent: the part of a tag before the colon.
        unsorted: the folder that images are filed from.
        images: the folder that contains a folder for each category.
        raw: the folder that the scaler polls; empty if unknown.
    """

    parent: str
    unsorted: str
    images: str
    raw: str = ""

    def folder(self, category: str) -> str:
        """The folder of a category."""
        return f"{self.images}/{category}"


@dataclass(frozen=True, slots=True)
class InvalidTag:
    """Why a tag with the category prefix names no category."""

    reason: str


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """An image to be filed.

    Attributes:
        tag: to be removed.
        left_on: names of other tags that name a category too.
    """

    file: Entry
    tag: Tag
    category: str
    left_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leftover:
    """An image in the folder of its category that still has its tag, because a mover was interrupted."""

    file: Entry
    tag: Tag
    folder: str

    @property
    def path(self) -> str:
        """Its path, relative to the account's base."""
        return f"{self.folder}/{self.file.name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a listing; each note is a sentence about images that stay."""

    planned_moves: tuple[PlannedMove, ...]
    notes: tuple[str, ...]


def category_of(name: str, rules: Rules) -> str | InvalidTag | None:
    """The category that a tag names; None for any other tag."""
    own, prefix = _nfc(name), _nfc(rules.parent) + ":"
    if own.startswith(prefix):
        category = own.removeprefix(prefix).strip()
        reason = _why_invalid(category, rules)
        return InvalidTag(reason) if reason else category
    if own.casefold() == prefix[:-1].casefold():
        return InvalidTag("it names no category")
    if own.casefold().startswith(prefix.casefold()):
        return InvalidTag(f'tags of categories begin with "{prefix}" (case-sensitive)')
    return None


def _why_invalid(category: str, rules: Rules) -> str:
    if not category:
        return "it names no category"
    if category in (".", ".."):
        return f'a folder cannot be called "{category}"'
    if "/" in category or "\\" in category:
        return "a category is one folder name, without / and \\"
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in category):
        return "its category contains control characters"
    if len(category.encode()) > filenames.LONGEST_NAME:
        return f"its category is too long for a folder name ({filenames.LONGEST_NAME} bytes)"
    if category.casefold() == filenames.HIDDEN_FOLDER:
        return "the scaler uses folders of that name"
    for avoided in (rules.unsorted, rules.raw):
        if avoided and _folded(rules.folder(category)) == _folded(avoided):
            return f"it leads to {avoided}, which is not a category"
    return ""


def note_of(tag: Tag, category: str | InvalidTag) -> str:
    """Why images with this tag stay where they are; empty if they are filed."""
    if isinstance(category, InvalidTag):
        return f"Images with the tag {tag.name!r} stay where they are: {category.reason}"
    if not tag.removable:
        return f"Images with the tag {tag.name!r} stay where they are: this account may not remove that tag"
    return ""


def naming_tags(tags: Iterable[Tag], rules: Rules) -> list[tuple[Tag, str | InvalidTag]]:
    """The tags that name a category or look like it, sorted by name, each with its category."""
    return [(tag, category) for tag in sorted(tags) if (category := category_of(tag.name, rules))]


def usable_tags(tags: Iterable[Tag], rules: Rules) -> list[tuple[Tag, str]]:
    """The tags that name a category and can be removed, sorted by name, each with its category."""
    named = naming_tags(tags, rules)
    return [(tag, category) for tag, category in named if isinstance(category, str) and tag.removable]


def notes_of(tags: Iterable[Tag], rules: Rules) -> tuple[str, ...]:
    """Why images with some of these tags stay where they are."""
    return tuple(note for tag, category in naming_tags(tags, rules) if (note := note_of(tag, category)))


def is_image(file: Entry) -> bool:
    """Whether an entry is an image, by its media type or its name."""
    by_name = filenames.split(file.name)[1].lower() in filenames.IMAGES
    return not file.is_folder and (file.media_type.startswith("image/") or by_name)


def select(files: Iterable[Entry], rules: Rules) -> Plan:
    """Decide what to do with the files in the unsorted folder."""
    planned_moves: list[PlannedMove] = []
    notes: dict[str, None] = {}
    for file in sorted(files, key=lambda file: file.name):
        # The tag is removed by the file's id.
        if not is_image(file) or not file.file_id:
            continue
        tags = file.tags or ()
        notes |= dict.fromkeys(notes_of(tags, rules))
        usable = usable_tags(tags, rules)
        if usable:
            (tag, category), *rest = usable
            planned_moves.append(PlannedMove(file, tag, category, tuple(other.name for other, _ in rest)))
    return Plan(tuple(planned_moves), tuple(notes))


def leftovers_in(folder: str, files: Iterable[Entry], tag: Tag) -> list[Leftover]:
    """The images in the folder of a category that still have its tag."""
    images = (file for file in files if is_image(file) and file.file_id)
    return [Leftover(file, tag, folder) for file in images if tag.id in {own.id for own in file.tags or ()}]


def lying_in(folder: str, found: Iterable[tuple[str, Entry]]) -> list[Entry]:
    """The files that are directly in this folder."""
    return [file for where, file in found if _nfc(where) == _nfc(folder)]


def free_name(name: str, taken: Collection[str]) -> str:
    """The name itself, or with " (2)", " (3)", … before its extension: the first that is not taken."""
    used = {_folded(other) for other in taken}
    candidates = (filenames.numbered(name, number) for number in itertools.count(1))
    return next(candidate for candidate in candidates if _folded(candidate) not in used)


def _folded(name: str) -> str:
    """A key that is equal for names that some storage treats as identical."""
    return _nfc(_nfc(name).casefold())


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)
