"""WebP files (RFC 9649): RIFF chunks."""

from dataclasses import dataclass

from scaler.images.probe.header import Header, UnsupportedImage

ALPHA_FLAG, ANIMATION_FLAG = 0x10, 0x02
_MOST_CHUNKS = 10_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """One RIFF chunk, without length and padding."""

    kind: bytes
    payload: memoryview


def chunks(data: bytes | memoryview) -> tuple[tuple[Chunk, ...], int]:
    """Take a WebP file apart: its chunks, and the offset behind the last.

    Raises:
        UnsupportedImage: it is cut off.
    """
    view = memoryview(data)
    end = 8 + int.from_bytes(view[4:8], "little")
    if end > len(view):
        raise UnsupportedImage("the WebP is cut off")
    return tuple(inner(view[12:end])), end


def inner(view: memoryview) -> list[Chunk]:
    """The chunks in a stretch of bytes: in a file, or in one frame of an animation."""
    found, position = [], 0
    while position + 8 <= len(view):
        length = int.from_bytes(view[position + 4 : position + 8], "little")
        payload = view[position + 8 : position + 8 + length]
        if len(payload) < length:
            raise UnsupportedImage("the WebP is cut off")
        found.append(Chunk(bytes(view[position : position + 4]), payload))
        position += 8 + length + (length & 1)
        if len(found) > _MOST_CHUNKS:
            raise UnsupportedImage(f"it is a WebP of more than {_MOST_CHUNKS} chunks")
    return found


def _has_alpha(chunk: Chunk) -> bool:
    return chunk.kind == b"ALPH" or (chunk.kind == b"VP8L" and any(flags & 0x10 for flags in chunk.payload[4:5]))


def header(data: bytes | memoryview) -> Header:
    """Read the header.

    Raises:
        UnsupportedImage: cut off or damaged.
    """
    found, _ = chunks(data)
    frames = sum(chunk.kind == b"ANMF" for chunk in found)
    for chunk in found:
        view = chunk.payload
        if chunk.kind == b"VP8X" and len(view) >= 10:
            width, height = (1 + int.from_bytes(view[at : at + 3], "little") for at in (4, 7))
            animated = bool(view[0] & ANIMATION_FLAG)
            if animated != bool(frames) or not (frames or {b"VP8 ", b"VP8L"} & {other.kind for other in found}):
                raise UnsupportedImage("the WebP is damaged: its image is missing")
            channels = 4 if view[0] & ALPHA_FLAG or animated else 3
            if channels == 3 and any(map(_has_alpha, found)):
                raise UnsupportedImage(
                    "it is a WebP whose header denies the transparency that it has, so that readers differ"
                )
            lossless = any(other.kind == b"VP8L" for other in found)
            return Header("WebP", width, height, channels, 8, frames or 1, animated, lossless, everyday=not animated)
        if chunk.kind == b"VP8L" and len(view) >= 5 and view[0] == 0x2F:
            fields = int.from_bytes(view[1:5], "little")
            channels = 4 if fields >> 28 & 1 else 3
            width, height = 1 + (fields & 0x3FFF), 1 + (fields >> 14 & 0x3FFF)
            return Header("WebP", width, height, channels, 8, lossless=True, everyday=True)
        if chunk.kind == b"VP8 " and len(view) >= 10 and bytes(view[3:6]) == b"\x9d\x01\x2a":
            width, height = (int.from_bytes(view[at : at + 2], "little") & 0x3FFF for at in (6, 8))
            return Header("WebP", width, height, 3, 8, everyday=True)
    raise UnsupportedImage("the WebP's header is damaged")
