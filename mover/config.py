"""What the mover needs from Vault."""

from pathlib import Path
from typing import Annotated

from loguru import logger
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from mover.selection import Rules, path
from shared.cli import cacert
from shared.config import urls
from shared.config.settings import Secret, Secrets, WebDavSecret, folder, read_all
from shared.errors import VaultForbidden


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


class MoverConfig(BaseModel):
    """What one poll is to do."""

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

    def read(self) -> MoverConfig:
        """What one poll is to do, by the settings as they are now.

        Raises:
            InvalidSettings, VaultUnavailable, VaultForbidden: the settings cannot be had.
        """
        found = read_all(self._vault, {"webdav": WebDavSecret, "mover_constants": MoverConstants})
        webdav, constants = found["webdav"], found["mover_constants"]
        assert isinstance(webdav, WebDavSecret) and isinstance(constants, MoverConstants)  # noqa: S101, PT018 - for mypy
        url = webdav.url or webdav.host_url
        base = path(urls.inside_account(url))
        raw = self._raw_folder()
        return MoverConfig(
            account=Account(
                root=urls.server_root(url), username=webdav.username, password=webdav.password, cacert=cacert()
            ),
            rules=Rules(
                parent=constants.PARENT_TAG_VALUE,
                unsorted=base + path(constants.UNSORTED_REMOTE_DIR),
                images=base + path(constants.IMAGES_ROOT_DIR),
                raw=base + path(raw) if raw else None,
            ),
        )

    def _raw_folder(self) -> str:
        """The scaler's setting, where there is one: a tag may name that folder, and no image is to go there."""
        if self._raw_refused:
            return ""
        try:
            values = self._vault.read("scaler_constants") or {}
        except VaultForbidden:
            # Each further try would cost a login.
            self._raw_refused = True
            logger.debug("{} may not be read; a tag could lead to RAW_REMOTE_DIR", self._vault.path("scaler_constants"))
            return ""
        raw = values.get("RAW_REMOTE_DIR")
        try:
            return folder(raw) if isinstance(raw, str) else ""
        except ValueError:
            return ""
