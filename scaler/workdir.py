"""A private folder for downloads that goes with its process, however that ends."""

import contextlib
import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "jupyterhub-images-scaler-"
_LOCK = "in-use"
# A folder this young may not have got its lock yet.
_JUST_MADE = 60.0


@contextlib.contextmanager
def workdir() -> Iterator[Path]:
    """A new folder, locked while in use; sweeps what dead processes have left."""
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of processes that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if _abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _JUST_MADE
