"""The SHA-256 of upscaled images, noted locally before they replace their originals.

Nextcloud writes the marker last. If the server stops in the middle of a replacement, the file has the new content
without a marker; its SHA-256 identifies it. Without the notes such an image is upscaled a second time.
"""

import json
import threading
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from scaler.names import place_hash
from shared.files import write_atomically

# More than the images in flight of many interrupted polls.
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Note:
    """The content that was to replace a file: its SHA-256 (hexadecimal) and the upload's id."""

    sha256: str
    upload: str


class UploadNotes:
    """Notes by file id, kept in a small file across restarts; used by several threads at once.

    Args:
        folder: for such files; created when first needed.
        place: the address of the raw folder, account included.
    """

    def __init__(self, folder: Path, place: str) -> None:
        self._file = folder / f"uploads-{place_hash(place)}.json"
        self._lock = threading.Lock()
        self._warned = False
        self._notes: dict[str, Note] = {}
        try:
            known = json.loads(self._file.read_text())
            self._notes = {str(file_id): Note(**note) for file_id, note in known.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError, TypeError) as error:
            logger.warning("{} cannot be read ({}); continuing without it", self._file, error)

    def get(self, file_id: str | None) -> Note | None:
        """The last note about a file."""
        return self._notes.get(file_id or "")

    def add(self, file_id: str | None, note: Note) -> None:
        """Note an upload that is about to replace a file; on disk when this returns."""
        if file_id is None:
            return
        with self._lock:
            self._notes[file_id] = note
            for oldest in list(self._notes)[:-_KEPT]:
                del self._notes[oldest]
            self._write()

    def forget(self, file_id: str | None) -> None:
        """Forget a note, since the image was published; the file is written with the next note."""
        with self._lock:
            self._notes.pop(file_id or "", None)

    def _write(self) -> None:
        try:
            notes = {file_id: {"sha256": note.sha256, "upload": note.upload} for file_id, note in self._notes.items()}
            write_atomically(self._file, json.dumps(notes).encode())
        except OSError as error:
            if not self._warned:
                logger.warning("{} cannot be written ({}); continuing without it", self._file, error)
            self._warned = True
