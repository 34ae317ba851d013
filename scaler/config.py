"""What the scaler needs from Vault."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from scaler.service import ScalerConfig
from shared.cli import cacert
from shared.config.settings import Secret, Secrets, WebDavSecret, folder, json_list, read_all
from shared.webdav.client import files_of


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


def read_config(vault: Secrets) -> ScalerConfig:
    """What one poll is to do, by the settings as they are now.

    Raises:
        InvalidSettings, VaultUnavailable, VaultForbidden: the settings cannot be had.
        ServerUnreachable, NotWebDav: nor can the server be asked what it is.
    """
    found = read_all(vault, {"webdav": WebDavSecret, "scaler_constants": ScalerConstants})
    webdav, constants = found["webdav"], found["scaler_constants"]
    assert isinstance(webdav, WebDavSecret) and isinstance(constants, ScalerConstants)  # noqa: S101, PT018 - for mypy
    return ScalerConfig(
        account=files_of(webdav, cacert()),
        raw=constants.RAW_REMOTE_DIR,
        unsorted=constants.UNSORTED_REMOTE_DIR,
        prefixes=tuple(constants.RAW_NAMES_PREFIXES),
    )
