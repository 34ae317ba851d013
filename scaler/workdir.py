"""A private local folder for downloads, removed when its poll or its process has ended."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from shared.errors import LocalIOError

PREFIX = "jupyterhub-images-scaler-"
_IN_USE = "in-use"
# Seconds. A younger folder may not be locked yet; a file system without locks does not show which processes are alive.
_JUST_MADE = 60.0
_SURELY_LEFT = 86400.0


@contextlib.contextmanager
def workdir() -> Iterator[Path]:
    """A new folder, locked while in use.

    The lock is on the folder itself, because programs that clean temporary folders respect that.

    Raises:
        LocalIOError: no folder can be made.
    """
    with contextlib.ExitStack() as closing:
        try:
            folder = _locked(closing)
        except OSError as error:
            raise LocalIOError(
                f"No folder for downloads can be created ({error.strerror})", "Free some space there, or set TMPDIR."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked(closing: contextlib.ExitStack) -> Path:
    while True:
        # It may have been removed since `tempfile` chose it.
        Path(tempfile.gettempdir()).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Another process may sweep it before it is locked.
        with contextlib.suppress(FileNotFoundError):
            (folder / _IN_USE).touch()
            _lock(closing, folder, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder


def _lock(closing: contextlib.ExitStack, folder: Path, kind: int) -> bool:
    """Lock a folder; False if the file system has no such locks, such as NFS.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be opened.
    """
    # The file too, for scalers of earlier versions, which check only that file.
    for path in filter(Path.exists, (folder / _IN_USE, folder)):
        file = os.open(path, os.O_RDONLY)
        closing.callback(os.close, file)
        try:
            fcntl.flock(file, kind)
        except BlockingIOError:
            raise
        except OSError:
            return False
    return True


def sweep() -> None:
    """Remove the folders of dead processes."""
    with contextlib.suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
            with contextlib.suppress(OSError):
                _clean_up(folder)


def _clean_up(folder: Path) -> None:
    with contextlib.ExitStack() as closing:
        marked = (folder / _IN_USE).exists()
        locked = _lock(closing, folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        left_after = _JUST_MADE if locked else _SURELY_LEFT
        if (marked and locked) or time.time() - folder.stat().st_mtime > left_after:
            # Under the lock, so that its creator finds it either complete or gone.
            shutil.rmtree(folder, ignore_errors=True)
