"""The scaler's settings, from Vault."""

from dataclasses import dataclass

from shared.cli import cacert
from shared.config.secrets import ScalerConstants
from shared.config.settings import Secrets, WebDavSecret, read_all
from shared.webdav.account import account_of
from shared.webdav.store import Account


@dataclass(frozen=True)
class ScalerConfig:
    """The settings of one poll.

    Attributes:
        raw, unsorted: folders, relative to the account's base.
    """

    account: Account
    raw: str
    unsorted: str
    prefixes: tuple[str, ...]


def read_config(vault: Secrets) -> ScalerConfig:
    """The settings as they are in Vault now.

    Raises:
        InvalidSettings, VaultUnavailable, VaultForbidden: they are invalid or cannot be read.
    """
    found = read_all(vault, {"webdav": WebDavSecret, "scaler_constants": ScalerConstants})
    webdav, constants = found["webdav"], found["scaler_constants"]
    assert isinstance(webdav, WebDavSecret) and isinstance(constants, ScalerConstants)  # noqa: S101, PT018 - for mypy
    return ScalerConfig(
        account=account_of(webdav, cacert()),
        raw=constants.RAW_REMOTE_DIR,
        unsorted=constants.UNSORTED_REMOTE_DIR,
        prefixes=tuple(constants.RAW_NAMES_PREFIXES),
    )
