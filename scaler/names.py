"""The names that images have on their way, and what can be read back from them."""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

# Nextcloud takes 250 bytes; Apache and most file systems 255.
LONGEST = 250
HIDDEN_FOLDER = ".scaler"

# What an upload is called once it is certain that it cannot be published.
REFUSED = "-refused"

_ID = r"(?P<time>\d{8}T\d{6}Z)-(?P<owner>[0-9a-f]{8})[0-9a-f]{16}"
_UPLOAD = re.compile(rf"{_ID}(?:{REFUSED})?")
_CLAIM = re.compile(rf"(?P<id>{_ID})-(?P<mark>[0-9a-f]{{8}})(?:-(?P<version>[0-9a-f]{{8}}))?~(?P<name>.+)", re.DOTALL)


def new_owner() -> str:
    """What tells the uploads of one process from all others."""
    return secrets.token_hex(4)


def new_id(owner: str, now: float | None = None) -> str:
    """The name of an upload: the time of upscaling in UTC, the owner, and a random part.

    Args:
        owner: from `new_owner`.
        now: seconds since 1970; the present if None.
    """
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)) + "-" + owner + secrets.token_hex(8)


def owner_of(upload: str) -> str | None:
    """Whose upload it is; None for a name that is no upload's."""
    match = _UPLOAD.fullmatch(upload)
    return match["owner"] if match else None


def destination_hash_of(unsorted: str) -> str:
    """The short hash that says in a claim which unsorted folder its upload belongs to."""
    return hashlib.sha256(unsorted.encode()).hexdigest()[:8]


def version_hash(size: int | None, modified: float | None) -> str:
    """A short hash of what stays with a file when it is moved, and changes when it is replaced."""
    return hashlib.sha256(f"{size} {modified}".encode()).hexdigest()[:8]


def destination_record(destination_hash: str) -> str:
    """The name of the file beside the claims that holds the path of the unsorted folder with that mark."""
    return f"unsorted-{destination_hash}.txt"


@dataclass(frozen=True, slots=True)
class ClaimName:
    """What the name of a claim says.

    Attributes:
        id: of the upload.
        mark: of its unsorted folder.
        original: the name it came with.
        version: what tells the version that was read, where the server did not make sure of it (`version_mark`).
    """

    id: str
    destination_hash: str
    original: str
    version: str = ""

    def __str__(self) -> str:
        head = f"{self.id}-{self.destination_hash}" + (f"-{self.version}" if self.version else "") + "~"
        stem, extension = split(self.original)
        return head + cut(stem, LONGEST - len(head) - len(extension.encode())) + extension

    @staticmethod
    def read(name: str) -> "ClaimName | None":
        """The parts of a claim's name; None for any other name."""
        match = _CLAIM.fullmatch(name)
        return ClaimName(match["id"], match["mark"], match["name"], match["version"] or "") if match else None


def final_name(original: str, upload: str, number: int = 1) -> str:
    """The name an upscaled image is published under.

    Args:
        original: the name it came with.
        upload: its id, whose time it bears.
        number: from 2 on where the name is taken.
    """
    stem, extension = split(original)
    tail = "_" + upload.partition("-")[0] + (f"-{number}" if number > 1 else "") + extension
    return cut(stem, LONGEST - len(tail.encode())) + tail


def name_again(original: str, number: int) -> str:
    """The name for an original that is moved back; from 2 on beside another that has taken its name."""
    stem, extension = split(original)
    tail = (f" ({number})" if number > 1 else "") + extension
    return cut(stem, LONGEST - len(tail.encode())) + tail


def split(name: str) -> tuple[str, str]:
    """Stem and extension; the dot of a hidden file begins its stem."""
    stem, dot, extension = name.rpartition(".")
    return (stem, dot + extension) if stem else (name, "")


def cut(text: str, size: int) -> str:
    """As much of the text as fits into so many bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")
