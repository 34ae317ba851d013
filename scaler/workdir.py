"""A private local folder for downloads, removed when its process has ended."""

import contextlib
import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "jupyterhub-images-scaler-"
_LOCK = "in-use"
# Seconds; a younger folder may not have its lock yet.
_JUST_MADE = 60.0


@contextlib.contextmanager
def workdir() -> Iterator[Path]:
    """A new folder, locked while in use; also removes the folders of dead processes."""
    sweep()
    with contextlib.ExitStack() as closing:
        folder = _locked(closing)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked(closing: contextlib.ExitStack) -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = closing.enter_context((folder / _LOCK).open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have swept it before it was locked.
        if folder.is_dir():
            return folder


def sweep() -> None:
    """Remove the folders of dead processes."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            _clean_up(folder)


def _clean_up(folder: Path) -> None:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Under the lock, so that its creator finds the folder complete or gone.
            shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        if time.time() - folder.stat().st_mtime > _JUST_MADE:
            shutil.rmtree(folder, ignore_errors=True)
