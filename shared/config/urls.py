"""URLs: normalized, and taken apart into server root and folder inside the account."""

import ipaddress
import re
import urllib.parse

from shared.redaction import hide

_REMOTE_PHP = re.compile(r"/remote\.php(/|$).*", re.DOTALL)
_ACCOUNT_FILES = re.compile(r".*/remote\.php(?:/(?:webdav|dav(?:/files(?:/[^/]+)?)?))?(?:/|$)", re.DOTALL)
# What follows the root of a Nextcloud in the addresses of its pages.
_PAGE = re.compile(r"/((index|status|public|ocs/v[12])\.php|apps|login|settings|s|f)(/|$).*", re.DOTALL)
# Characters that need no percent-encoding in a path; `%` too where it already encodes a byte.
_SAFE = "/:@!$&'()*+,;=~-._"


def normal(url: str) -> str:
    """The address of a folder: percent-encoded where necessary, with one slash at its end (RFC 3986, 2 and 3.3).

    Raises:
        ValueError: not an http or https address, or one that contains a password.
    """
    try:
        parts = urllib.parse.urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        # Its text repeats what was taken for the port, which may be part of a password.
        valid = False
    if not valid:
        raise ValueError("must be an address that begins with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or password; those have their own keys")
    if parts.query or parts.fragment:
        raise ValueError("must not contain ? or #")
    path = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", parts.path)
    path = urllib.parse.quote(path, safe=_SAFE + "%")
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path.rstrip("/") + "/", "", ""))


def without_login(url: str) -> str:
    """An address as it may be shown; a password in it is hidden from now on."""
    try:
        parts = urllib.parse.urlsplit(url)
        hide(urllib.parse.unquote(parts.password or ""))
    except ValueError:
        return url
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.netloc else url


def server_root(url: str) -> str:
    """The root of the server that an address belongs to: the part before `/remote.php`."""
    return _REMOTE_PHP.sub("", normal(url)).rstrip("/") + "/"


def nextcloud_root(url: str) -> str:
    """Where the root of a Nextcloud would be, if an address leads to it, to its files or to one of its pages."""
    parts = urllib.parse.urlsplit(server_root(url))
    # In the path alone: a host may have the name of a page.
    return parts._replace(path=_PAGE.sub("", parts.path).rstrip("/") + "/").geturl()


def inside_account(url: str) -> str:
    """The decoded path inside the account's files that an address leads to; empty for their root."""
    return urllib.parse.unquote(_ACCOUNT_FILES.sub("", normal(url))).strip("/") if "/remote.php" in url else ""


def in_clear(url: str) -> bool:
    """Whether a password sent to this address can be read in transit: plain http to another machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    if parts.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
