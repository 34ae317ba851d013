"""The marker: a word in a file's checksums which says that its content was upscaled.

It belongs to the content: Nextcloud clears it when anyone else writes the file or restores a version, and keeps it when
the file is moved. It contains a time that becomes part of the published name. A file with this time in its name was
published, so it counts as an original wherever it is; any other file with a marker is unfinished.
"""

import re
from dataclasses import dataclass

from shared.webdav.store import Entry

_WORD = re.compile(r"(?:^|\s)UPSCALED:(?P<id>(?P<time>\d{8}T\d{6}Z)-[0-9a-f]+)(?=\s|$)")
PREFIX = "UPSCALED:"


@dataclass(frozen=True, slots=True)
class Marker:
    """A parsed marker.

    Attributes:
        id: of the upload, from `names.new_id`.
        time: of upscaling, as it is written in names.
    """

    id: str
    time: str

    def is_unfinished(self, name: str) -> bool:
        """Whether an image with this marker and name is still to be published."""
        return f"_{self.time}" not in name


def marker_in(checksums: str) -> Marker | None:
    """The marker among the words of `OC-Checksum` or `oc:checksums`; None if there is none."""
    match = _WORD.search(checksums)
    return Marker(match["id"], match["time"]) if match else None


def unfinished_marker(entry: Entry) -> Marker | None:
    """The marker of an image that was upscaled and is still to be published; None for every other file."""
    marker = marker_in(entry.checksums)
    return marker if marker and not entry.is_folder and marker.is_unfinished(entry.name) else None


def checksums_with_marker(sha256: str, upload: str) -> str:
    """The value of `OC-Checksum`: a true checksum, for clients that verify it, and the marker.

    Args:
        sha256: of the content, hexadecimal.
        upload: its id, from `names.new_id`.
    """
    return f"SHA256:{sha256} {PREFIX}{upload}"
