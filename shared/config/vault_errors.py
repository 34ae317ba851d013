"""Explains Vault's errors."""

import urllib.parse
from dataclasses import dataclass

import hvac.exceptions
import requests

from shared.config.vault_session import ProxyLoginNeeded, RedirectRefused
from shared.errors import Failure, VaultForbidden, VaultUnavailable
from shared.transport_errors import Peer, explain, proxy_rejected

# Raised by hvac when it reads an answer that is not Vault's.
NOT_VAULT = (AttributeError, KeyError, TypeError, ValueError)
# Vault, or a proxy in front of it, cannot answer now, as opposed to denying access.
_UNAVAILABLE = (
    hvac.exceptions.VaultDown,
    hvac.exceptions.InternalServerError,
    hvac.exceptions.BadGateway,
    hvac.exceptions.RateLimitExceeded,
    hvac.exceptions.VaultNotInitialized,
    hvac.exceptions.UnexpectedError,
)
_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
)


class MountForbidden(hvac.exceptions.Forbidden):  # type: ignore[misc]  # hvac has no types
    """Vault does not say what is mounted: the mount does not exist, or the login has no right in it."""


@dataclass(frozen=True, slots=True)
class Access:
    """An access to Vault, for messages.

    Attributes:
        address: of Vault, without a login.
        path: of the secret.
        source: of the login.
        proven: whether Vault has accepted the login before.
    """

    address: str
    path: str
    source: str
    proven: bool


def translated(error: Exception, access: Access, peer: Peer) -> Failure:
    """The failure that an exception of hvac, of requests, or from reading an answer means."""
    if isinstance(error, OSError):
        return _transport(error, access.address, peer)
    if not isinstance(error, hvac.exceptions.VaultError):
        return _not_vault(access.address)
    said = f"{error.errors or ''} {error.text or ''}".lower()
    if isinstance(error, _UNAVAILABLE):
        return _unavailable(error, access.address, said)
    is_lost = isinstance(error, hvac.exceptions.InvalidPath) and (not error.errors or _without_path(access.address))
    if error.errors is None or is_lost:
        return _not_vault(access.address, said)
    return _denied(error, access)


def _transport(error: OSError, address: str, peer: Peer) -> Failure:
    if isinstance(error, RedirectRefused):
        return VaultUnavailable(
            f"Vault at {address} redirects to {error}, which would receive the login, possibly unencrypted",
            f"If that is your Vault, set VAULT_ADDR to {error}.",
        )
    if isinstance(error, requests.TooManyRedirects):
        return VaultUnavailable(f"Vault at {address} redirects in a circle", "Correct VAULT_ADDR.")
    if isinstance(error, _NO_ADDRESS):
        return VaultUnavailable(
            f"{address} is not an address", "Set VAULT_ADDR to something like https://vault.example.com:8200."
        )
    problem = proxy_rejected(peer) if isinstance(error, ProxyLoginNeeded) else explain(error, peer)
    return VaultUnavailable(problem.message.replace(peer.shown, f"Vault at {peer.shown}", 1), problem.hint)


def _not_vault(address: str, said: str = "") -> Failure:
    if address.startswith("http:") and ("https" in said or "ssl" in said):
        return VaultUnavailable(f"Vault at {address} speaks TLS", "Use https:// instead of http:// in VAULT_ADDR.")
    return VaultUnavailable(
        f"{address} does not answer like Vault", _without_path(address) or "Is VAULT_ADDR the address of Vault itself?"
    )


def _unavailable(error: Exception, address: str, said: str) -> Failure:
    vault = f"Vault at {address}"
    if "sealed" in said:
        return VaultUnavailable(f"{vault} is sealed", "Someone with the unseal keys has to unseal it.")
    if isinstance(error, hvac.exceptions.VaultNotInitialized) or "not initialized" in said:
        return VaultUnavailable(f"{vault} is not initialized", "Run `vault operator init`, or correct VAULT_ADDR.")
    if "active" in said or "standby" in said:
        return VaultUnavailable(
            f"{vault} is on standby and knows no active node",
            "Wait for its cluster, or name another node in VAULT_ADDR.",
        )
    if isinstance(error, hvac.exceptions.RateLimitExceeded):
        return VaultUnavailable(f"{vault} received too many requests", "Poll less often, or ask for a higher quota.")
    return VaultUnavailable(
        f"{vault} reported an internal error ({type(error).__name__})",
        "Check Vault's own log, and that of any proxy in front of it.",
    )


def _denied(error: hvac.exceptions.VaultError, access: Access) -> Failure:
    why = "the path is missing or the login may not read it"
    if isinstance(error, MountForbidden):
        why = f"the mount {access.path.partition('/')[0]} does not exist or the login has no right in it"
    why = f"T{why[1:]}" if access.proven else f"The token is wrong or has expired, or {why}"
    return VaultForbidden(
        f"Vault at {access.address} denied access to {access.path} with the login from {access.source}"
        f" ({'; '.join(map(str, error.errors)) or type(error).__name__})",
        f"{why}: check the token or role, its policy, VAULT_KV_MOUNT, VAULT_KV_PREFIX and VAULT_NAMESPACE."
        + _without_path(access.address, " "),
    )


def _without_path(address: str, before: str = "") -> str:
    """A hint, if the address has a path; few have one."""
    parts = urllib.parse.urlsplit(address)
    path = parts.path.rstrip("/")
    return f"{before}VAULT_ADDR has the path {path}; try {parts.scheme}://{parts.netloc} without it." if path else ""
