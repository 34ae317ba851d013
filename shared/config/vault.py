"""Secrets from HashiCorp Vault or OpenBao, through hvac: login, renewal and the version of the KV store.

This is the only module that imports hvac.
"""

import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import hvac.exceptions
import requests
from loguru import logger

from shared.errors import VaultForbidden, VaultUnavailable
from shared.logging import hide

TIMEOUT = 15
DEFAULT_ADDRESS = "http://127.0.0.1:8200"
SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
# Vault cannot answer now, as opposed to denying access.
_AWAY = (
    hvac.exceptions.VaultDown,
    hvac.exceptions.InternalServerError,
    hvac.exceptions.BadGateway,
    hvac.exceptions.RateLimitExceeded,
    hvac.exceptions.VaultNotInitialized,
    # Raised by requests, and if a file of certificates is missing.
    OSError,
)
# Raised by hvac when it reads an answer that is not Vault's.
_NOT_VAULT = (AttributeError, KeyError, TypeError, ValueError)
_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
)


@dataclass(frozen=True, slots=True)
class Login:
    """One way to get a token.

    Attributes:
        source: where it comes from, for the log.
        log_in: sets a fresh token on the client.
    """

    source: str
    log_in: Callable[[hvac.Client], None]


def choose_login(environ: Mapping[str, str]) -> Login:
    """The first of the standard logins that is set.

    Files with secrets are read at every login, because they are rotated.

    Raises:
        VaultForbidden: none is set.
    """
    if environ.get("VAULT_TOKEN"):
        return Login("VAULT_TOKEN", lambda client: _use_token(client, environ["VAULT_TOKEN"]))
    if environ.get("VAULT_ROLE_ID"):
        return Login("AppRole (VAULT_ROLE_ID)", lambda client: _log_in_by_approle(client, environ))
    if environ.get("VAULT_K8S_ROLE"):
        return Login("Kubernetes (VAULT_K8S_ROLE)", lambda client: _log_in_by_kubernetes(client, environ))
    if has_token_file(environ):
        return Login("~/.vault-token", lambda client: _use_token(client, _read_file(_token_file(environ))))
    raise VaultForbidden(
        "No login for Vault is set",
        "Set VAULT_TOKEN, or VAULT_ROLE_ID with VAULT_SECRET_ID, or VAULT_K8S_ROLE, or run `vault login`.",
    )


def has_token_file(environ: Mapping[str, str]) -> bool:
    """Whether `vault login` has stored a token."""
    return _token_file(environ).is_file()


def _token_file(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or "~").expanduser() / ".vault-token"


def _use_token(client: hvac.Client, token: str) -> None:
    hide(token)
    client.token = token


def _log_in_by_approle(client: hvac.Client, environ: Mapping[str, str]) -> None:
    secret_id = environ.get("VAULT_SECRET_ID")
    if not secret_id:
        if not environ.get("VAULT_SECRET_ID_FILE"):
            raise VaultForbidden(
                "VAULT_ROLE_ID is set without its secret", "Set VAULT_SECRET_ID or VAULT_SECRET_ID_FILE."
            )
        secret_id = _read_file(Path(environ["VAULT_SECRET_ID_FILE"]))
    hide(secret_id)
    answer = client.auth.approle.login(role_id=environ["VAULT_ROLE_ID"], secret_id=secret_id)
    hide(answer["auth"]["client_token"])


def _log_in_by_kubernetes(client: hvac.Client, environ: Mapping[str, str]) -> None:
    jwt = _read_file(SERVICE_ACCOUNT_TOKEN)
    hide(jwt)
    answer = client.auth.kubernetes.login(role=environ["VAULT_K8S_ROLE"], jwt=jwt)
    hide(answer["auth"]["client_token"])


