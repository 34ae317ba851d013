"""The names of uploads, claims and published images, and what can be read back from them."""

import hashlib
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass

from shared.filenames import fit, split

# Suffix of a discarded upload. It is "refused" because earlier versions used that word, and the uploads that they left
# must not be published either.
DISCARDED = "-refused"

_ID = r"(?P<time>\d{8}T\d{6}Z)-(?P<owner>[0-9a-f]{8})[0-9a-f]{16}"
_UPLOAD = re.compile(rf"{_ID}(?:{DISCARDED})?")
_CLAIM = re.compile(
    rf"(?P<id>{_ID})-(?P<destination>[0-9a-f]{{8}})(?:-(?P<version>[0-9a-f]{{8}}))?~(?P<name>.+)", re.DOTALL
)


def new_owner() -> str:
    """A random id that distinguishes the uploads of this process from all others."""
    return secrets.token_hex(4)


def new_id(owner: str, now: float | None = None) -> str:
    """The name of an upload: the time of upscaling in UTC, the owner, and a random part.

    Args:
        owner: from `new_owner`.
        now: seconds since 1970; None for the current time.
    """
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)) + "-" + owner + secrets.token_hex(8)


def renewed_id(upload: str) -> str:
    """Another id with the same time and owner, for another attempt to upload the same copy."""
    return upload[:-16] + secrets.token_hex(8)


def owner_of(upload: str) -> str | None:
    """The owner of an upload, from its name; None for any other name."""
    match = _UPLOAD.fullmatch(upload)
    return match["owner"] if match else None


def destination_hash(unsorted: str) -> str:
    """A short hash of the unsorted folder, for the names of claims."""
    return hashlib.sha256(unsorted.encode()).hexdigest()[:8]


def destination_record(destination: str) -> str:
    """The name of the file next to the claims that contains the path of the unsorted folder with this hash."""
    return f"unsorted-{destination}.txt"


def is_destination_record(name: str) -> bool:
    """Whether a file next to the claims is such a record."""
    return re.fullmatch(r"unsorted-[0-9a-f]{8}\.txt", name) is not None


def place_hash(place: str) -> str:
    """Hash that identifies one raw folder in the names of local files."""
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def version_hash(size: int | None, modified: float | None) -> str:
    """A short hash of size and date, which stay when a file is moved and usually change when it is replaced."""
    return hashlib.sha256(f"{size} {modified}".encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class ClaimName:
    """The parts of a claim's name.

    Attributes:
        id: of the upload.
        destination: hash of its unsorted folder (`destination_hash`).
        original: the name of the original.
        version: hash of the version that was read (`version_hash`) if the server ignores If-Match, else empty.
    """

    id: str
    destination: str
    original: str
    version: str = ""

    def __str__(self) -> str:
        head = f"{self.id}-{self.destination}" + (f"-{self.version}" if self.version else "") + "~"
        stem, extension = split(self.original)
        return fit(head + stem, extension)

    @staticmethod
    def parse(name: str) -> "ClaimName | None":
        """The parts of a claim's name; None for any other name."""
        match = _CLAIM.fullmatch(name)
        return ClaimName(match["id"], match["destination"], match["name"], match["version"] or "") if match else None


def claims_among(listed: Iterable[str]) -> list[ClaimName]:
    """The claims among the names in a folder."""
    return [claim for name in listed if (claim := ClaimName.parse(name))]


def is_usual(original: str, published: str) -> bool:
    """Whether a published name is the original's with the time of upscaling: neither cut nor numbered."""
    stem, extension = split(original)
    return re.fullmatch(rf"{re.escape(stem)}_\d{{8}}T\d{{6}}Z{re.escape(extension)}", published) is not None


def final_name(original: str, upload: str, number: int = 1) -> str:
    """The name under which an upscaled image is published.

    Args:
        original: the name of the original.
        upload: the upload's id, whose time becomes part of the name.
        number: 2 or more if the name is taken.
    """
    stem, extension = split(original)
    return fit(stem, "_" + upload.partition("-")[0] + (f"-{number}" if number > 1 else "") + extension)
