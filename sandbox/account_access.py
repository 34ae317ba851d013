"""What people and administrators do with an account, for tests and the demo to do and look at without WebDAV."""

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from sandbox.resources import Account
from sandbox.tree import RIGHTS, Entry


class AccountAccess:
    """Paths are relative to the account's folder ("raw/a.jpg"); FileNotFoundError if nothing is there."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._tree = account.tree
        self._tags = account.tags
        self._links: dict[str, int] = {}

    def create_tag(self, name: str, *, user_assignable: bool = True, user_visible: bool = True) -> int:
        """The id of a new tag, made with an administrator's rights. ValueError if the name is taken."""
        with self._tree.lock:
            tag = self._tags.create(name, user_visible=user_visible, user_assignable=user_assignable)
        if tag is None:
            raise ValueError(f"the tag {name!r} exists already")
        return tag.tag_id

    def delete_tag(self, name: str) -> None:
        """Delete a tag. KeyError if there is none of that name."""
        with self._tree.lock:
            self._tags.delete(self._tags.named(name).tag_id)

    def tag(self, path: str, tag_name: str) -> None:
        """Assign an existing tag to a file or folder. KeyError if there is no such tag."""
        with self._tree.lock:
            self._tags.assign(self._entry(path).file_id, self._tags.named(tag_name))

    def untag(self, path: str, tag_name: str) -> None:
        """Unassign a tag. KeyError if there is no such tag."""
        with self._tree.lock:
            self._tags.unassign(self._entry(path).file_id, self._tags.named(tag_name))

    def tags_of(self, path: str) -> set[str]:
        """The names of the visible tags of a file or folder."""
        with self._tree.lock:
            return {tag.name for tag in self._tags.on(self._entry(path).file_id)}

    def file_id(self, path: str) -> int:
        """The id of a file or folder."""
        with self._tree.lock:
            return self._entry(path).file_id

    def etag(self, path: str) -> str:
        """The ETag of a file or folder without its quotes."""
        with self._tree.lock:
            return self._entry(path).etag

    def lock(self, path: str) -> None:
        """Lock a file: requests on it get 423, a MOVE 500."""
        with self._tree.lock:
            self._entry(path).locked = True

    def unlock(self, path: str) -> None:
        """Undo `lock`."""
        with self._tree.lock:
            self._entry(path).locked = False

    def read(self, path: str) -> bytes:
        """The content of a file."""
        with self._tree.lock:
            return self._tree.disk_path(self._entry(path)).read_bytes()

    def write(self, path: str, content: bytes, *, mtime: int | None = None) -> None:
        """Upload a file, over an existing one or as a new one, with a date in seconds; makes missing folders.

        The old content becomes a version, and the checksum is cleared, as with any client. A test that writes into
        `folder` on disk does so behind the server's back: the server then finds a changed file, and keeps no version.
        """
        with self._tree.lock, tempfile.NamedTemporaryFile(dir=self._tree.spool, delete=False) as received:
            received.write(content)
            received.flush()
            parent, name = self._parent(path)
            self._tree.find(path)
            entry = self._tree.store(parent, name, Path(received.name), dated=mtime is not None)
            if mtime is not None:
                self._tree.set_mtime(entry, mtime)
            entry.upload_time = int(self._tree.clock())

    def mkdir(self, path: str) -> None:
        """Make a folder and those above it; one that is there is kept."""
        with self._tree.lock:
            self._parent(f"{path}/.")

    def rename(self, source: str, target: str) -> None:
        """Move or rename a file or folder; missing folders are made. FileExistsError if the target is taken."""
        with self._tree.lock:
            entry = self._entry(source)
            if self._tree.find(target):
                raise FileExistsError(target)
            self._tree.move(entry, *self._parent(target))

    def delete(self, path: str) -> None:
        """Delete a file or folder into the trash bin."""
        with self._tree.lock:
            self._tree.trash(self._entry(path))

    def trash(self) -> list[tuple[str, bytes]]:
        """The path and content of each file in the trash bin, in the order of their deletion."""
        with self._tree.lock:
            return [
                (str(Path(item.path.lstrip("/"), file.relative_to(item.content))), file.read_bytes())
                for item in self._tree.trashed
                for file in sorted([item.content, *item.content.rglob("*")])
                if file.is_file()
            ]

    def restore_from_trash(self, path: str) -> None:
        """Put what was last deleted from a path back there. FileExistsError if the path is taken."""
        with self._tree.lock:
            items = [item for item in self._tree.trashed if item.path == f"/{path}"]
            if not items:
                raise FileNotFoundError(path)
            if self._tree.find(path):
                raise FileExistsError(path)
            self._tree.restore_trashed(items[-1])

    def mtime(self, path: str) -> int:
        """The date of a file or folder in seconds."""
        with self._tree.lock:
            return self._entry(path).mtime

    def checksum(self, path: str) -> str:
        """The OC-Checksum header that came with the content of a file, "" without one."""
        with self._tree.lock:
            return self._entry(path).checksum

    def is_favorite(self, path: str) -> bool:
        """Whether a file or folder is a favourite."""
        with self._tree.lock:
            return self._entry(path).favorite

    def set_favorite(self, path: str, *, on: bool = True) -> None:
        """Make a file or folder a favourite, or undo that."""
        with self._tree.lock:
            self._entry(path).favorite = on

    def versions(self, path: str) -> dict[int, bytes]:
        """The earlier contents of a file that a person can restore, by their dates in seconds, the oldest first."""
        with self._tree.lock:
            entry = self._entry(path)
            listed = self._tree.listed_versions(entry)
            return {date: content.read_bytes() for date, content in listed.items() if date != entry.mtime}

    def restore_version(self, path: str, date: int) -> None:
        """Make a version the content of its file again. KeyError if none of that date is listed."""
        with self._tree.lock:
            entry = self._entry(path)
            if date == entry.mtime:
                raise KeyError(date)
            self._tree.restore_version(entry, date)

    @property
    def versioning(self) -> bool:
        """Whether the versions app is on; without it a replaced content is gone."""
        return self._tree.versioning

    @versioning.setter
    def versioning(self, on: bool) -> None:
        self._tree.versioning = on

    @property
    def before_marker(self) -> Callable[[], None] | None:
        """Called, if not None, in the middle of each assembly of an upload over a file, in the server's thread.

        The content and the ETag are new then, the date is still the old one, there is no checksum, and the file is
        locked. What it raises is answered with 500, and then the file gets its date but no checksum.
        """
        return self._account.before_marker

    @before_marker.setter
    def before_marker(self, hook: Callable[[], None] | None) -> None:
        self._account.before_marker = hook

    def set_rights(
        self, path: str, *, update: bool = True, create: bool = True, delete: bool = True, share: bool = True
    ) -> None:
        """Make a file or folder one that another user shared with the account, readable and with these rights.

        They apply to everything below too.
        """
        allowed = {"update": update, "create": create, "delete": delete, "share": share}
        with self._tree.lock:
            self._entry(path).rights = frozenset(right for right in RIGHTS if allowed[right])

    def comment(self, path: str, text: str) -> None:
        """Comment on a file or folder."""
        with self._tree.lock:
            self._entry(path).comments.append(text)

    def comments(self, path: str) -> list[str]:
        """The comments on a file or folder, the oldest first."""
        with self._tree.lock:
            return list(self._entry(path).comments)

    def create_link(self, path: str) -> str:
        """The token of a new public link to a file."""
        token = secrets.token_urlsafe(8)
        with self._tree.lock:
            self._links[token] = self._entry(path).file_id
        return token

    def read_link(self, token: str) -> bytes | None:
        """What a public link shows: the content of its file, wherever that was moved; None if the file is gone."""
        with self._tree.lock:
            entry = self._tree.by_id(self._links[token])
            return None if entry is None else self._tree.disk_path(entry).read_bytes()

    def uploads(self) -> list[str]:
        """The names of the account's upload folders."""
        with self._tree.lock:
            return sorted(self._account.uploads)

    def _parent(self, path: str) -> tuple[Entry, str]:
        """The folder of a path, made if missing, and the last name."""
        *folders, name = path.split("/")
        parent = self._tree.root
        for folder in folders:
            parent = self._tree.find(parent.below(folder)) or self._tree.add_folder(parent, folder)
        return parent, name

    def _entry(self, path: str) -> Entry:
        entry = self._tree.find(path)
        if entry is None:
            raise FileNotFoundError(path)
        return entry
