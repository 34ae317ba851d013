"""The HTTP session to Vault: the certificates that it trusts, and the redirects that it follows."""

import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, override

import requests
import requests.adapters

from shared.errors import InvalidSettings

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class RedirectRefused(requests.RequestException):
    """A redirect that would show the login to others, or lose it; `str()` gives scheme, host and port of its target."""


class ProxyLoginNeeded(requests.exceptions.ProxyError):
    """Status 407."""


def open_session(environ: Mapping[str, str]) -> requests.Session:
    """A session that trusts what `VAULT_CACERT`, `VAULT_CAPATH` and `VAULT_SKIP_VERIFY` say.

    Raises:
        InvalidSettings: the folder has no certificates.
    """
    session = requests.Session()
    authorities = environ.get("VAULT_CACERT") or environ.get("VAULT_CAPATH")
    if environ.get("VAULT_SKIP_VERIFY", "").lower() in ("1", "t", "true"):
        session.verify = False
    elif authorities:
        session.verify = authorities
        if Path(authorities).is_dir():
            session.mount("https://", _TrustingFolder(Path(authorities)))
    session.hooks["response"].append(_judge)
    return session


class _TrustingFolder(requests.adapters.HTTPAdapter):
    """Trusts the certificates in all files of a folder, whatever their names; OpenSSL wants hashes as names."""

    def __init__(self, folder: Path) -> None:
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        found = [certificate for file in files for certificate in _CERTIFICATE.findall(file.read_text("latin-1"))]
        if not found:
            raise InvalidSettings(
                f"The folder {folder} contains no certificates", "Correct VAULT_CAPATH, or name a file in VAULT_CACERT."
            )
        self._certificates = "\n".join(found)
        super().__init__()

    @override
    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, True, cert)
        return host, pool | {"ca_cert_data": self._certificates}

    @override
    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        super().cert_verify(conn, url, True, cert)  # type: ignore[no-untyped-call]  # it has no types
        # Not the public authorities, which it has just added.
        conn.ca_certs = None


def _judge(response: requests.Response, *_: Any, **__: Any) -> None:
    """Look at a response before requests follows its redirect: token and secret id would be sent with it."""
    error = _refusal(response)
    if error is not None:
        response.close()
        raise error


def _refusal(response: requests.Response) -> requests.RequestException | None:
    if response.status_code == requests.codes.proxy_authentication_required:
        return ProxyLoginNeeded()
    if not response.is_redirect:
        return None
    target = urllib.parse.urljoin(response.url, response.headers["Location"])
    # With these, requests would turn a login into a GET.
    loses_login = response.status_code < 307 and response.request.method not in ("GET", "HEAD")
    return RedirectRefused(_origin(target)) if loses_login or not _may_follow(response.url, target) else None


def _may_follow(here: str, there: str) -> bool:
    """Whether a redirect leads to the same host, over TLS or to an origin that already received the login."""
    old, new = urllib.parse.urlsplit(here), urllib.parse.urlsplit(there)
    if old.hostname != new.hostname:
        return False
    return new.scheme == "https" or _origin(here) == _origin(there)


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORTS.get(parts.scheme)}"
