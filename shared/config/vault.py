"""Secrets from HashiCorp Vault or OpenBao, through hvac: login, renewal and the version of the KV store.

This module and `vault_errors` are the only ones that import hvac.
"""

import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hvac
import hvac.exceptions
from loguru import logger

from shared.config import urls
from shared.config.vault_errors import NOT_VAULT, Access, MountForbidden, translated
from shared.config.vault_session import open_session
from shared.errors import VaultForbidden
from shared.redaction import hide
from shared.transport_errors import Peer

TIMEOUT = 15
DEFAULT_ADDRESS = "http://127.0.0.1:8200"
SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
# A response-wrapping token of Vault or OpenBao; a secret id is a UUID by default.
_WRAPPING_TOKEN = re.compile(r"(hv)?[sb]\.\S+")


@dataclass(frozen=True, slots=True)
class Life:
    """The lifetime of a token, in seconds; 0 if unlimited or unknown.

    Attributes:
        left: remaining lifetime.
        granted: lifetime at creation.
        proven: whether Vault has accepted the token.
    """

    left: float
    granted: float
    proven: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """One way to get a token.

    Attributes:
        source: where it comes from, for the log.
        log_in: sets a fresh token on the client.
    """

    source: str
    log_in: Callable[[hvac.Client], Life]


def choose_login(environ: Mapping[str, str]) -> Login:
    """The first of the standard logins that is set.

    Files with secrets are read at every login, because they are rotated.

    Raises:
        VaultForbidden: none is set.
    """
    environ = _stripped(environ)
    if environ.get("VAULT_TOKEN"):
        return Login("VAULT_TOKEN", lambda client: _use_token(client, environ["VAULT_TOKEN"], "VAULT_TOKEN"))
    if environ.get("VAULT_ROLE_ID"):
        return Login("AppRole (VAULT_ROLE_ID)", lambda client: _log_in_by_approle(client, environ))
    if environ.get("VAULT_K8S_ROLE"):
        return Login("Kubernetes (VAULT_K8S_ROLE)", lambda client: _log_in_by_kubernetes(client, environ))
    if has_token_file(environ):
        file = _token_file(environ)
        return Login("~/.vault-token", lambda client: _use_token(client, _read_file(file), str(file)))
    raise VaultForbidden(
        "No login for Vault is set",
        "Set VAULT_TOKEN, or VAULT_ROLE_ID with VAULT_SECRET_ID, or VAULT_K8S_ROLE, or run `vault login`.",
    )


