"""The scaler's settings, from Vault."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from shared.cli import cacert
from shared.config.settings import Secret, Secrets, WebDavSecret, folder, json_list, read_all
from shared.webdav.account import account_of
from shared.webdav.store import Account


class ScalerConstants(Secret):
    """`scaler_constants`."""

    RAW_NAMES_PREFIXES: Annotated[
        list[Annotated[str, Field(min_length=1)]], BeforeValidator(json_list), Field(min_length=1)
    ]
    RAW_REMOTE_DIR: Annotated[str, AfterValidator(folder)]
    UNSORTED_REMOTE_DIR: Annotated[str, AfterValidator(folder)]

    @model_validator(mode="after")
    def _differ(self) -> "ScalerConstants":
        if self.RAW_REMOTE_DIR == self.UNSORTED_REMOTE_DIR:
            raise ValueError("RAW_REMOTE_DIR and UNSORTED_REMOTE_DIR must differ")
        return self


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
