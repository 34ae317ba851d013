"""Explains failed connections: names, TCP, TLS and proxies; for the image server and for Vault alike.

requests and niquests (which nc_py_api is built on) raise exceptions of the same names, each wrapped several times
around what happened, so the causes are searched by type where they are Python's own and by name where they are not.
"""

import errno
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNTRUSTED = (2, 18, 19, 20, 21)
_OTHER_NAME = (62, 63, 64)
# OpenSSL's errors for a plain-text answer.
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "BAD_RECORD_TYPE",
)
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)
# A TLS alert (RFC 8446, 5.1) where a status line was expected; h11, under niquests, does not show what came.
_ALERT = ("'\\x15\\x03", "illegal request line")
_RUNNING = "Is the server running, and is the address right in {setting}?"


@dataclass(frozen=True, slots=True)
class Peer:
    """The server that could not be reached.

    Attributes:
        address: its URL; only scheme, host and port are shown.
        setting: where the user sets it.
        ca_setting: the environment variable that names a file with certificate authorities.
        cacert: that file, if the variable is set.
    """

    address: str
    setting: str
    ca_setting: str
    cacert: Path | None = None

    @property
    def shown(self) -> str:
        """Scheme, host and port, without a login."""
        return _without_login(self.address)


@dataclass(frozen=True, slots=True)
class TransportProblem:
    """Why a request to a server failed.

    Attributes:
        message: what happened and where, without a full stop.
        hint: what to do about it, as a sentence.
        permanent: repeating is pointless until the user acts; no request was executed.
    """

    message: str
    hint: str
    permanent: bool = False


def explain(error: BaseException, peer: Peer, *, reached: bool = False) -> TransportProblem:
    """What an exception of requests or niquests means.

    Args:
        reached: the server has answered before, so a non-TLS answer means a broken connection, not a wrong port.
    """
    causes = list(_causes(error))
    names = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    text = str(error)
    if names & {"ProxyError", "InvalidProxyURL"} or "SOCKS" in text:
        return _proxy(peer, causes, text)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(peer, cause)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls(peer, cause, reached=reached)
    if "invalid path" in text and "RequestException" not in names:
        return _no_authority(peer, "does not exist")
    if names & {"InvalidURL", "MissingSchema", "InvalidSchema", "LocationParseError"}:
        return TransportProblem(
            f"{peer.shown} is not an address", f"Correct {peer.setting}: https://host/…", permanent=True
        )
    return _network(peer, causes, names, text, reached=reached)


