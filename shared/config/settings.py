"""Settings from Vault: read and validated as a whole, and read again while the daemon runs."""

import json
import time
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from loguru import logger
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator, model_validator

from shared.cli import command_line
from shared.config import urls
from shared.errors import Failure, InvalidSettings, VaultForbidden, VaultUnavailable
from shared.redaction import hide_login

# Seconds after which a denial of access counts as permanent.
FORBIDDEN_FOR_GOOD = 3600.0


class Secret(BaseModel):
    """The keys of one path in Vault; unknown keys are ignored, since others may use them."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class WebDavSecret(Secret):
    """`webdav`: where the images are, and the account that may touch them."""

    host_url: str = ""
    url: str = ""
    username: str
    password: SecretStr

    @field_validator("host_url", "url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return urls.normal(value) if value.strip() else ""

    @field_validator("username")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        return _filled(value)

    @field_validator("password")
    @classmethod
    def _is_secret(cls, value: SecretStr) -> SecretStr:
        _filled(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _has_address(self) -> "WebDavSecret":
        if not self.url and not self.host_url:
            raise ValueError("url or host_url must be set")
        hide_login(self.username, self.password.get_secret_value())
        return self


def _filled(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def folder(value: str) -> str:
    """A remote folder, relative to the account's base: without outer slashes.

    Raises:
        ValueError: empty, or with parts that lead elsewhere.
    """
    parts = [part for part in value.strip().split("/") if part]
    if not parts:
        raise ValueError("must name a folder")
    if any(part in (".", "..") or any(map(_is_control, part)) for part in parts):
        raise ValueError("must not contain '.', '..' or control characters")
    return "/".join(parts)


def prefix(value: str) -> str:
    """How the names of files begin.

    Raises:
        ValueError: empty, or with a slash, so that no name begins like that.
    """
    if not value or "/" in value:
        raise ValueError("must be the beginning of file names, without a slash")
    return value


def _is_control(char: str) -> bool:
    """Whether it is a control character or a lone surrogate, which no address can hold."""
    return unicodedata.category(char) in ("Cc", "Cs")


def json_list(value: Any) -> Any:
    """A list, or the JSON string that `vault kv put` makes of one."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError('must be a list such as ["Unknown"]') from error
    return value


class Secrets(Protocol):
    """A store of secrets, such as `shared.config.vault.Vault`."""

    def read(self, name: str) -> dict[str, Any] | None:
        """The keys and values of a secret; None if there is no such secret."""
        ...

    def path(self, name: str) -> str:
        """The full path of a secret, for messages."""
        ...


def read_all(vault: Secrets, wanted: Mapping[str, type[Secret]]) -> dict[str, Secret]:
    """Read and validate several secrets.

    Raises:
        InvalidSettings: names everything that is missing or wrong, in all of them.
        VaultUnavailable, VaultForbidden: a secret cannot be read.
    """
    found: dict[str, Secret] = {}
    problems: list[str] = []
    for name, kind in wanted.items():
        values = vault.read(name)
        if values is None:
            keys = ", ".join(kind.model_fields)
            problems.append(f"{vault.path(name)} is missing; it needs {keys}")
            continue
        try:
            found[name] = kind.model_validate(values)
        except ValidationError as error:
            problems.extend(f"{vault.path(name)}: {in_words(detail)}" for detail in error.errors())
    if problems:
        raise InvalidSettings(
            "Settings in Vault are missing or wrong:\n  " + "\n  ".join(problems),
            f"Enter them with {command_line('settings')}, or with `vault kv put`.",
        )
    return found


def in_words(detail: Any) -> str:
    """One validation error of pydantic, without the value, which may be a secret."""
    where = ".".join(str(part) for part in detail["loc"])
    what = "is missing" if detail["type"] == "missing" else str(detail["msg"]).removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


class SettingsSource[S]:
    """The current settings; if Vault is unavailable, the last valid ones.

    Args:
        read: reads them all, or raises.
        clock: seconds, monotonic.
    """

    def __init__(self, read: Callable[[], S], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._last: S | None = None
        self._forbidden_since: float | None = None
        self._said = ""

    def current(self) -> S:
        """The settings as they are in Vault now; if that fails, the last valid ones.

        Raises:
            VaultUnavailable, VaultForbidden, InvalidSettings: at the first call.
            VaultForbidden: Vault has denied access for an hour.
        """
        try:
            settings = self._read()
        except (VaultUnavailable, VaultForbidden, InvalidSettings) as failure:
            return self._last_valid(failure)
        if self._said:
            logger.info("Settings are read from Vault again")
        self._last, self._forbidden_since, self._said = settings, None, ""
        return settings

    def _last_valid(self, failure: Failure) -> S:
        if self._last is None:
            raise failure
        if isinstance(failure, VaultForbidden):
            self._forbidden_since = self._forbidden_since or self._clock()
            if self._clock() - self._forbidden_since >= FORBIDDEN_FOR_GOOD:
                raise failure
        else:
            self._forbidden_since = None
        if str(failure) != self._said:
            logger.warning("{}{} The last valid settings remain in use.", failure, "" if failure.hint else ".")
            self._said = str(failure)
        return self._last
