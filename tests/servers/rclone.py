"""`rclone serve webdav`: a server that ignores If-Match."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.servers.program import HOST, FileServer, need, running


class Rclone(FileServer):
    """A running server; `folder` is what `url` leads to."""

    password = "s3cret of rclone"


@contextlib.contextmanager
def rclone() -> Iterator[Rclone]:
    """Run rclone."""
    program = need("rclone")

    def prepare(folder: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        (folder / "files").mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CACHE_DIR": str(folder / "cache"),
            "RCLONE_USER": Rclone.username,
            "RCLONE_PASS": Rclone.password,
            # What a test writes on disk is there at once.
            "RCLONE_DIR_CACHE_TIME": "0s",
        }
        return [program, "serve", "webdav", str(folder / "files"), "--addr", f"{HOST}:{port}"], environment

    with running(prepare) as (folder, port):
        yield Rclone(folder, port)
