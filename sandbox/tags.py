"""Collaborative ("system") tags and what they are assigned to."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

LONGEST_NAME = 64


@dataclass(slots=True)
class Tag:
    """One tag. `user_assignable` covers unassigning too; an invisible tag does not exist for the user."""

    tag_id: int
    name: str
    user_visible: bool
    user_assignable: bool
    etag: str


class Tags:
    """All tags of the server and the ids of the files and folders that have them. Callers hold the tree's lock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tags: dict[int, Tag] = {}
        self._of_file: dict[int, set[int]] = {}

    def create(self, name: str, *, user_visible: bool, user_assignable: bool) -> Tag | None:
        """A new tag, its name cut to Nextcloud's limit; None if the name is taken, upper and lower case being equal."""
        name = name.strip()[:LONGEST_NAME]
        if any(tag.name.casefold() == name.casefold() for tag in self._tags.values()):
            return None
        tag = Tag(max(self._tags, default=0) + 1, name, user_visible, user_assignable, self._etag())
        self._tags[tag.tag_id] = tag
        return tag

    def delete(self, tag_id: int) -> None:
        """Delete a tag, and remove it from everything."""
        del self._tags[tag_id]
        for tag_ids in self._of_file.values():
            tag_ids.discard(tag_id)

    def all_visible(self) -> list[Tag]:
        """The tags that the user can see, sorted by name."""
        return sorted((tag for tag in self._tags.values() if tag.user_visible), key=lambda tag: tag.name)

    def visible(self, tag_id: int) -> Tag | None:
        """The tag with this id, None if the user cannot see one."""
        tag = self._tags.get(tag_id)
        return tag if tag and tag.user_visible else None

    def exists(self, tag_id: str) -> bool:
        """Whether there is a tag with this id, visible or not."""
        return tag_id.isdigit() and int(tag_id) in self._tags

    def named(self, name: str) -> Tag:
        """The tag with exactly this name; KeyError if there is none."""
        for tag in self._tags.values():
            if tag.name == name:
                return tag
        raise KeyError(name)

    def on(self, file_id: int) -> list[Tag]:
        """The visible tags of a file or folder, sorted by name."""
        tags = (self._tags[tag_id] for tag_id in self._of_file.get(file_id, ()))
        return sorted((tag for tag in tags if tag.user_visible), key=lambda tag: tag.name)

    def files_with(self, tag_id: int) -> set[int]:
        """The ids of the files and folders with a tag."""
        return {file_id for file_id, tag_ids in self._of_file.items() if tag_id in tag_ids}

    def assign(self, file_id: int, tag: Tag) -> bool:
        """Assign a tag; False if it was assigned already."""
        tag_ids = self._of_file.setdefault(file_id, set())
        if tag.tag_id in tag_ids:
            return False
        tag_ids.add(tag.tag_id)
        tag.etag = self._etag()
        return True

    def unassign(self, file_id: int, tag: Tag) -> bool:
        """Unassign a tag; False if it was not assigned."""
        if tag.tag_id not in self._of_file.get(file_id, ()):
            return False
        self._of_file[file_id].remove(tag.tag_id)
        tag.etag = self._etag()
        return True

    def forget(self, file_id: int) -> None:
        """Forget a file that was deleted for good."""
        self._of_file.pop(file_id, None)

    def _etag(self) -> str:
        # Made from whole seconds, as in Nextcloud: two changes within one second look like one.
        return hashlib.md5(str(int(self._clock())).encode()).hexdigest()  # noqa: S324 -- guards nothing
