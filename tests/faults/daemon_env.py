"""Daemons as people start them: settings in Vault, everything else in the environment."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sandbox.vault import Vault

SECONDS_TO_STOP = 10.0
_numbers = itertools.count(1)


class DaemonEnv:
    """What daemons need to be started.

    Attributes:
        environment: of a daemon.
        log: what daemons have to say goes there.
        temporary: where they keep temporary files.
    """

    def __init__(self, vault: Vault, folder: Path, secrets: Mapping[str, Mapping[str, object]]) -> None:
        self._vault = vault
        self._prefix = f"env-{next(_numbers)}"
        self.log = folder / "log"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.write(secrets)
        self.environment = {
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "TMPDIR": str(self.temporary),
            "VAULT_ADDR": vault.address,
            "VAULT_TOKEN": vault.token,
            "VAULT_KV_PREFIX": self._prefix,
        }

    def write(self, secrets: Mapping[str, Mapping[str, object]]) -> None:
        """Write settings into Vault."""
        for name, values in secrets.items():
            self._vault.write(f"{self._prefix}/{name}", dict(values))

    @property
    def said(self) -> str:
        """All that was logged."""
        return self.log.read_text() if self.log.exists() else ""

    @contextmanager
    def running(self, daemon: str, *arguments: str, nohup: bool = False) -> Iterator["Running"]:
        """The installed command, in a session of its own; killed at the end, if it still runs."""
        command = [str(Path(sys.executable).with_name(daemon)), "--log-level", "DEBUG", *arguments]
        with self.log.open("a") as log:
            process = subprocess.Popen(
                ["nohup", *command] if nohup else command,
                env={"PATH": os.environ["PATH"], **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield Running(process)
        finally:
            process.kill()
            process.wait()


class Running:
    """A daemon that runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def runs_for(self, seconds: float) -> bool:
        """Whether it still runs after so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def ends_within(self, seconds: float = SECONDS_TO_STOP) -> int:
        """Its exit status, if it has one in time."""
        return self._process.wait(seconds)


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
