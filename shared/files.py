"""Files: small ones that are replaced as a whole, and their size."""

import os
import tempfile
from pathlib import Path


def write_atomically(file: Path, content: bytes) -> None:
    """Replace a small file by writing to a unique temporary name first: several scalers may share the folder.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, fresh = tempfile.mkstemp(prefix=file.name, suffix=".new", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
        Path(fresh).replace(file)
    except OSError:
        Path(fresh).unlink(missing_ok=True)
        raise


def size_of(file: Path) -> int:
    """The size of a file in bytes; 0 if it cannot be told."""
    try:
        return file.stat().st_size
    except OSError:
        return 0
