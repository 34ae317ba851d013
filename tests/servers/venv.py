"""Virtual environments for servers whose packages the product does not need; made once, kept in the user's cache."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


def environment(name: str, packages: Sequence[str], more: Callable[[Path], object] = lambda _: None) -> Path:
    """A folder with the virtual environment `venv`; the test is skipped where its packages cannot be installed.

    Args:
        packages: requirements for pip; another list makes the environment anew.
        more: called with the folder once they are installed.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyterhub-images-tests" / name
    done, wanted = folder / "done", "\n".join(packages)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The tests run in several processes.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
            try:
                subprocess.run([folder / "venv/bin/pip", "install", "-q", *packages], check=True)
                more(folder)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"the packages of {name} cannot be installed: {error}")
            done.write_text(wanted)
    return folder
