"""Which images go where, by their tags: pure, so that it can be decided and tested without a server."""

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shared.webdav.store import Href

# Bytes of one name; Nextcloud takes no more.
LONGEST_NAME = 250
# What is longer behind the last dot is no ending to be kept.
LONGEST_ENDING = 20
# The scaler works in folders of this name.
HIDDEN = ".scaler"
# What a server may not know to be an image by its type.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp", ".dib"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jxl", ".heic", ".heif", ".pbm", ".pgm", ".ppm", ".pnm"),
)

Path = tuple[str, ...]
"""Decoded names in NFC, from the top of the account's files down."""


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A collaborative tag.

    Attributes:
        removable: whether the account may take it off.
    """

    name: str
    id: str
    removable: bool = True


@dataclass(frozen=True, slots=True)
class File:
    """A file or folder as listed.

    Attributes:
        id: stays the same wherever it is moved.
        href: as it came; requests are sent there.
        etag: with its quotes.
        type: the media type; empty for folders and where the server does not say.
    """

    id: str
    path: Path
    href: Href
    etag: str | None
    is_folder: bool
    type: str = ""
    tags: tuple[Tag, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path[-1]

    @property
    def is_image(self) -> bool:
        """Whether it is a file of pixels, by its type or its name."""
        return not self.is_folder and (self.type.startswith("image/") or self.name.lower().endswith(EXTENSIONS))


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about tags and folders.

    Attributes:
        parent: what stands before the colon of a tag.
        unsorted: the folder that is looked into.
        images: the folder that holds a folder for each category.
        raw: the folder that the scaler looks into, where it is known.
    """

    parent: str
    unsorted: Path
    images: Path
    raw: Path | None = None

    def folder(self, category: str) -> Path:
        """Where the images of a category go."""
        return (*self.images, category)


@dataclass(frozen=True, slots=True)
class InvalidTag:
    """Why a tag that begins like one of ours leads nowhere."""

    reason: str


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """One image to be moved.

    Attributes:
        tag: the one that is taken off.
        left_on: the names of other tags that name a category as well.
    """

    file: File
    tag: Tag
    category: str
    left_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a listing; each note is a sentence about images that stay, said while it holds."""

    planned_moves: tuple[PlannedMove, ...]
    notes: tuple[str, ...]


def path(text: str) -> Path:
    """A folder as settings have it, in the form that listings are compared with."""
    return tuple(unicodedata.normalize("NFC", part) for part in text.split("/") if part)


def category_of(name: str, rules: Rules) -> str | InvalidTag | None:
    """The category that a tag names; None for a tag that is none of ours."""
    own, prefix = unicodedata.normalize("NFC", name), unicodedata.normalize("NFC", rules.parent) + ":"
    if own.startswith(prefix):
        category = own.removeprefix(prefix).strip()
        reason = _why_invalid(category, rules)
        return InvalidTag(reason) if reason else category
    if own.casefold() == prefix[:-1].casefold():
        return InvalidTag("it names no category")
    if own.casefold().startswith(prefix.casefold()):
        return InvalidTag(f'tags of categories begin with "{prefix}", in exactly these letters')
    return None


def _why_invalid(category: str, rules: Rules) -> str:
    if not category:
        return "it names no category"
    if category in (".", ".."):
        return f'a folder cannot be called "{category}"'
    if "/" in category or "\\" in category:
        return "a category is one folder name, without / and \\"
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in category):
        return "its category holds control characters"
    if len(category.encode()) > LONGEST_NAME:
        return f"its category is too long for a folder name ({LONGEST_NAME} bytes)"
    if category.casefold() == HIDDEN:
        return "the scaler works in folders of that name"
    for avoided in (rules.unsorted, rules.raw):
        if avoided and _alike(rules.folder(category), avoided):
            return f"it leads to {'/'.join(avoided)}, which is no category"
    return ""


def _alike(one: Path, other: Path) -> bool:
    """Whether some storage may take both for one folder."""
    return [_folded(part) for part in one] == [_folded(part) for part in other]


def note_of(tag: Tag, category: str | InvalidTag) -> str:
    """Why images with this tag stay where they are; empty if they do not."""
    if isinstance(category, InvalidTag):
        return f"Images with the tag {tag.name!r} stay where they are: {category.reason}"
    if not tag.removable:
        return f"Images with the tag {tag.name!r} stay where they are: this account may not take that tag off"
    return ""


def select(files: Iterable[File], rules: Rules) -> Plan:
    """Decide what to do with what lies in the unsorted folder; anything that lies elsewhere is passed over."""
    planned_moves: list[PlannedMove] = []
    notes: dict[str, None] = {}
    for file in sorted(files, key=lambda file: file.path):
        if not file.is_image or file.path[:-1] != rules.unsorted:
            continue
        named = [(tag, category) for tag in sorted(file.tags) if (category := category_of(tag.name, rules))]
        notes |= dict.fromkeys(note for tag, category in named if (note := note_of(tag, category)))
        usable = [(tag, category) for tag, category in named if isinstance(category, str) and tag.removable]
        if usable:
            (tag, category), *rest = usable
            planned_moves.append(PlannedMove(file, tag, category, tuple(other.name for other, _ in rest)))
    return Plan(tuple(planned_moves), tuple(notes))


def unfinished(files: Iterable[File], category: str, rules: Rules) -> list[File]:
    """Of the files with a category's tag, the images that lie in its folder already."""
    return [file for file in files if file.is_image and file.path[:-1] == rules.folder(category)]


def free_name(name: str, taken: Collection[str]) -> str:
    """The name itself, or with " (2)", " (3)" before its ending, whichever nothing has, cut to what a name may hold."""
    used = {_folded(other) for other in taken}
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > LONGEST_ENDING:
        stem, dot, ending = name, "", ""
    candidate, number = name, 1
    while _folded(candidate) in used:
        number += 1
        tail = f" ({number}){dot}{ending}"
        room = LONGEST_NAME - len(tail.encode())
        candidate = stem.encode()[:room].decode(errors="ignore") + tail
    return candidate


def _folded(name: str) -> str:
    """The same for all names that some storage may take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
