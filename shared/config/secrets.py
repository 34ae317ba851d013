"""The three secrets that the daemons read."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from shared.config.settings import Secret, WebDavSecret, folder, json_list, prefix


class ScalerConstants(Secret):
    """`scaler_constants`."""

    RAW_NAMES_PREFIXES: Annotated[
        list[Annotated[str, AfterValidator(prefix)]], BeforeValidator(json_list), Field(min_length=1)
    ]
    RAW_REMOTE_DIR: Annotated[str, AfterValidator(folder)]
    UNSORTED_REMOTE_DIR: Annotated[str, AfterValidator(folder)]

    @model_validator(mode="after")
    def _differ(self) -> "ScalerConstants":
        if self.RAW_REMOTE_DIR == self.UNSORTED_REMOTE_DIR:
            raise ValueError("RAW_REMOTE_DIR and UNSORTED_REMOTE_DIR must differ")
        return self


class MoverConstants(Secret):
    """`mover_constants`."""

    IMAGES_ROOT_DIR: Annotated[str, AfterValidator(folder)]
    UNSORTED_REMOTE_DIR: Annotated[str, AfterValidator(folder)]
    PARENT_TAG_VALUE: Annotated[str, Field(min_length=1)]


KINDS: dict[str, type[Secret]] = {
    "webdav": WebDavSecret,
    "scaler_constants": ScalerConstants,
    "mover_constants": MoverConstants,
}
"""The secrets by name."""