def proxy_rejected(peer: Peer) -> TransportProblem:
    """A proxy that requires a login: status 407."""
    return TransportProblem(
        f"The proxy {_proxy_address(peer)} requires a user name and password (status 407)",
        f"Put them into {_proxy_variable(peer)} (http://USER:PASSWORD@HOST:PORT), or name {_host(peer)} in NO_PROXY.",
        permanent=True,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and everything it wraps, the outermost first."""
    seen: set[int] = set()
    left: list[object] = [error]
    while left:
        cause = left.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            left += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]


def _certificate(peer: Peer, error: ssl.SSLCertVerificationError) -> TransportProblem:
    code, whose = error.verify_code, f"The certificate of {peer.shown}"
    if code == _EXPIRED:
        message = f"{whose} has expired"
        hint = "Its administrator has to renew it; if it is new, check the clock of this machine."
    elif code == _NOT_YET_VALID:
        message, hint = f"{whose} is not valid yet", "Check the clock of this machine."
    elif code in _OTHER_NAME:
        message = f"{whose} is for another host name"
        hint = f"In {peer.setting}, use a host name from the certificate instead of {_host(peer)}."
    elif code in _UNTRUSTED and peer.cacert:
        message = f"{whose} is not trusted: {peer.cacert} does not contain its certificate authority"
        hint = f"Name the file with its certificate authority in {peer.ca_setting}."
    elif code in _UNTRUSTED:
        message = f"{whose} is not trusted"
        hint = f"Name the file with its certificate authority in {peer.ca_setting}."
    else:
        message = f"{whose} is not accepted ({error.verify_message})"
        hint = "The administrator of the server has to replace it."
    return TransportProblem(message, hint, permanent=True)


def _tls(peer: Peer, error: ssl.SSLError, *, reached: bool) -> TransportProblem:
    reason = error.reason or str(error)
    if error.library in ("X509", "PEM"):
        return _no_authority(peer, "contains no certificate")
    if reached or isinstance(error, ssl.SSLEOFError):
        return TransportProblem(
            f"{peer.shown} broke off a TLS connection ({reason})", f"Does that port speak TLS? See {peer.setting}."
        )
    if reason in _NOT_TLS:
        return TransportProblem(
            f"{peer.shown} does not speak TLS on that port",
            f"Correct the port in {peer.setting}, or use http:// instead of https:// if the server has no TLS.",
            permanent=True,
        )
    if "CERTIFICATE_REQUIRED" in reason:
        return TransportProblem(
            f"{peer.shown} requires a client certificate",
            "Ask its administrator for access without one.",
            permanent=True,
        )
    return TransportProblem(
        f"TLS negotiation with {peer.shown} failed ({reason})", "Its administrator has to allow TLS 1.2 or newer."
    )


def _no_authority(peer: Peer, what: str) -> TransportProblem:
    return TransportProblem(
        f"The file of certificate authorities {peer.cacert or ''} {what}".replace("  ", " "),
        f"Check {peer.ca_setting}.",
        permanent=True,
    )


def _network(peer: Peer, causes: list[BaseException], names: set[str], text: str, *, reached: bool) -> TransportProblem:
    running = _RUNNING.format(setting=peer.setting)
    errnos = {cause.errno for cause in causes if isinstance(cause, OSError)}
    if "NameResolutionError" in names or any(isinstance(cause, socket.gaierror) for cause in causes):
        return TransportProblem(
            f"{peer.shown} cannot be resolved",
            f"Correct the host name in {peer.setting}, or check the DNS of this machine.",
        )
    if errno.ECONNREFUSED in errnos:
        return TransportProblem(f"{peer.shown} refuses connections", running)
    if errnos & set(_UNREACHABLE):
        why = next(cause.strerror for cause in causes if isinstance(cause, OSError) and cause.errno in _UNREACHABLE)
        return TransportProblem(
            f"{peer.shown} cannot be reached ({why})", "Check the network of this machine, and its VPN if it needs one."
        )
    if names & {"ConnectTimeout", "ConnectTimeoutError"}:
        return TransportProblem(
            f"Connecting to {peer.shown} timed out",
            f"Check the host and the port in {peer.setting}; a firewall may be in between.",
        )
    if any("Timeout" in name for name in names):
        return TransportProblem(f"{peer.shown} does not answer in time", running)
    if any(alert in text for alert in _ALERT) and not reached and peer.address.startswith("http:"):
        return TransportProblem(
            f"{peer.shown} does not speak plain HTTP on that port",
            f"Use https:// instead of http:// in {peer.setting}, or correct the port.",
            permanent=True,
        )
    tls = " Does that port expect https://?" if peer.address.startswith("http:") and not reached else ""
    return TransportProblem(f"{peer.shown} closed the connection ({type(causes[0]).__name__})", running + tls)


def _proxy(peer: Peer, causes: list[BaseException], text: str) -> TransportProblem:
    """The problem with the proxy, which both libraries take from the environment."""
    if "407" in text and "Tunnel" in text:
        return proxy_rejected(peer)
    proxy = _proxy_address(peer)
    hint = f"Correct {_proxy_variable(peer)}, or name {_host(peer)} in NO_PROXY if it needs no proxy."
    for said in map(str, causes):
        if said.startswith("Tunnel connection failed"):
            return TransportProblem(f"The proxy {proxy} does not connect to {peer.shown} ({said[26:]})", hint)
    if any(type(cause).__name__ in ("InvalidProxyURL", "InvalidSchema") for cause in causes):
        return TransportProblem(f"The proxy {proxy} cannot be used ({text})", hint, permanent=True)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return TransportProblem(f"The proxy {proxy} cannot be resolved", hint)
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return TransportProblem(f"The proxy {proxy} does not speak TLS as expected", f"Prefix it with http://. {hint}")
    return TransportProblem(f"The proxy {proxy} does not answer", hint)


def _proxy_variable(peer: Peer) -> str:
    scheme = urllib.parse.urlsplit(peer.address).scheme
    return f"{scheme.upper()}_PROXY" if scheme in urllib.request.getproxies() else "ALL_PROXY"


def _proxy_address(peer: Peer) -> str:
    proxies = urllib.request.getproxies()
    found = proxies.get(urllib.parse.urlsplit(peer.address).scheme) or proxies.get("all", "")
    return _without_login(found if "://" in found else f"//{found}").removeprefix("//")


def _host(peer: Peer) -> str:
    return urllib.parse.urlsplit(peer.address).hostname or peer.shown


def _without_login(address: str) -> str:
    parts = urllib.parse.urlsplit(address)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", "")) or address