def _read_file(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise VaultForbidden(
            f"{path} cannot be read ({error.strerror})", "Check this file; the login to Vault needs it."
        ) from None


class Vault:
    """The KV store with the settings.

    Reads `VAULT_ADDR`, `VAULT_NAMESPACE`, `VAULT_CACERT`, `VAULT_SKIP_VERIFY`, the login's variables (`choose_login`),
    `VAULT_KV_MOUNT` and `VAULT_KV_PREFIX`.

    Args:
        environ: the environment.
        clock: seconds, monotonic.

    Attributes:
        token_expires_at: seconds since 1970; None if it does not expire, or before the first login.

    Raises:
        VaultForbidden: no login is set.
    """

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self.address = environ.get("VAULT_ADDR") or DEFAULT_ADDRESS
        self.login = choose_login(environ)
        self._clock = clock
        self._mount = (environ.get("VAULT_KV_MOUNT") or "secret").strip("/")
        self._prefix = (environ.get("VAULT_KV_PREFIX") or "").strip("/")
        skip = environ.get("VAULT_SKIP_VERIFY", "").lower() in ("1", "t", "true")
        self._client = hvac.Client(
            url=self.address,
            token="",
            verify=False if skip else environ.get("VAULT_CACERT") or True,
            namespace=environ.get("VAULT_NAMESPACE") or None,
            timeout=TIMEOUT,
            # No proxy leads back to this machine.
            proxies={"no_proxy": "127.0.0.1,localhost"} if _is_loopback(self.address) else None,
        )
        self._version: int | None = None
        self._renew_at: float | None = None
        self.token_expires_at: float | None = None
        self._logged_in = False

    @property
    def where(self) -> str:
        """The address and the login."""
        return f"{self.address}, login by {self.login.source}"

    def path(self, name: str) -> str:
        """The full path of a secret, for messages."""
        return "/".join(part for part in (self._mount, self._prefix, name) if part)

    def read(self, name: str) -> dict[str, Any] | None:
        """The secret's keys and values; None if there is no such secret.

        Raises:
            VaultUnavailable: Vault does not answer, is sealed or fails, or something else answers.
            VaultForbidden: the token is wrong, or lacks a right to that path.
        """
        return self._translated(name, lambda: self._read(name))

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """Write a secret as a whole.

        Raises:
            VaultUnavailable, VaultForbidden: as `read`.
        """
        self._translated(name, lambda: self._write(name, values))

    def _translated[T](self, name: str, work: Callable[[], T]) -> T:
        try:
            return self._with_login(work)
        except _AWAY as error:
            raise VaultUnavailable(*_why_unavailable(self.address, error)) from error
        except _NOT_VAULT as error:
            raise VaultUnavailable(
                f"{self.address} does not answer like Vault", "Is VAULT_ADDR the address of Vault itself?"
            ) from error
        except hvac.exceptions.VaultError as error:
            raise VaultForbidden(
                f"Vault at {self.address} denied access to {self.path(name)} with the login from {self.login.source}"
                f" ({'; '.join(map(str, error.errors or [])) or type(error).__name__})",
                "The path is missing or the login may not read it: check the token or role, its policy,"
                " VAULT_KV_MOUNT, VAULT_KV_PREFIX and VAULT_NAMESPACE.",
            ) from error

    def _with_login[T](self, work: Callable[[], T]) -> T:
        fresh = self._ensure_login()
        try:
            return work()
        except hvac.exceptions.Forbidden:
            if fresh:
                raise
            self._log_in()
            return work()

    def _ensure_login(self) -> bool:
        """Log in if necessary; renew the token when half of its life is over. True if the login is new."""
        if not self._logged_in:
            self._log_in()
            return True
        if self._renew_at is not None and self._clock() >= self._renew_at:
            try:
                self._client.auth.token.renew_self()
                self._note_life()
            except hvac.exceptions.VaultError as error:
                if isinstance(error, _AWAY):
                    raise
                self._log_in()
                return True
        return False

    def _log_in(self) -> None:
        self._logged_in = False
        self.login.log_in(self._client)
        logger.debug("Logged in to Vault by {}", self.login.source)
        self._note_life()
        self._logged_in = True

    def _note_life(self) -> None:
        """Find out when to renew. Renewal cannot exceed the maximum TTL: if too little is left, log in again."""
        data = self._client.auth.token.lookup_self()["data"]
        life, granted = float(data.get("ttl") or 0), float(data.get("creation_ttl") or 0)
        self._renew_at = self._clock() + life / 2 if life else None
        self.token_expires_at = time.time() + life if life else None
        if self._logged_in and granted and life < granted / 3:
            self._log_in()

    def _read(self, name: str) -> dict[str, Any] | None:
        path = "/".join(part for part in (self._prefix, name) if part)
        kv = self._client.secrets.kv
        try:
            if self._kv_version() == 2:
                answer = kv.v2.read_secret_version(path, mount_point=self._mount, raise_on_deleted_version=True)
                data: dict[str, Any] = answer["data"]["data"]
            else:
                data = kv.v1.read_secret(path, mount_point=self._mount)["data"]
        except hvac.exceptions.InvalidPath:
            return None
        return data

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        path = "/".join(part for part in (self._prefix, name) if part)
        kv = self._client.secrets.kv
        if self._kv_version() == 2:
            kv.v2.create_or_update_secret(path, secret=dict(values), mount_point=self._mount)
        else:
            kv.v1.create_or_update_secret(path, secret=dict(values), mount_point=self._mount)

    def _kv_version(self) -> int:
        if self._version is None:
            answer = self._client.read(f"sys/internal/ui/mounts/{self._mount}")
            options = ((answer or {}).get("data") or {}).get("options") or {}
            self._version = int(options.get("version") or 1)
        return self._version


def _is_loopback(address: str) -> bool:
    try:
        return urllib.parse.urlsplit(address).hostname in ("127.0.0.1", "localhost")
    except ValueError:
        return False


def _why_unavailable(address: str, error: Exception) -> tuple[str, str]:
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"The certificate of Vault at {address} is not trusted",
            "Name the file with its certificate authority in VAULT_CACERT.",
        )
    if isinstance(error, _NO_ADDRESS):
        return f"{address} is not an address", "Set VAULT_ADDR to something like https://vault.example.com:8200."
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return f"Vault at {address} cannot be reached ({error})", "Check VAULT_CACERT."
    if isinstance(error, requests.RequestException):
        return f"Vault at {address} does not answer", "Is VAULT_ADDR right, and is Vault running?"
    if isinstance(error, hvac.exceptions.VaultDown):
        return f"Vault at {address} is sealed", "Someone with the unseal keys has to unseal it."
    return f"Vault at {address} reported an internal error ({type(error).__name__})", "Check Vault's own log."
