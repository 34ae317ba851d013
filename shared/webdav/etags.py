"""Entity tags (RFC 9110, 8.8.3), also in the forms that careless servers send."""

import re

_ETAG = re.compile(r'([Ww]/)?("?)([\x21\x23-\x7e]+)\2')


def normal_etag(text: str | None) -> str | None:
    """An entity tag with its quotes; None if there is none that could be sent back.

    Several servers list it without quotes and send it with them; some list it escaped twice.
    """
    match = _ETAG.fullmatch((text or "").replace("&quot;", '"').strip())
    return f'{"W/" if match[1] else ""}"{match[3]}"' if match else None


def same_etag(one: str, other: str) -> bool:
    """Whether two normal entity tags are the same version by weak comparison (RFC 9110, 8.8.3.2)."""
    return one.removeprefix("W/") == other.removeprefix("W/")
