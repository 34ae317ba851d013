"""One image on its whole way: from the raw folder to its publication."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from scaler import claims, names
from scaler.claims import Folders, inside
from scaler.limits import Limits
from scaler.upscale_job import Account, Job, upscale_image
from shared.errors import Cancelled, Failure, Forbidden, NotAccepted, PreconditionFailed
from shared.shutdown import StopToken
from shared.webdav.store import Entry, Href, Store, strong


@dataclass
class Pipeline:
    """Carries images to one pair of folders; `carry` may be called by several threads at once.

    Attributes:
        owner: of the uploads, from `names.new_owner`.
        workdir: local folder for downloads.
        sweep: is given the claims of published images, and deletes them by and by.
    """

    account: Account
    folders: Folders
    owner: str
    workdir: Path
    quality: int
    limits: Limits
    stop: StopToken
    clean_up: Callable[[Entry, Href], None]
    _conditional: bool | None = None
    _detecting: threading.Lock = field(default_factory=threading.Lock)

    def process(self, entry: Entry) -> str | None:
        """Scale, claim and publish; the new name, or None if somebody else has taken the original.

        Raises:
            UnsupportedImage: the image is left where it is.
            Failure: the image is where it was, or in its claim, where recovery finds it.
            Cancelled: the same.
        """
        self.stop.check()
        upload = names.new_id(self.owner)
        job = Job(self.account, entry, inside(self.folders.uploads, upload), self.workdir, self.quality, self.limits)
        try:
            upscaled = upscale_image(job)
        except (Failure, Cancelled):
            self._give_up(job.upload)
            raise
        with self.account.connect() as store:
            upload = self._detect_if_match(store, upload)
            name = self._claim_and_publish(store, entry, upload)
        if name:
            logger.success(
                "{} {}x{} → {} {}x{}, {:.1f} s",
                *(
                    entry.name,
                    upscaled.width,
                    upscaled.height,
                    name,
                    2 * upscaled.width,
                    2 * upscaled.height,
                    upscaled.seconds,
                ),
            )
        return name

    def _claim_and_publish(self, store: Store, entry: Entry, upload: str) -> str | None:
        source = inside(self.folders.uploads, upload)
        conditional = bool(self._conditional) and strong(entry.etag)
        claim = claims.claim_name(upload, self.folders, entry, conditional=conditional)
        claimed = inside(self.folders.claims, str(claim))
        try:
            ours = claims.claim(store, entry, claimed, conditional=conditional)
        except claims.OutcomeUnknown:
            raise
        except Failure:
            store.delete(source)
            raise
        if not ours:
            store.delete(source)
            return None
        if not conditional:
            there = store.stat(claimed)
            # Where it is gone another scaler has finished it, and what is left to do is the same.
            if there and not claims.is_as_read(there, claim):
                claims.release(store, claimed, self.folders.raw, entry.name)
                store.delete(source)
                raise PreconditionFailed(f"{entry.name} was replaced since it was listed")
        return self._publish(store, entry, upload, claimed)

    def _publish(self, store: Store, entry: Entry, upload: str, claimed: Href) -> str | None:
        source = inside(self.folders.uploads, upload)
        try:
            name = claims.publish(
                store, source, self.folders.unsorted, lambda n: names.final_name(entry.name, upload, n)
            )
        except (Forbidden, NotAccepted):
            discarded = claims.discard(store, source)
            if discarded:
                # The original goes back before its copy is dropped.
                claims.release(store, claimed, self.folders.raw, entry.name)
                store.delete(discarded)
                raise
            name = None
        self.clean_up(entry, claimed)
        return name

    def _detect_if_match(self, store: Store, upload: str) -> str:
        """Find out once whether the server looks at If-Match on a MOVE; the name the upload has afterwards."""
        with self._detecting:
            if self._conditional is None:
                other = names.new_id(self.owner)
                self._conditional = claims.honours_conditions(
                    store, inside(self.folders.uploads, upload), inside(self.folders.uploads, other)
                )
                if not self._conditional:
                    return other
        return upload

    def _give_up(self, upload: Href) -> None:
        """Remove an upload that nobody has claimed; if that fails, a later poll sweeps it."""
        with contextlib.suppress(Failure, Cancelled), self.account.connect() as store:
            store.delete(upload)
