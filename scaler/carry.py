"""One picture on its whole way: from the raw folder to its publication."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from scaler import names, publish
from scaler.limits import Limits
from scaler.publish import Folders, inside
from scaler.scale import Account, Job, scale_picture
from shared.errors import Failure, Forbidden, Mismatch, NotAccepted, Stopped
from shared.stop import Stop
from shared.store import Entry, Href, Store, strong


@dataclass
class Carrier:
    """Carries pictures to one pair of folders; `carry` may be called by several threads at once.

    Attributes:
        owner: of the uploads, from `names.new_owner`.
        workdir: local folder for downloads.
        sweep: is given the claims of published pictures, and deletes them by and by.
    """

    account: Account
    folders: Folders
    owner: str
    workdir: Path
    quality: int
    limits: Limits
    stop: Stop
    sweep: Callable[[Entry, Href], None]
    _conditional: bool | None = None
    _learning: threading.Lock = field(default_factory=threading.Lock)

    def carry(self, entry: Entry) -> str | None:
        """Scale, claim and publish; the new name, or None if somebody else has taken the original.

        Raises:
            Unscalable: the picture is left where it is.
            Failure: the picture is where it was, or in its claim, where recovery finds it.
            Stopped: the same.
        """
        self.stop.check()
        upload = names.new_id(self.owner)
        job = Job(self.account, entry, inside(self.folders.uploads, upload), self.workdir, self.quality, self.limits)
        try:
            scaled = scale_picture(job)
        except (Failure, Stopped):
            self._give_up(job.upload)
            raise
        with self.account.connect() as store:
            upload = self._learn_conditions(store, upload)
            name = self._claim_and_publish(store, entry, upload)
        if name:
            logger.success(
                "{} {}x{} → {} {}x{}, {:.1f} s",
                *(entry.name, scaled.width, scaled.height, name, 2 * scaled.width, 2 * scaled.height, scaled.seconds),
            )
        return name

    def _claim_and_publish(self, store: Store, entry: Entry, upload: str) -> str | None:
        source = inside(self.folders.uploads, upload)
        conditional = bool(self._conditional) and strong(entry.etag)
        claim = publish.claim_name(upload, self.folders, entry, conditional=conditional)
        claimed = inside(self.folders.claims, str(claim))
        try:
            ours = publish.claim(store, entry, claimed, conditional=conditional)
        except publish.Unclear:
            raise
        except Failure:
            store.delete(source)
            raise
        if not ours:
            store.delete(source)
            return None
        if not conditional:
            there = store.look(claimed)
            # Where it is gone another scaler has finished it, and what is left to do is the same.
            if there and not publish.is_as_read(there, claim):
                publish.put_back(store, claimed, self.folders.raw, entry.name)
                store.delete(source)
                raise Mismatch(f"{entry.name} was replaced since it was listed")
        return self._publish(store, entry, upload, claimed)

    def _publish(self, store: Store, entry: Entry, upload: str, claimed: Href) -> str | None:
        source = inside(self.folders.uploads, upload)
        try:
            name = publish.publish(
                store, source, self.folders.unsorted, lambda n: names.final_name(entry.name, upload, n)
            )
        except (Forbidden, NotAccepted):
            withdrawn = publish.withdraw(store, source)
            if withdrawn:
                # The original goes back before its copy is dropped.
                publish.put_back(store, claimed, self.folders.raw, entry.name)
                store.delete(withdrawn)
                raise
            name = None
        self.sweep(entry, claimed)
        return name

    def _learn_conditions(self, store: Store, upload: str) -> str:
        """Find out once whether the server looks at If-Match on a MOVE; the name the upload has afterwards."""
        with self._learning:
            if self._conditional is None:
                other = names.new_id(self.owner)
                self._conditional = publish.honours_conditions(
                    store, inside(self.folders.uploads, upload), inside(self.folders.uploads, other)
                )
                if not self._conditional:
                    return other
        return upload

    def _give_up(self, upload: Href) -> None:
        """Remove an upload that nobody has claimed; if that fails, a later pass sweeps it."""
        with contextlib.suppress(Failure, Stopped), self.account.connect() as store:
            store.delete(upload)
