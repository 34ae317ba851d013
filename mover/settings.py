"""What the mover needs from Vault."""

from pathlib import Path
from typing import Annotated

from loguru import logger
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from mover.plan import Rules, path
from shared import address
from shared.errors import VaultRefused
from shared.options import cacert
from shared.settings import Secret, Secrets, WebDavSecret, folder, read_all


class MoverConstants(Secret):
    """`mover_constants`."""

    IMAGES_ROOT_DIR: Annotated[str, AfterValidator(folder)]
    UNSORTED_REMOTE_DIR: Annotated[str, AfterValidator(folder)]
    PARENT_TAG_VALUE: Annotated[str, Field(min_length=1)]


class Account(BaseModel):
    """Where the Nextcloud is and who asks.

    Attributes:
        root: the server's, with a slash at its end.
        cacert: a file with the certificate authority of the server, where it is one of the user's own.
    """

    model_config = ConfigDict(frozen=True)

    root: str
    username: str
    password: SecretStr
    cacert: Path | None = None


class Task(BaseModel):
    """What one pass is to do."""

    model_config = ConfigDict(frozen=True)

    account: Account
    rules: Rules


class Settings:
    """The mover's settings, and the scaler's raw folder if it may be known.

    Args:
        vault: where they are read from, again and again.
    """

    def __init__(self, vault: Secrets) -> None:
        self._vault = vault
        self._raw_refused = False

    def read(self) -> Task:
        """What one pass is to do, by the settings as they are now.

        Raises:
            SettingsWrong, VaultAway, VaultRefused: the settings cannot be had.
        """
        found = read_all(self._vault, {"webdav": WebDavSecret, "mover_constants": MoverConstants})
        webdav, constants = found["webdav"], found["mover_constants"]
        assert isinstance(webdav, WebDavSecret) and isinstance(constants, MoverConstants)  # noqa: S101, PT018 - for mypy
        url = webdav.url or webdav.host_url
        base = path(address.inside_account(url))
        raw = self._raw_folder()
        return Task(
            account=Account(
                root=address.server_root(url), username=webdav.username, password=webdav.password, cacert=cacert()
            ),
            rules=Rules(
                parent=constants.PARENT_TAG_VALUE,
                unsorted=base + path(constants.UNSORTED_REMOTE_DIR),
                images=base + path(constants.IMAGES_ROOT_DIR),
                raw=base + path(raw) if raw else None,
            ),
        )

    def _raw_folder(self) -> str:
        """The scaler's setting, where there is one: a tag may name that folder, and no picture is to go there."""
        if self._raw_refused:
            return ""
        try:
            values = self._vault.read("scaler_constants") or {}
        except VaultRefused:
            # Each further try would cost a login.
            self._raw_refused = True
            logger.debug("{} may not be read; a tag could lead to RAW_REMOTE_DIR", self._vault.path("scaler_constants"))
            return ""
        raw = values.get("RAW_REMOTE_DIR")
        try:
            return folder(raw) if isinstance(raw, str) else ""
        except ValueError:
            return ""
