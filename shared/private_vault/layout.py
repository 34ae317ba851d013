"""The files of the private Vault."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SECRETS = ("webdav", "scaler_constants", "mover_constants")
"""The secrets that the daemons may read."""


@dataclass(frozen=True, slots=True)
class Layout:
    """All files are in one folder that only its owner may enter.

    Attributes:
        folder: appears under this name once the Vault in it is complete.
    """

    folder: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """The folder below `$XDG_DATA_HOME`, or `~/.local/share`."""
        home = Path(environ.get("HOME") or "~").expanduser()
        data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
        return cls(data / "jupyterhub-images" / "vault")

    @property
    def exists(self) -> bool:
        """Whether there is a private Vault."""
        return self.secret_id.is_file()

    @property
    def data(self) -> Path:
        """Raft's files."""
        return self.folder / "data"

    @property
    def authority(self) -> Path:
        """The certificate of the certificate authority, which clients pin."""
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        """The server's private key."""
        return self.folder / "server-key.pem"

    @property
    def config(self) -> Path:
        """OpenBao's configuration, written at each start."""
        return self.folder / "config.json"

    @property
    def unseal_key(self) -> Path:
        """What unseals it."""
        return self.folder / "unseal-key"

    @property
    def root_token(self) -> Path:
        """The token that may do everything."""
        return self.folder / "root-token"

    @property
    def role_id(self) -> Path:
        """The AppRole that may read SECRETS."""
        return self.folder / "role-id"

    @property
    def secret_id(self) -> Path:
        """The secret id of that AppRole."""
        return self.folder / "secret-id"

    @property
    def version(self) -> Path:
        """The version of OpenBao that last used the data."""
        return self.folder / "version"

    @property
    def snapshots(self) -> Path:
        """Copies of the data from before an upgrade."""
        return self.folder / "snapshots"

    @property
    def address(self) -> Path:
        """Where the server listens, or listened last."""
        return self.folder / "address"

    @property
    def log(self) -> Path:
        """The server's output."""
        return self.folder / "log"

    @property
    def server_lock(self) -> Path:
        """Locked by the one process that runs the server."""
        return self.folder / "server.lock"

    @property
    def stop_request(self) -> Path:
        """Created to ask that process to stop."""
        return self.folder / "stop"

    @property
    def use_lock(self) -> Path:
        """Locked, and shared, by each process that uses the server."""
        return self.folder / "use.lock"

    def holds(self, name: str) -> str:
        """The content of one of the files, such as "root-token"; empty if it is missing."""
        try:
            return (self.folder / name).read_text().strip()
        except FileNotFoundError:
            return ""

    def write(self, file: Path, text: str) -> None:
        """Write a file as a whole, on the disk before it appears, and only readable by its owner."""
        new = file.with_name(file.name + ".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)


class Lock:
    """A lock on a file (flock(2)), which lasts until it is closed or collected, or the process ends."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def take(self, how: int) -> None:
        """Take the lock, as flock(2) says."""
        fcntl.flock(self._descriptor, how)

    def close(self) -> None:
        """Release it; a child process that was forked in the meantime keeps it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def lock(file: Path, *, shared: bool = False) -> Lock:
    """Wait for a lock."""
    held = Lock(file)
    held.take(fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    return held


def try_lock(file: Path) -> Lock | None:
    """An exclusive lock, or None if another process has one."""
    held = Lock(file)
    try:
        held.take(fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    return held


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Make files that are created in the block readable by the user alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
