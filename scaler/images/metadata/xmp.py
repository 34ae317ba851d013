"""XMP packets (ISO 16684-1): the properties that state a size or place in pixels.

They are found by regular expressions: no entity is expanded, and nothing else in a packet changes. What may stand
inside a tag is limited, so that the time grows no faster than the packet.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

from scaler.images.metadata.fields import XMP_NUMBERS, XMP_RATIONALS, XMP_REGIONS, XMP_SEQUENCES

_NUMBER = re.compile(rb"\d{1,20}(?:\.\d{1,20})?(?![\d.])")
_OPEN = rb"(?:\s*+=\s*+[\"']|(?:\s[^<>]{0,2000})?>)\s*+"
"""From a property's name to its value, written as an attribute or as an element."""


def _any_of(names: Iterable[str]) -> bytes:
    return b"(?:" + b"|".join(re.escape(name).encode() for name in names) + b")"


def _values(names: Iterable[str]) -> re.Pattern[bytes]:
    """A property and its first number."""
    return re.compile(rb"\b" + _any_of(names) + _OPEN + _NUMBER.pattern)


_SINGLE = _values((*XMP_NUMBERS, *XMP_RATIONALS))
_SEQUENCE = re.compile(rb"<(" + _any_of(XMP_SEQUENCES) + rb")(?:\s[^<>]{0,2000})?>.{0,2000}?</\1\s*+>", re.DOTALL)
_ITEM = re.compile(rb"li(?:\s[^<>]{0,2000})?>\s*+\d{1,20}(?!\d)")
_REGIONS = {
    re.compile(re.escape(unit).encode() + _OPEN + rb"(\w++)"): _values(names) for unit, names in XMP_REGIONS.items()
}


def upscale_sizes(packet: bytes | memoryview) -> bytes:
    """Return a packet (in UTF-8) with the sizes and places of the upscaled image; `fields` lists the properties."""
    changed = _SINGLE.sub(_twice, bytes(packet))
    changed = _SEQUENCE.sub(lambda sequence: _ITEM.sub(_twice, sequence[0]), changed)
    for unit, values in _REGIONS.items():
        units = set(unit.findall(changed))
        if b"pixel" in units:
            # If there are also regions in fractions of the image, their numbers are at most 1.
            changed = values.sub(_twice if len(units) == 1 else _twice_above_one, changed)
    return changed


def _twice(found: re.Match[bytes]) -> bytes:
    number = _last_number(found[0])
    return found[0][: -len(number)] + str(2 * Decimal(number.decode())).encode()


def _twice_above_one(found: re.Match[bytes]) -> bytes:
    return _twice(found) if Decimal(_last_number(found[0]).decode()) > 1 else found[0]


def _last_number(text: bytes) -> bytes:
    number: bytes = _NUMBER.findall(text)[-1]
    return number
