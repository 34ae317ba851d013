"""What lies in the unsorted folder, and what an interrupted mover has left elsewhere, in as few requests as can be."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mover.nextcloud import Nextcloud
from mover.selection import File, Rules, Tag, category_of, note_of, unfinished
from shared.errors import NotFound
from shared.retry import RetryPolicy

# How often to look for what other movers have left, seconds.
ROUND_EVERY = 600.0


@dataclass(frozen=True, slots=True)
class Scan:
    """What one poll has seen.

    Attributes:
        files: all that lies in the unsorted folder with its tags, and maybe what lies elsewhere.
        unfinished: images that lie in their category's folder, each with the tag that is still on.
        notes: sentences about images that stay, beside those that follow from `files`.
        new_round: whether a new round of looking everywhere has begun.
    """

    files: tuple[File, ...]
    unfinished: tuple[tuple[File, Tag], ...]
    notes: tuple[str, ...] = ()
    new_round: bool = False


class Scanner:
    """Looks, for one task.

    A listing of the unsorted folder tells all about it in one request: file ids, ETags and tags. A REPORT by tag finds
    what was moved and not untagged; all of them are asked for at first, later one in each poll, in rounds.

    Args:
        retry: repeats what the server was not able to do.

    Attributes:
        tags_told: whether listings tell tags. Older servers are asked tag by tag, in every poll.
    """

    def __init__(self, nextcloud: Nextcloud, rules: Rules, retry: RetryPolicy) -> None:
        self.tags_told = True
        self._nextcloud = nextcloud
        self._rules = rules
        self._retry = retry
        self._clock = retry.stop.clock
        self._round_at: float | None = None
        self._to_ask: deque[tuple[Tag, str]] = deque()

    def start_over(self) -> None:
        """Look everywhere in the next poll: a tag could not be taken off."""
        self._round_at = None

    async def stat(self) -> Scan:
        """See what there is to do.

        Raises:
            NotFound: the unsorted folder is not there.
        """
        try:
            if self.tags_told:
                listing = await self._retry.call_async(lambda: self._nextcloud.list_folder(self._rules.unsorted))
                self.tags_told = listing.tags_told
                if self.tags_told:
                    return await self._round(listing.files)
            return await self._ask_by_tag()
        except NotFound:
            raise NotFound(
                f"The folder {'/'.join(self._rules.unsorted)} is not there",
                "Make it, or correct mover_constants/UNSORTED_REMOTE_DIR in Vault.",
            ) from None

    async def _round(self, files: tuple[File, ...]) -> Scan:
        first, new = self._round_at is None, self._round_is_due()
        if new:
            tags = await self._retry.call_async(self._nextcloud.tags)
            self._to_ask = deque(_usable(tags, self._rules))
        # Beside the listing no more than one request, but for the first poll.
        asked = len(self._to_ask) if first else 0 if new else 1
        found: list[tuple[File, Tag]] = []
        for tag, category in list(self._to_ask)[:asked]:
            found += [(file, tag) for file in unfinished(await self._tagged(tag), category, self._rules)]
            self._to_ask.popleft()
        return Scan(files, tuple(found), new_round=new)

    async def _ask_by_tag(self) -> Scan:
        tags = await self._retry.call_async(self._nextcloud.tags)
        files: dict[str, File] = {}
        found: list[tuple[File, Tag]] = []
        for tag, folder in _usable(tags, self._rules):
            for file in await self._tagged(tag):
                known = files.get(file.id, replace(file, tags=()))
                files[file.id] = replace(file, tags=(*known.tags, tag))
            found += [(file, tag) for file in unfinished(files.values(), folder, self._rules) if tag in file.tags]
        named = [(tag, category) for tag in sorted(tags) if (category := category_of(tag.name, self._rules))]
        notes = tuple(note for tag, category in named if (note := note_of(tag, category)))
        return Scan(tuple(files.values()), tuple(found), notes, new_round=self._round_is_due())

    def _round_is_due(self) -> bool:
        """Whether a new round begins, which is noted."""
        now = self._clock()
        due = self._round_at is None or now - self._round_at >= ROUND_EVERY
        self._round_at = now if due else self._round_at
        return due

    async def _tagged(self, tag: Tag) -> list[File]:
        self._retry.stop.check()
        return await self._retry.call_async(lambda: self._nextcloud.tagged(tag, self._rules.unsorted))


def _usable(tags: Iterable[Tag], rules: Rules) -> list[tuple[Tag, str]]:
    """The tags that can be taken off and lead to a folder, with their categories."""
    named = [(tag, category_of(tag.name, rules)) for tag in sorted(tags)]
    return [(tag, category) for tag, category in named if isinstance(category, str) and tag.removable]
