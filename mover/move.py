"""One image into its category's folder, whatever others do meanwhile."""

import asyncio
from collections import defaultdict

from loguru import logger

from mover.nextcloud import Nextcloud
from mover.selection import File, Path, PlannedMove, Rules, free_name
from shared.errors import (
    ErrorPolicy,
    Failure,
    Forbidden,
    NotAccepted,
    NotFound,
    ParentNotFound,
    PreconditionFailed,
    ServerUnavailable,
    ServerUnreachable,
)
from shared.retry import RetryPolicy

# Names tried for one image, in case others take the free ones meanwhile.
NAMES = 5


class FolderUnusable(Failure):
    """A category's folder cannot be made or used, whichever image is to go there."""

    policy = ErrorPolicy.SKIP


class ServerDown(ServerUnavailable):
    """The server does not even say what lies where, so no other image would fare better."""


class FileMover:
    """Moves images for one task, several at a time.

    Args:
        retry: repeats what the server was not able to do.
    """

    def __init__(self, nextcloud: Nextcloud, rules: Rules, retry: RetryPolicy) -> None:
        self._nextcloud = nextcloud
        self._rules = rules
        self._retry = retry
        self._there: set[Path] = set()
        self._making: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def move(self, planned: PlannedMove) -> str | None:
        """Move an image into its category's folder, never over another.

        Returns:
            the name it has there; None if it was taken away meanwhile.

        Raises:
            PreconditionFailed: it was changed meanwhile.
            Failure: it lies where it was, as far as can be known.
        """
        folder = self._rules.folder(planned.category)
        return await self._retry.call_async(lambda: self._move(planned.file, folder))

    async def _move(self, file: File, folder: Path) -> str | None:
        """May be repeated: what an earlier try has done is found."""
        name = file.name
        for _ in range(NAMES):
            await self._make(folder)
            try:
                await self._nextcloud.move(file, (*folder, name))
            except (
                PreconditionFailed,
                NotFound,
                ParentNotFound,
                Forbidden,
                ServerUnavailable,
                ServerUnreachable,
            ) as failure:
                # None of these tells what happened: a try whose answer was lost may have moved it, and a Nextcloud
                # answers a lost race with 403 too.
                if not await self._still_there(file):
                    return await self._found_in(folder, file)
                name = await self._other_name(failure, file, folder, name)
            else:
                return name
        raise NotAccepted(f"No name could be had in {'/'.join(folder)}: others take them all")

    async def _still_there(self, file: File) -> bool:
        try:
            now = await self._nextcloud.stat(file.path)
        except ServerUnavailable as busy:
            raise ServerDown(busy.message, busy.hint, retry_after=busy.retry_after) from None
        if now is None or now.id != file.id:
            return False
        if now.etag != file.etag:
            raise PreconditionFailed(f"{file.name} was changed since it was listed")
        return True

    async def _found_in(self, folder: Path, file: File) -> str | None:
        """The name under which a file came there after all, by a try that looked lost or by another mover."""
        return next((other.name for other in await self._files_in(folder) if other.id == file.id), None)

    async def _other_name(self, failure: Failure, file: File, folder: Path, name: str) -> str:
        """The name for the next try, if there is to be one."""
        if isinstance(failure, PreconditionFailed):
            return free_name(file.name, [other.name for other in await self._files_in(folder)])
        if isinstance(failure, ParentNotFound):
            await self._check_folder(folder)
            return name
        raise failure

    async def _files_in(self, folder: Path) -> tuple[File, ...]:
        try:
            return (await self._nextcloud.list_folder(folder)).files
        except NotFound:
            return ()

    # --- folders ------------------------------------------------------------------------------------------------------

    async def _make(self, folder: Path) -> None:
        """Make sure, once, that a folder is there."""
        async with self._making[folder]:
            if folder in self._there:
                return
            try:
                made = await self._make_with_parents(folder)
            except (Forbidden, NotAccepted) as failure:
                raise FolderUnusable(f"The folder {'/'.join(folder)} cannot be made ({failure.message})") from None
            self._there.add(folder)
            if made:
                logger.info("Made the folder {}", "/".join(folder))

    async def _make_with_parents(self, folder: Path) -> bool:
        try:
            return await self._nextcloud.make_folder(folder)
        except ParentNotFound:
            # One that was there is no folder.
            if len(folder) == 1 or not await self._make_with_parents(folder[:-1]):
                raise FolderUnusable(f"The folder {'/'.join(folder)} cannot be made: a file is in its way") from None
        return await self._nextcloud.make_folder(folder)

    async def _check_folder(self, folder: Path) -> None:
        """Find out why nothing can be moved into a folder that was there: taken away, or a file."""
        self._there.discard(folder)
        there = await self._nextcloud.stat(folder)
        if there is not None and not there.is_folder:
            raise FolderUnusable(f"{'/'.join(folder)} is a file, so nothing can be filed there")
