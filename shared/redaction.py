"""Secrets are taken out of everything that is logged, shown or recorded."""

import base64
import json
import re

from shared.printable import printable_lines

HIDDEN = "**********"

# Logins change while a daemon runs; those hidden longest ago are no longer valid.
_REMEMBERED = 50
_hidden: dict[str, re.Pattern[str]] = {}


def hide(*secrets: str) -> None:
    """Redact these from all further log lines: as they are, percent-encoded, and as in Basic authentication."""
    for secret in filter(None, secrets):
        # Moved to the end, but not compiled again: settings are read at every poll.
        _hidden[secret] = _hidden.pop(secret) if secret in _hidden else re.compile(_spelled(secret))
    for oldest in list(_hidden)[:-_REMEMBERED]:
        del _hidden[oldest]


def _spelled(secret: str) -> str:
    """A regular expression for every spelling of a secret."""
    encoded = secret.encode()
    forms = {
        repr(secret)[1:-1],
        repr(encoded)[2:-1],
        json.dumps(secret)[1:-1],
        base64.b64encode(encoded).decode(),
        base64.urlsafe_b64encode(encoded).decode(),
    }
    # Libraries differ in which characters they percent-encode, and in the case of the digits.
    percent_encoded = "".join(_percent_encoded(char) for char in secret)
    return "|".join([*map(re.escape, forms), percent_encoded])


def _percent_encoded(char: str) -> str:
    """A regular expression for a character as it is and percent-encoded."""
    in_hex = "".join(f"%{byte:02X}" for byte in char.encode())
    return f"(?:{re.escape(char)}|(?i:{in_hex}){'|[+]' if char == ' ' else ''})"


def hide_login(username: str, password: str) -> None:
    """Hide a password, also in the header of Basic authentication (RFC 7617)."""
    hide(password)
    for encoding in ("utf-8", "latin-1"):
        login = f"{username}:{password}".encode(encoding, "ignore")
        hide(base64.b64encode(login).decode())


def redact(text: str) -> str:
    """The text without any secret."""
    # The longest first: one may be part of another.
    for _, spelled in sorted(_hidden.items(), key=lambda item: -len(item[0])):
        text = spelled.sub(HIDDEN, text)
    return text


def safe(text: str) -> str:
    """The text without any secret, and without characters that could drive a terminal or forge a line."""
    return printable_lines(redact(text))
