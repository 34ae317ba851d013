"""Finds tagged images in the unsorted folder, and leftovers of interrupted movers, in as few requests as possible."""

import contextlib
import functools
import urllib.parse
from collections import deque
from dataclasses import dataclass, replace

from mover.selection import Leftover, Rules, leftovers_in, lying_in, notes_of, usable_tags
from mover.tags import TagClient
from shared.backoff import Backoff
from shared.errors import NotFound
from shared.retry import RetryPolicy
from shared.webdav.store import Entry, Href, Listing, Prop, Store, Tag

# Seconds between two searches for leftovers.
ROUND_EVERY = 600.0
_OF_FILE = (Prop.TYPE, Prop.ETAG, Prop.MEDIA_TYPE, Prop.FILE_ID, Prop.TAGS)
# Nextcloud lists a collection of tags itself only if a property is requested that it has: its type.
_OF_TAG = (Prop.TYPE, Prop.TAG_ID, Prop.TAG_NAME, Prop.TAG_ASSIGNABLE)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a poll found.

    Attributes:
        files: in the unsorted folder, with their tags.
        notes: sentences about images that stay, in addition to those that follow from `files`.
        leftovers: found by the same requests.
    """

    files: tuple[Entry, ...]
    notes: tuple[str, ...] = ()
    leftovers: tuple[Leftover, ...] = ()


class Scanner:
    """Finds the work in one account.

    One listing of the unsorted folder contains file ids, ETags and tags. An image that was moved but not untagged is in
    the folder of a category whose tag is in use. One request lists the tags in use, and the folder of each is listed:
    all of them in the first poll, one per poll later.

    Args:
        root_url: of the Nextcloud.
        retry: for its clock and its stop token.

    Attributes:
        tags_listed: whether listings contain tags. On older servers, every poll searches the account for each tag.
    """

    def __init__(self, root_url: str, rules: Rules, tags: TagClient, retry: RetryPolicy) -> None:
        self.tags_listed = True
        self._root_url = root_url
        self._rules = rules
        self._tags = tags
        self._retry = retry
        self._round_began: float | None = None
        # Whether a tag could not be removed since then, and when that is tried again.
        self._unfinished = False
        self._backoff = Backoff()
        self._to_list: deque[tuple[Tag, str]] = deque()

    @property
    def round_due(self) -> bool:
        """Whether it is time to search all folders for leftovers."""
        now = self._retry.stop.clock()
        if self._round_began is None or now - self._round_began >= ROUND_EVERY:
            return True
        return self._unfinished and self._backoff.is_over(now)

    def start_over(self) -> None:
        """Search all folders for leftovers soon, since a tag could not be removed: later after each failure."""
        self._unfinished = True
        self._backoff.fail(self._retry.stop.clock())

    def scan(self, store: Store) -> Scan:
        """Scan the unsorted folder.

        Raises:
            NotFound: the folder does not exist.
        """
        if self.tags_listed:
            listing = list_unsorted(store, self._rules)
            self.tags_listed = has_tags(listing)
            if self.tags_listed:
                complaint = listing.complaint(self._rules.unsorted)
                return Scan(listing.entries, (complaint,) if complaint else ())
        return self._search(store)

    def leftovers(self, store: Store, scan: Scan) -> list[Leftover]:
        """Find what interrupted movers left; call it after filing the images that `scan` found."""
        due, at_once = self.round_due, self._round_began is None or self._unfinished
        if due:
            if not self._unfinished:
                self._backoff = Backoff()
            self._unfinished = False
            in_use = list_tags(store, self._root_url, "systemtags-assigned/image") if self.tags_listed else []
            self._to_list = deque(usable_tags(in_use, self._rules))
            self._round_began = self._retry.stop.clock()
        # Otherwise at most one request in addition to the listing of the unsorted folder.
        count = len(self._to_list) if due and at_once else int(not due and bool(self._to_list))
        found = list(scan.leftovers)
        for _ in range(count):
            self._retry.stop.check()
            tag, category = self._to_list.popleft()
            folder = self._rules.folder(category)
            with contextlib.suppress(NotFound):
                found += leftovers_in(folder, store.list_folder(store.href(folder), _OF_FILE).entries, tag)
        return found

    def _search(self, store: Store) -> Scan:
        """Search the account for each tag that names a category."""
        tags = list_tags(store, self._root_url, "systemtags")
        files: dict[str | None, Entry] = {}
        leftovers: list[Leftover] = []
        for tag, category in usable_tags(tags, self._rules):
            self._retry.stop.check()
            found = self._retry(functools.partial(self._tags.tagged, tag))
            for file in lying_in(self._rules.unsorted, found):
                known = files[file.file_id].tags if file.file_id in files else None
                files[file.file_id] = replace(file, tags=(*(known or ()), tag))
            folder = self._rules.folder(category)
            leftovers += leftovers_in(folder, lying_in(folder, found), tag)
        return Scan(tuple(files.values()), notes_of(tags, self._rules), tuple(leftovers))


def list_unsorted(store: Store, rules: Rules) -> Listing:
    """The listing of the unsorted folder.

    Raises:
        NotFound: the folder does not exist.
    """
    try:
        return store.list_folder(store.href(rules.unsorted), _OF_FILE)
    except NotFound as error:
        raise NotFound(
            f"The folder {rules.unsorted} does not exist",
            "Create it, or correct mover_constants/UNSORTED_REMOTE_DIR in Vault.",
        ) from error


def has_tags(listing: Listing) -> bool:
    """Whether a listing contains tags with their ids; older servers leave them out."""
    return listing.itself.tags is not None and all(tag.id for file in listing.entries for tag in file.tags or ())


def list_tags(store: Store, root_url: str, collection: str) -> list[Tag]:
    """The tags in a collection: all that the account can see, or those in use."""
    dav = urllib.parse.urlsplit(root_url).path + "remote.php/dav/"
    entries = store.list_folder(Href(f"{dav}{collection}/"), _OF_TAG).entries
    return [tag for entry in entries for tag in entry.tags or ()]
