"""Images that are skipped, and why; not downloaded again until the image, this program or a decoder changes."""

import functools
import hashlib
import threading
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from loguru import logger
from pydantic import BaseModel, TypeAdapter

from scaler.names import place_hash
from scaler.selection import Version, version
from shared.files import write_atomically
from shared.webdav.store import Entry

DEATHS = 3
"""An image is skipped after this many processes were killed while processing it."""
_LIBRARIES = ("opencv-python", "opencv-python-headless", "pillow", "tifffile", "imagecodecs")
_IMAGES = Path(__file__).parent / "images"
# Most names listed per reason in a summary.
_NAMED = 5


class _Record(BaseModel):
    """The record of one version of an image.

    Attributes:
        reason: why it is skipped; empty if it is only suspected of killing the process.
        deaths: how many processes were killed while processing it.
    """

    version: Version
    reason: str = ""
    deaths: int = 0


class _File(BaseModel):
    """The state that survives a restart.

    Attributes:
        judged_by: from `judges`.
        images: by href.
    """

    judged_by: str
    images: dict[str, _Record]


_FILE = TypeAdapter(_File)


@functools.cache
def judges() -> str:
    """Fingerprint of our image code and the decoders, which decide whether an image can be upscaled."""
    code = hashlib.sha256()
    for file in sorted(_IMAGES.rglob("*.py")):
        code.update(file.read_bytes())
    found = {name: installed_version(name) for name in ("jupyterhub-images", *_LIBRARIES)}
    return ", ".join([f"code {code.hexdigest()[:16]}", *(f"{name} {known}" for name, known in found.items() if known)])


def installed_version(distribution: str) -> str:
    """The version of a package; empty if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def summary(skipped: Mapping[str, str]) -> str:
    """One line about skipped images, such as "3 images are skipped: 2 × the file is empty (a.jpg, b.jpg), 1 × …".

    Args:
        skipped: names and reasons.
    """
    names: dict[str, list[str]] = {}
    for name, reason in sorted(skipped.items()):
        names.setdefault(reason, []).append(name)
    said = [
        f"{len(those)} × {reason} ({', '.join(those[:_NAMED])}{', …' * (len(those) > _NAMED)})"
        for reason, those in sorted(names.items(), key=lambda item: -len(item[1]))
    ]
    return f"{len(skipped)} {'image is' if len(skipped) == 1 else 'images are'} skipped: {', '.join(said)}"


class SkipList:
    """The skipped images of one raw folder, by href and version; any thread may use it.

    Args:
        folder: for such files; created when first needed.
        place: server, account and address of the raw folder.
        judged_by: as `judges`; decisions made under another fingerprint are discarded.
    """

    def __init__(self, folder: Path, place: str, judged_by: str | None = None) -> None:
        self._file = folder / f"skipped-{place_hash(place)}.json"
        self._given = judged_by
        self._lock = threading.Lock()
        self._warned = False
        self._for_now: dict[str, _Record] = {}
        self._known = self._read()
        # Since the last `save`; None for forgotten images.
        self._changes: dict[str, _Record | None] = {}

    @property
    def _judged_by(self) -> str:
        # Computed only if there is a file to read or write, because it is slow.
        return judges() if self._given is None else self._given

    def _read(self) -> dict[str, _Record]:
        try:
            found = _FILE.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its content is damaged or of an older version"
            logger.warning("{} cannot be read ({}); skipped images are tried again", self._file, reason)
            return {}
        return found.images if found.judged_by == self._judged_by else {}

    def reason(self, entry: Entry) -> str | None:
        """Why this version of an image is skipped; None if it is not."""
        for records in (self._known, self._for_now):
            record = records.get(entry.href)
            if record and record.reason and record.version == version(entry):
                return record.reason
        return None

    def __len__(self) -> int:
        records = (self._known | self._for_now).values()
        return sum(bool(record.reason) for record in records)

    def __contains__(self, entry: Entry) -> bool:
        return self.reason(entry) is not None

    def add(self, entry: Entry, reason: str, *, lasting: bool) -> None:
        """Skip this version of an image from now on.

        Args:
            reason: as it is logged.
            lasting: across restarts too; False if an option or an internal error is the reason, which may have been
                fixed in the meantime.
        """
        record = _Record(version=version(entry), reason=reason)
        with self._lock:
            if lasting:
                self._change(entry.href, record)
            else:
                self._for_now[entry.href] = record

    def is_suspect(self, entry: Entry) -> bool:
        """Whether a process was killed while processing this version of an image, and none has survived it since."""
        record = self._known.get(entry.href)
        return record is not None and record.deaths > 0 and record.version == version(entry)

    def count_death(self, href: str, seen: Version) -> None:
        """Count a process that was killed while processing this version of an image; after DEATHS it is skipped."""
        with self._lock:
            record = self._known.get(href)
            deaths = 1 + (record.deaths if record and record.version == seen else 0)
            reason = f"the scaler was killed {deaths} times while processing this image" if deaths >= DEATHS else ""
            self._change(href, _Record(version=seen, reason=reason, deaths=deaths))

    def survived(self, entry: Entry) -> None:
        """This process has processed the image, so it did not kill the others."""
        with self._lock:
            if self.is_suspect(entry):
                self._change(entry.href, None)

    def keep_only(self, entries: Iterable[Entry]) -> None:
        """Forget images that no longer exist."""
        there = {entry.href for entry in entries}
        with self._lock:
            for href in self._for_now.keys() - there:
                del self._for_now[href]
            for href in self._known.keys() - there:
                self._change(href, None)

    def _change(self, href: str, record: _Record | None) -> None:
        self._changes[href] = record
        self._apply({href: record})

    def _apply(self, changes: Mapping[str, _Record | None]) -> None:
        for href, record in changes.items():
            if record is None:
                self._known.pop(href, None)
            else:
                self._known[href] = record

    def save(self) -> None:
        """Write the file, if anything changed, keeping what another scaler has written in the meantime."""
        with self._lock:
            if self._changes:
                self._known = self._read()
                self._apply(self._changes)
                # Otherwise they are still to be written.
                if self._written():
                    self._changes = {}

    def _written(self) -> bool:
        content = _File(judged_by=self._judged_by, images=self._known)
        try:
            write_atomically(self._file, content.model_dump_json(exclude_defaults=True).encode())
        except OSError as error:
            if not self._warned:
                said = "{} cannot be written ({}); skipped images are tried again after a restart"
                logger.warning(said, self._file, error.strerror)
            self._warned = True
            return False
        return True
