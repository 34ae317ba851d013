"""The settings in the private Vault, for the daemons and for `./run.sh settings`."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from shared.config.vault import Vault
from shared.errors import VaultUnavailable
from shared.private_vault.layout import Layout, lock

_ATTEMPTS = 3


class PrivateVault:
    """The secrets in it. The server runs for as long as an object of this kind exists in any process.

    Args:
        as_root: whether to log in with the root token, which may write, instead of the daemons' AppRole.
    """

    def __init__(self, layout: Layout, *, as_root: bool = False) -> None:
        self._layout = layout
        self._as_root = as_root
        self._in_use = lock(layout.use_lock, shared=True)
        self._vault: Vault | None = None

    @property
    def where(self) -> str:
        """Which Vault this is, and why."""
        return f"the private Vault in {self._layout.folder}, since neither VAULT_ADDR nor a login is set"

    @property
    def token_expires_at(self) -> float | None:
        """As of `Vault`."""
        return self._vault.token_expires_at if self._vault else None

    def path(self, name: str) -> str:
        """The full path of a secret, for messages."""
        return f"secret/{name}"

    def read(self, name: str) -> dict[str, Any] | None:
        """The secret's keys and values; None if there is no such secret.

        Raises:
            VaultUnavailable: the server cannot be started.
        """
        return self._with_server(lambda vault: vault.read(name))

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a secret as a whole.

        Raises:
            VaultUnavailable: the server cannot be started.
        """
        self._with_server(lambda vault: vault.write(name, values))

    def close(self) -> None:
        """Stop using it."""
        self._in_use.close()

    def _with_server[T](self, work: Callable[[Vault], T]) -> T:
        # The server or its supervisor may have been killed, or another program may have taken its port.
        again = Retrying(
            retry=retry_if_exception_type(VaultUnavailable),
            stop=stop_after_attempt(_ATTEMPTS),
            before_sleep=lambda _: self._forget(),
            reraise=True,
        )
        result: T = again(lambda: work(self._opened()))
        return result

    def _forget(self) -> None:
        self._vault = None

    def _opened(self) -> Vault:
        if self._vault is None:
            start(self._layout)
            login = {
                "VAULT_ROLE_ID": self._layout.holds("role-id"),
                "VAULT_SECRET_ID_FILE": str(self._layout.secret_id),
            }
            if self._as_root:
                login = {"VAULT_TOKEN": self._layout.holds("root-token")}
            self._vault = Vault(
                {"VAULT_ADDR": self._layout.holds("address"), "VAULT_CACERT": str(self._layout.authority), **login}
            )
        return self._vault


def start(layout: Layout) -> None:
    """Start the server unless it runs; the caller has locked `use_lock`.

    Raises:
        VaultUnavailable: it does not start.
    """
    command = [sys.executable, "-P", "-m", "shared.private_vault.supervisor", str(layout.folder)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise VaultUnavailable(f"The private Vault cannot be started: {reason}")
