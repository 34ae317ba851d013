"""Text from servers, Vault, file names and the command line, made safe to show: all output goes through here."""

import re

# What drives a terminal or ends a line (C0, DEL, C1, line and paragraph separators), what reverses or hides text
# (bidirectional marks, overrides and isolates, zero-width characters, the byte order mark), and lone surrogates, which
# cannot be encoded. The joiners U+200C and U+200D stay: emoji and several scripts need them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
INDENTED = "\n  "
"""Begins each further line of a message. No line of a log begins with a space, so none can be forged by one."""


def printable(text: str) -> str:
    r"""The text on one line, each character that could do harm as an escape sequence such as `\x1b` or `\u202e`."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def printable_lines(text: str) -> str:
    """Like `printable`, but lines that begin with INDENTED stay."""
    return INDENTED.join(map(printable, text.split(INDENTED)))
