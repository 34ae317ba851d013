"""Prepares a new Vault and Nextcloud for the daemons: folders and settings."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault

RAW, UNSORTED, ORGANIZED = "data/AI/_raw", "data/AI/_unsorted", "data/AI/organized"


def seed(vault: Vault, nextcloud: Nextcloud, prefixes: Sequence[str] = ("Unknown",)) -> None:
    """Make the folders that the daemons work on, and write the settings into Vault."""
    for folder in (RAW, UNSORTED, ORGANIZED):
        Path(nextcloud.folder, folder).mkdir(parents=True, exist_ok=True)
    login = {"username": nextcloud.user, "password": nextcloud.password}
    vault.write("webdav", {"host_url": nextcloud.url, "url": nextcloud.files_url} | login)
    vault.write(
        "scaler_constants",
        {"RAW_NAMES_PREFIXES": list(prefixes), "RAW_REMOTE_DIR": RAW, "UNSORTED_REMOTE_DIR": UNSORTED},
    )
    vault.write(
        "mover_constants", {"IMAGES_ROOT_DIR": ORGANIZED, "UNSORTED_REMOTE_DIR": UNSORTED, "PARENT_TAG_VALUE": "ai"}
    )


def exports(vault: Vault, nextcloud: Nextcloud) -> str:
    """The addresses and logins of both servers as `export` lines for a shell."""
    variables = {
        "VAULT_ADDR": vault.address,
        "VAULT_TOKEN": vault.token,
        "NEXTCLOUD_URL": nextcloud.url,
        "NEXTCLOUD_USER": nextcloud.user,
        "NEXTCLOUD_PASSWORD": nextcloud.password,
        "NEXTCLOUD_FOLDER": str(nextcloud.folder),
    }
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
