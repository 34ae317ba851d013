"""The mover's settings, from Vault."""

from dataclasses import dataclass

from loguru import logger

from mover.selection import Rules
from shared.cli import cacert
from shared.config.secrets import MoverConstants
from shared.config.settings import Secrets, WebDavSecret, folder, read_all
from shared.errors import VaultForbidden
from shared.webdav.account import WebDavAccount, account_of


@dataclass(frozen=True)
class MoverConfig:
    """The settings of one poll."""

    account: WebDavAccount
    rules: Rules


class MoverSettings:
    """Reads the mover's settings, and the scaler's raw folder if the account may."""

    def __init__(self, vault: Secrets) -> None:
        self._vault = vault
        self._raw_forbidden = False

    def read(self) -> MoverConfig:
        """The settings as they are in Vault now.

        Raises:
            InvalidSettings, VaultUnavailable, VaultForbidden: they are invalid or cannot be read.
        """
        found = read_all(self._vault, {"webdav": WebDavSecret, "mover_constants": MoverConstants})
        webdav, constants = found["webdav"], found["mover_constants"]
        assert isinstance(webdav, WebDavSecret) and isinstance(constants, MoverConstants)  # noqa: S101, PT018 - for mypy
        rules = Rules(
            parent=constants.PARENT_TAG_VALUE,
            unsorted=constants.UNSORTED_REMOTE_DIR,
            images=constants.IMAGES_ROOT_DIR,
            raw=self._raw_folder(),
        )
        return MoverConfig(account_of(webdav, cacert()), rules)

    def _raw_folder(self) -> str:
        """The scaler's raw folder, if it is set: no image may be filed there, even if a tag names it."""
        if self._raw_forbidden:
            return ""
        try:
            values = self._vault.read("scaler_constants") or {}
        except VaultForbidden:
            # Each further try would cost a login.
            self._raw_forbidden = True
            logger.debug("{} cannot be read; a tag could lead to RAW_REMOTE_DIR", self._vault.path("scaler_constants"))
            return ""
        raw = values.get("RAW_REMOTE_DIR")
        try:
            return folder(raw) if isinstance(raw, str) else ""
        except ValueError:
            return ""