def _stripped(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment; Vault's variables without the line ends that may come with a value from a file."""
    return {name: value.strip() if name.startswith("VAULT_") else value for name, value in environ.items()}


def has_token_file(environ: Mapping[str, str]) -> bool:
    """Whether `vault login` has stored a token."""
    return _token_file(environ).is_file()


def _token_file(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or "~").expanduser() / ".vault-token"


def _use_token(client: hvac.Client, token: str, source: str) -> Life:
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise VaultForbidden(
            f"{source} is empty or contains characters that no token has", "Set it again, or run `vault login`."
        )
    hide(token)
    client.token = token
    try:
        data = client.auth.token.lookup_self()["data"]
    except hvac.exceptions.Forbidden:
        # A token without Vault's default policy may not ask about itself.
        return Life(0, 0, proven=False)
    return Life(float(data.get("ttl") or 0), float(data.get("creation_ttl") or 0))


def _log_in_by_approle(client: hvac.Client, environ: Mapping[str, str]) -> Life:
    source = "VAULT_SECRET_ID" if environ.get("VAULT_SECRET_ID") else "VAULT_SECRET_ID_FILE"
    if not environ.get(source):
        raise VaultForbidden("VAULT_ROLE_ID is set without its secret", "Set VAULT_SECRET_ID or VAULT_SECRET_ID_FILE.")
    secret_id = environ[source] if source == "VAULT_SECRET_ID" else _read_file(Path(environ[source]))
    hide(secret_id)
    try:
        answer = client.auth.approle.login(role_id=environ["VAULT_ROLE_ID"], secret_id=secret_id)
    except (hvac.exceptions.InvalidRequest, hvac.exceptions.Forbidden) as error:
        if _WRAPPING_TOKEN.fullmatch(secret_id):
            raise VaultForbidden(
                f"{source} holds a wrapping token instead of a secret id",
                "Unwrap it (`vault unwrap -field=secret_id TOKEN`, which works once) and set the printed value,"
                " because the daemons log in repeatedly.",
            ) from error
        raise
    return _life_of(answer)


def _log_in_by_kubernetes(client: hvac.Client, environ: Mapping[str, str]) -> Life:
    jwt = _read_file(SERVICE_ACCOUNT_TOKEN)
    hide(jwt)
    return _life_of(client.auth.kubernetes.login(role=environ["VAULT_K8S_ROLE"], jwt=jwt))


def _life_of(answer: Any) -> Life:
    """The lifetime in the answer to a login."""
    hide(answer["auth"]["client_token"])
    seconds = float(answer["auth"].get("lease_duration") or 0)
    return Life(seconds, seconds)


def _read_file(path: Path) -> str:
    """A secret in a file, without white space around it and without a byte order mark."""
    try:
        return path.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise VaultForbidden(
            f"{path} cannot be read ({why})", "Check this file; the login to Vault needs it."
        ) from None


class Vault:
    """The KV store with the settings.

    Reads `VAULT_ADDR`, `VAULT_NAMESPACE`, `VAULT_CACERT`, `VAULT_CAPATH`, `VAULT_SKIP_VERIFY`, the login's variables
    (`choose_login`), `VAULT_KV_MOUNT` and `VAULT_KV_PREFIX`.

    Args:
        environ: the environment.
        clock: seconds, monotonic.

    Attributes:
        token_expires_at: seconds since 1970; None if it does not expire, or before the first login.

    Raises:
        VaultForbidden: no login is set.
        InvalidSettings: `VAULT_CAPATH` has no certificates.
    """

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        environ = _stripped(environ)
        url = environ.get("VAULT_ADDR") or DEFAULT_ADDRESS
        self.address = urls.without_login(url)
        self.login = choose_login(environ)
        self._clock = clock
        self._mount = (environ.get("VAULT_KV_MOUNT") or "secret").strip("/")
        self._prefix = (environ.get("VAULT_KV_PREFIX") or "").strip("/")
        setting = "VAULT_CAPATH" if environ.get("VAULT_CAPATH") and not environ.get("VAULT_CACERT") else "VAULT_CACERT"
        self._peer = Peer(self.address, "VAULT_ADDR", setting, Path(environ[setting]) if environ.get(setting) else None)
        session = open_session(environ)
        self._client = hvac.Client(
            url=url,
            token="",
            verify=session.verify,
            namespace=environ.get("VAULT_NAMESPACE") or None,
            timeout=TIMEOUT,
            session=session,
            # Never use a proxy for loopback.
            proxies={"no_proxy": "127.0.0.1,localhost"} if _is_loopback(self.address) else None,
        )
        if urls.in_clear(url):
            logger.warning(
                "Vault at {} is reached over plain HTTP: the login and all settings can be read in transit. Use an"
                " address with https:// in VAULT_ADDR.",
                self.address,
            )
        self._version: int | None = None
        self._life: Life | None = None
        self._renew_at: float | None = None
        self.token_expires_at: float | None = None

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
        except (hvac.exceptions.VaultError, OSError, *NOT_VAULT) as error:
            proven = self._life is not None and self._life.proven
            access = Access(self.address, self.path(name), self.login.source, proven)
            raise translated(error, access, self._peer) from error

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
        """Log in if necessary; renew the token when half of its lifetime is over. True if the login is new."""
        if self._life is None:
            self._log_in()
            return True
        if self._renew_at is not None and self._clock() >= self._renew_at:
            return not self._renew(self._life)
        return False

    def _renew(self, before: Life) -> bool:
        """Renew the token; if that fails, or the token is near its maximum lifetime, log in again and return False."""
        try:
            renewed = _life_of(self._client.auth.token.renew_self())
        except (hvac.exceptions.InvalidRequest, hvac.exceptions.Forbidden):
            self._log_in()
            return False
        if renewed.left < before.granted / 3:
            self._log_in()
            return False
        self._note(replace(renewed, granted=before.granted))
        return True

    def _log_in(self) -> None:
        self._life = None
        life = self.login.log_in(self._client)
        logger.debug("Logged in to Vault by {}", self.login.source)
        self._note(life)

    def _note(self, life: Life) -> None:
        self._life = life
        self._renew_at = self._clock() + life.left / 2 if life.left else None
        self.token_expires_at = time.time() + life.left if life.left else None

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
            try:
                answer = self._client.read(f"sys/internal/ui/mounts/{self._mount}")
            except hvac.exceptions.Forbidden as error:
                raise MountForbidden(errors=error.errors) from error
            # Vault itself never says that there is nothing (None): the address has a wrong path.
            options = answer["data"].get("options") or {}
            self._version = int(options.get("version") or 1)
        return self._version


def _is_loopback(address: str) -> bool:
    try:
        return urllib.parse.urlsplit(address).hostname in ("127.0.0.1", "localhost")
    except ValueError:
        return False
