"""XMP packets (ISO 16684-1): the properties that state pixels."""

import re
from collections.abc import Iterable
from decimal import Decimal

from scaler.images.metadata.fields import XMP_NUMBERS, XMP_RATIONALS, XMP_REGIONS, XMP_SEQUENCES

_NUMBER = re.compile(rb"\d+(?:\.\d+)?")


def _values(names: Iterable[str]) -> re.Pattern[bytes]:
    """A property with its first number, spelt as an attribute or as an element."""
    either = b"|".join(re.escape(name).encode() for name in names)
    return re.compile(rb"\b(?:" + either + rb")(?:\s*=\s*[\"']|(?:\s[^<>]*)?>)\s*" + _NUMBER.pattern)


_SINGLE = _values((*XMP_NUMBERS, *XMP_RATIONALS))
_SEQUENCE = re.compile(
    rb"<(" + b"|".join(name.encode() for name in XMP_SEQUENCES) + rb")(?:\s[^<>]*)?>.{0,2000}?</\1\s*>", re.DOTALL
)
_ITEM = re.compile(rb"li(?:\s[^<>]*)?>\s*\d+")
_REGIONS = {
    re.compile(re.escape(unit).encode() + rb"(?:\s*=\s*[\"']|(?:\s[^<>]*)?>)\s*(\w+)"): _values(names)
    for unit, names in XMP_REGIONS.items()
}


def double_sizes(packet: bytes | memoryview) -> bytes:
    """Return a packet (in UTF-8) whose pixel sizes are twice what they were; see `fields` for which they are."""
    doubled = _SINGLE.sub(_double, bytes(packet))
    doubled = _SEQUENCE.sub(_double_items, doubled)
    for unit, values in _REGIONS.items():
        units = set(unit.findall(doubled))
        if b"pixel" in units:
            # Where shares of the image are stated too, they are told by being at most 1.
            doubled = values.sub(_double if len(units) == 1 else _double_above_one, doubled)
    return doubled


def _double_items(sequence: re.Match[bytes]) -> bytes:
    return _ITEM.sub(_double, sequence[0])


def _double(found: re.Match[bytes]) -> bytes:
    number = _last_number(found[0])
    return found[0][: -len(number)] + str(2 * Decimal(number.decode())).encode()


def _double_above_one(found: re.Match[bytes]) -> bytes:
    return _double(found) if Decimal(_last_number(found[0]).decode()) > 1 else found[0]


def _last_number(text: bytes) -> bytes:
    number: bytes = _NUMBER.findall(text)[-1]
    return number
