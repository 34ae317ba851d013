"""The files of one Nextcloud account: a folder on disk, and what Nextcloud stores about each file besides its bytes."""

import contextlib
import hashlib
import itertools
import os
import shutil
import stat
import threading
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# As after a fresh installation. The number of digits soon changes, which exposes code that sorts ids as text.
FIRST_ID = 93
RIGHTS = frozenset({"share", "update", "create", "delete"})


@dataclass(eq=False, slots=True)
class Entry:
    """A file or folder; it stays the same object, with the same id, wherever it is moved.

    versions: earlier contents, by the date that the content had, in seconds. rights: what the user who shared this file
    or folder with the account allows, for everything below it too; None if it is not the top of a share. inode: changes
    when another file takes its place on Nextcloud's disk; a PUT writes into the same one.
    """

    file_id: int
    name: str
    disk_name: str
    parent: "Entry | None"
    is_folder: bool
    etag: str = ""
    mtime: int = 0
    size: int = 0
    upload_time: int = 0
    checksum: str = ""
    favorite: bool = False
    locked: bool = False
    rights: frozenset[str] | None = None
    comments: list[str] = field(default_factory=list)
    versions: dict[int, Path] = field(default_factory=dict)
    storage_mtime: int = -1
    inode: int = 0
    seen: tuple[int, int] = (-1, -1)
    children: dict[str, "Entry"] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path below the account's folder, "/" for that folder itself."""
        return "/" + "/".join(entry.name for entry in self.lineage()[1:])

    def below(self, name: str) -> str:
        """The path of what has this name in this folder."""
        return f"{self.path.rstrip('/')}/{name}"

    def lineage(self) -> list["Entry"]:
        """The entries from the top down to this one."""
        entries = [self]
        while entries[-1].parent is not None:
            entries.append(entries[-1].parent)
        return entries[::-1]

    def walk(self) -> Iterator["Entry"]:
        """This entry and all entries below it."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    def total_size(self) -> int:
        """Bytes in this file, or in all files below this folder."""
        return sum(child.total_size() for child in self.children.values()) if self.is_folder else self.size

    def allows(self, right: str) -> bool:
        """Whether the account has one of RIGHTS here: no share on the way down withholds it."""
        return all(entry.rights is None or right in entry.rights for entry in self.lineage())

    def allows_removal(self) -> bool:
        """Whether the account may delete it or move it elsewhere; the top of a share may always leave."""
        return self.rights is not None or self.allows("delete")


@dataclass(frozen=True, slots=True)
class Trashed:
    """A deleted file or folder: its path before, and where its bytes are now."""

    entry: Entry
    path: str
    content: Path


class Tree:
    """Entries over a folder on disk. Changes that others make on disk are noticed when the path is next asked for.

    Callers hold `lock` around everything that must be atomic.
    """

    def __init__(self, top: Path, clock: Callable[[], float]) -> None:
        self.folder, self.spool, self._versions, self._trash = (
            top / name for name in ("files", "spool", "versions", "trash")
        )
        for folder in (self.folder, self.spool, self._versions, self._trash):
            folder.mkdir()
        self.clock = clock
        self.versioning = True
        self.trashed: list[Trashed] = []
        self.lock = threading.RLock()
        self._next_id = FIRST_ID
        self._last_unique = 0
        self._entries: dict[int, Entry] = {}
        self.root = self._new_entry("", "", None, is_folder=True)

    def find(self, path: str) -> Entry | None:
        """The entry at a path ("/a/b", any Unicode form), or None."""
        entry = self.root
        for name in split(path):
            if not entry.is_folder:
                return None
            child = self._refresh_child(entry, name)
            if child is None:
                return None
            entry = child
        return entry

    def by_id(self, file_id: int) -> Entry | None:
        """The entry with this id, None if it is gone or in the trash bin."""
        entry = self._entries.get(file_id)
        if entry is None or not self.is_attached(entry):
            return None
        return entry if self.find(entry.path) is entry else None

    def disk_path(self, entry: Entry) -> Path:
        """Where an entry's bytes are."""
        return self.folder.joinpath(*(each.disk_name for each in entry.lineage()[1:]))

    def refresh(self, folder: Entry) -> None:
        """Notice what was added, changed or removed on disk in or below a folder."""
        found: dict[str, os.DirEntry[str]] = {}
        with os.scandir(self.disk_path(folder)) as listing:
            for item in listing:
                found.setdefault(unicodedata.normalize("NFC", item.name), item)
        for name in [name for name in folder.children if name not in found]:
            del folder.children[name]
            self.changed_in(folder)
        for name, item in sorted(found.items()):
            child = self._take(folder, name, item.name, item.stat(follow_symlinks=False))
            if child.is_folder:
                self.refresh(child)

    def add_folder(self, parent: Entry, name: str) -> Entry:
        """Make an empty folder."""
        path = self.disk_path(parent) / name
        path.mkdir()
        return self._take(parent, name, name, path.stat())

    def store(self, parent: Entry, name: str, content: Path, *, dated: bool = False) -> Entry:
        """Put a received file in its place, as a new one or over an existing one, which becomes a version.

        `dated`: the client gives the file a date, with `set_mtime` after this. The folders then keep theirs.
        """
        if dated and name in parent.children:
            with _keeping_dates(parent):
                return self.store(parent, name, content)
        now = self.clock()
        existing = parent.children.get(name)
        path = self.disk_path(existing) if existing else self.disk_path(parent) / name
        if existing:
            self._keep_version(existing)
        os.utime(content, (int(now), int(now)))
        content.replace(path)
        return self._take(parent, name, existing.disk_name if existing else name, path.stat())

    def restore_version(self, entry: Entry, date: int) -> None:
        """Make a version the content again, with its date; what was the content becomes a version."""
        version = entry.versions.pop(date)
        if entry.mtime != date:
            self._keep_version(entry)
        version.replace(self.disk_path(entry))
        entry.inode += 1
        self.set_mtime(entry, date)

    def listed_versions(self, entry: Entry) -> dict[int, Path]:
        """The contents that Nextcloud lists, by date, the oldest first and the current one among them.

        Two contents of one date are one to Nextcloud: the current one hides a version of its own date.
        """
        return dict(sorted((entry.versions | {entry.mtime: self.disk_path(entry)}).items()))

    def truncate(self, entry: Entry) -> None:
        """Empty a file, as Nextcloud does when the PUT that was to replace it is cut off."""
        path = self.disk_path(entry)
        os.truncate(path, 0)
        os.utime(path, (self.clock(), self.clock()))
        entry.storage_mtime = -1
        self._notice(entry, path.stat())

    def set_mtime(self, entry: Entry, mtime: int) -> None:
        """Date a file. Nextcloud takes a file of another date for a changed one: its checksum goes."""
        path = self.disk_path(entry)
        os.utime(path, (mtime, mtime))
        if entry.parent:
            with _keeping_dates(entry.parent):
                self._notice(entry, path.stat())

    def move(self, source: Entry, parent: Entry, name: str) -> None:
        """Move or rename; id and ETag stay. Nothing may be at the destination."""
        self.disk_path(source).rename(self.disk_path(parent) / name)
        self._leave(source)
        self._attach(source, parent, name)

    def copy(self, source: Entry, parent: Entry, name: str) -> Entry:
        """Copy; files get new ids, and keep their ETags."""
        target = self.disk_path(parent) / name
        if source.is_folder:
            shutil.copytree(self.disk_path(source), target)
        else:
            shutil.copy2(self.disk_path(source), target)
        copied = self._take(parent, name, name, target.stat())
        if copied.is_folder:
            self.refresh(copied)
        else:
            copied.etag = source.etag
            copied.upload_time = int(self.clock())
        return copied

    def remove(self, entry: Entry) -> None:
        """Delete a file, or a folder with all below it, for good."""
        path = self.disk_path(entry)
        if entry.is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()
        self._leave(entry)

    def trash(self, entry: Entry) -> None:
        """Delete a file or folder into the trash bin, from where it comes back with id and versions."""
        content = self._trash / f"{len(self.trashed)}-{entry.file_id}"
        item = Trashed(entry, entry.path, content)
        self.disk_path(entry).rename(content)
        self._leave(entry)
        self.trashed.append(item)

    def restore_trashed(self, item: Trashed) -> None:
        """Put what was deleted back where it was, into the account's folder if its own is gone."""
        folder, _, name = item.path.rpartition("/")
        parent = self.find(folder) or self.root
        item.content.rename(self.disk_path(parent) / name)
        self.trashed.remove(item)
        self._attach(item.entry, parent, name)

    def is_attached(self, entry: Entry) -> bool:
        """Whether an entry that was found earlier is still in the tree."""
        lineage = entry.lineage()
        above_and_below = itertools.pairwise(lineage)
        return lineage[0] is self.root and all(up.children.get(low.name) is low for up, low in above_and_below)

    def changed_in(self, folder: Entry) -> None:
        """Give a folder and all above it a new ETag."""
        etag, now = self.unique(), int(self.clock())
        for entry in folder.lineage():
            entry.etag = etag
            entry.mtime = max(entry.mtime, now)

    def _keep_version(self, entry: Entry) -> None:
        """Make the current content of a file a version under its date; an empty one is not kept."""
        if not self.versioning or not entry.size:
            return
        version = self._versions / f"{entry.file_id}.v{entry.mtime}"
        version.unlink(missing_ok=True)
        version.hardlink_to(self.disk_path(entry))
        entry.versions[entry.mtime] = version

    def _attach(self, entry: Entry, parent: Entry, name: str) -> None:
        entry.name, entry.disk_name, entry.parent = name, name, parent
        parent.children[name] = entry
        self.changed_in(parent)

    def _leave(self, entry: Entry) -> None:
        if entry.parent is not None:
            del entry.parent.children[entry.name]
            self.changed_in(entry.parent)

    def _refresh_child(self, folder: Entry, name: str) -> Entry | None:
        name = unicodedata.normalize("NFC", name)
        known = folder.children.get(name)
        base = self.disk_path(folder)
        for disk_name in dict.fromkeys([known.disk_name] if known else [name, unicodedata.normalize("NFD", name)]):
            try:
                status = (base / disk_name).lstat()
            except (OSError, ValueError):
                continue
            return self._take(folder, name, disk_name, status)
        if known:
            del folder.children[name]
            self.changed_in(folder)
        return None

    def _take(self, folder: Entry, name: str, disk_name: str, status: os.stat_result) -> Entry:
        is_folder = stat.S_ISDIR(status.st_mode)
        entry = folder.children.get(name)
        if entry is None or entry.is_folder != is_folder:
            entry = self._new_entry(name, disk_name, folder, is_folder=is_folder)
            folder.children[name] = entry
            self.changed_in(folder)
        if not is_folder:
            self._notice(entry, status)
        return entry

    def _notice(self, entry: Entry, status: os.stat_result) -> None:
        if entry.seen == (status.st_mtime_ns, status.st_size):
            return
        mtime = int(status.st_mtime)
        # As in Nextcloud's scanner: while the date is the same in whole seconds, the ETag stays, whatever the size.
        if mtime != entry.storage_mtime:
            entry.etag = hashlib.md5(f"{mtime} {entry.file_id} {entry.inode} {status.st_size}".encode()).hexdigest()  # noqa: S324 -- guards nothing
        entry.storage_mtime = entry.mtime = mtime
        entry.size = status.st_size
        entry.checksum = ""
        entry.seen = (status.st_mtime_ns, status.st_size)
        if entry.parent is not None:
            self.changed_in(entry.parent)

    def _new_entry(self, name: str, disk_name: str, parent: Entry | None, *, is_folder: bool) -> Entry:
        entry = Entry(self._next_id, name, disk_name, parent, is_folder, etag=self.unique(), mtime=int(self.clock()))
        self._entries[entry.file_id] = entry
        self._next_id += 1
        return entry

    def unique(self) -> str:
        """Like PHP's uniqid(): the time in microseconds, never the same twice."""
        self._last_unique = max(self._last_unique + 1, int(self.clock() * 1_000_000))
        seconds, micros = divmod(self._last_unique, 1_000_000)
        return f"{seconds:08x}{micros:05x}"


@contextlib.contextmanager
def _keeping_dates(folder: Entry) -> Iterator[None]:
    """Let a folder and those above it have the dates afterwards that they had before."""
    dates = [(entry, entry.mtime) for entry in folder.lineage()]
    yield
    for entry, date in dates:
        entry.mtime = date


def split(path: str) -> list[str]:
    """The names in a path, in NFC."""
    return [unicodedata.normalize("NFC", name) for name in path.split("/") if name]
