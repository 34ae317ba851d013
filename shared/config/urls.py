"""From what the `webdav` secret says to the addresses that are asked."""

import re
import urllib.parse

_REMOTE_PHP = re.compile(r"/remote\.php(/|$).*", re.DOTALL)
_ACCOUNT_FILES = re.compile(r".*/remote\.php/(?:webdav|dav/files/[^/]+)(?:/|$)", re.DOTALL)
# What may stand in a path as it is, `%` included where it already encodes a byte.
_SAFE = "/:@!$&'()*+,;=~-._"


def normal(url: str) -> str:
    """The address of a folder: percent-encoded where it has to be, with one slash at its end.

    Raises:
        ValueError: not an http or https address, or one with a password in it.
    """
    parts = urllib.parse.urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must be an address that begins with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; those have keys of their own")
    if parts.query or parts.fragment:
        raise ValueError("must not hold ? or #")
    path = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", parts.path)
    path = urllib.parse.quote(path, safe=_SAFE + "%")
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path.rstrip("/") + "/", "", ""))


def server_root(url: str) -> str:
    """The root of the server that an address belongs to: what stands before `/remote.php`."""
    return _REMOTE_PHP.sub("", normal(url)).rstrip("/") + "/"


def inside_account(url: str) -> str:
    """The decoded folder inside the account's files that an address leads to; empty for the files' root."""
    return urllib.parse.unquote(_ACCOUNT_FILES.sub("", normal(url))).strip("/") if "/remote.php" in url else ""
