"""JPEG 2000 (ITU-T T.800, Annexes A and I): the codestream, and the boxes around it."""

import struct
from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage
from scaler.images.probe.isobmff import Box, read_boxes

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
GREY, SRGB = 17, 16
_CHANNELS = {(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 0)}
"""Number, kind and colour of the channels: R, G, B, and alpha that colours are not multiplied by."""
_SMALLEST_TILE = 32 * 32
_GEOGRAPHIC = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")


@dataclass(frozen=True, slots=True)
class Jp2:
    """The boxes (none around a bare codestream) and what the codestream's header says."""

    boxes: tuple[Box, ...]
    width: int
    height: int
    components: int
    bits: int

    @property
    def straight_alpha(self) -> bool:
        """Whether the last of four components is transparency that colours are not multiplied by.

        Readers assume so if the file does not describe its channels. With a profile, which may be CMYK, only an
        explicit description counts.
        """
        inner = [box for outer in self.boxes if outer.kind == b"jp2h" for box in outer.children]
        defined = any(box.kind == b"cdef" for box in inner)
        profile = any(box.kind == b"colr" and box.payload[0] != 1 for box in inner)
        return self.components == 4 and (defined or not profile)


def read(data: bytes | memoryview) -> Jp2:
    """Take a JPEG 2000 file apart without decoding it.

    Raises:
        UnsupportedImage: cut off, damaged, or of a kind that cannot be kept.
    """
    view = memoryview(data)
    found = () if bytes(view[:4]) == CODESTREAM else tuple(read_boxes(view))
    streams = [box.payload for box in found if box.kind == b"jp2c"] if found else [view]
    if len(streams) != 1:
        raise UnsupportedImage(f"it is a JPEG 2000 file of {len(streams)} images")
    stream = streams[0]
    if bytes(stream[:4]) != CODESTREAM or bytes(stream[-2:]) != b"\xff\xd9":
        raise UnsupportedImage("the JPEG 2000 file is cut off or damaged")
    _check(found)
    right, bottom, left, top = struct.unpack_from(">4L", stream, 8)
    across, down = struct.unpack_from(">2L", stream, 24)
    if across * down < min(_SMALLEST_TILE, (right - left) * (bottom - top)):
        raise UnsupportedImage("it is a JPEG 2000 of very small tiles, each of which takes memory")
    (components,) = struct.unpack_from(">H", stream, 40)
    kinds = {bytes(stream[42 + 3 * i : 45 + 3 * i]) for i in range(components)}
    if components not in (1, 3, 4) or kinds not in ({b"\x07\1\1"}, {b"\x0f\1\1"}):
        raise UnsupportedImage("it is a JPEG 2000 of unusual components, which OpenCV would not keep")
    return Jp2(found, right - left, bottom - top, components, kinds.pop()[0] + 1)


def _check(found: tuple[Box, ...]) -> None:
    if any(box.kind == b"uuid" and bytes(box.payload[:16]) == _GEOGRAPHIC for box in found):
        raise UnsupportedImage("it is a georeferenced JPEG 2000, whose coordinates would no longer fit")
    if any(box.kind == b"jumb" for box in found):
        raise UnsupportedImage("it carries signed content credentials, which a changed image would break")
    for box in (box for outer in found if outer.kind == b"jp2h" for box in outer.children):
        if box.kind in (b"pclr", b"cmap"):
            raise UnsupportedImage("it is a JPEG 2000 with a palette, which OpenCV would not keep")
        if box.kind == b"colr" and box.payload[0] == 1 and int.from_bytes(box.payload[3:7]) not in (GREY, SRGB):
            raise UnsupportedImage("it is a JPEG 2000 of neither grey nor sRGB colours, which OpenCV would not keep")
        if box.kind == b"cdef" and set(struct.iter_unpack(">3H", box.payload[2:])) - _CHANNELS:
            raise UnsupportedImage(
                "it is a JPEG 2000 whose channels have an unusual order or meaning, which OpenCV would not keep"
            )


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        UnsupportedImage: cut off, damaged, or of a kind that cannot be kept.
    """
    try:
        file = read(data)
    except struct.error as error:
        raise UnsupportedImage("the JPEG 2000 file is damaged") from error
    return Header("JPEG 2000", file.width, file.height, file.components, file.bits)
