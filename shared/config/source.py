"""Decides which Vault the settings are in: the one that the environment names, or the private one."""

from collections.abc import Mapping
from typing import Any, Protocol

from shared.cli import command_line
from shared.config.settings import Secrets
from shared.config.vault import Vault, has_token_file
from shared.errors import VaultForbidden
from shared.private_vault.layout import Layout

NAMING = ("VAULT_ADDR", "VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_K8S_ROLE")
"""The variables that name a Vault or a login. `~/.vault-token` may be stale, so it does not count."""


class SecretStore(Secrets, Protocol):
    """A Vault that may be written."""

    @property
    def where(self) -> str:
        """Which Vault this is, and why."""
        ...

    @property
    def token_expires_at(self) -> float | None:
        """Seconds since 1970; None if it does not expire, or before the first login."""
        ...

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a secret as a whole."""
        ...


def names_vault(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a Vault or a login."""
    return any(environ.get(name) for name in NAMING)


def open_vault(environ: Mapping[str, str], *, as_root: bool = False) -> SecretStore:
    """The Vault that the environment names; otherwise the private one, which is started if necessary.

    Args:
        as_root: whether to open the private one for writing.

    Raises:
        VaultForbidden: there is neither, or no login.
    """
    layout = Layout.of(environ)
    if not names_vault(environ):
        if layout.exists:
            from shared.private_vault.secrets import PrivateVault  # noqa: PLC0415 - most people have a Vault

            return PrivateVault(layout, as_root=as_root)
        if not has_token_file(environ):
            raise VaultForbidden("There are no settings yet", f"Run {command_line('settings')}.")
    return Vault(environ)
