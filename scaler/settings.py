"""What the scaler needs from Vault."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from scaler.one_pass import Task
from shared.options import cacert
from shared.settings import Secret, Secrets, WebDavSecret, folder, json_list, read_all
from shared.webdav import files_of


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


def read_task(vault: Secrets) -> Task:
    """What one pass is to do, by the settings as they are now.

    Raises:
        SettingsWrong, VaultAway, VaultRefused: the settings cannot be had.
        ServerAway, NotWebDav: nor can the server be asked what it is.
    """
    found = read_all(vault, {"webdav": WebDavSecret, "scaler_constants": ScalerConstants})
    webdav, constants = found["webdav"], found["scaler_constants"]
    assert isinstance(webdav, WebDavSecret) and isinstance(constants, ScalerConstants)  # noqa: S101, PT018 - for mypy
    return Task(
        account=files_of(webdav, cacert()),
        raw=constants.RAW_REMOTE_DIR,
        unsorted=constants.UNSORTED_REMOTE_DIR,
        prefixes=tuple(constants.RAW_NAMES_PREFIXES),
    )
