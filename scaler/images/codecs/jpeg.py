"""JPEG (ITU-T T.81; multi-picture index: CIPA DC-007): new scans between the original's own metadata segments."""

import struct

import cv2

from scaler.images.codecs import pillow, pixels
from scaler.images.metadata import exif, xmp
from scaler.images.probe import UnsupportedImage
from scaler.images.probe.jpeg import APP14, COM, EOI, SOI, Jpeg, Segment, read, without_junk
from scaler.images.probe.tiff import Tiff

_APP0, _APP1, _APP2, _APP11, _APP15 = 0xE0, 0xE1, 0xE2, 0xEB, 0xEF
_EXIF, _XMP, _MPF = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"MPF\0"
_LONGEST = 0xFFFF - 2
_MP_ENTRIES, _SEVERAL_VIEWS = 0xB002, 0x02_0000

# Ratio of the luma's to the chroma's sampling, across and down. Others, which would blur colour edges or which
# libjpeg does not support, become 4:4:4.
_SUBSAMPLINGS = {
    (1, 1): cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    (2, 1): cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    (1, 2): cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    (2, 2): cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def upscale(data: bytes, quality: int) -> bytes:
    """Upscale a JPEG: same subsampling, same mode (baseline or progressive), metadata and appended data kept.

    Raises:
        UnsupportedImage: damaged, or with content that would be wrong in an upscaled copy.
    """
    original = read(data)
    segments = [segment for segment in original.segments if segment.marker == COM or _APP0 <= segment.marker <= _APP15]
    _check(segments, original)
    old = without_junk(memoryview(data), original)
    if len(original.frame.factors) == 4:  # OpenCV would turn CMYK into RGB, in other colours
        image = pixels.upscaled(next(pillow.frames(bytes(old), "CMYK")))
        # Inks are not colour and brightness: so none is subsampled.
        progressive = original.frame.progressive
        encoded = pillow.encode("JPEG", image, "CMYK", quality=quality, subsampling=0, progressive=progressive)
    else:
        image = pixels.upscale_fast(pixels.decode(old))
        encoded = pixels.encode(".jpg", image, _parameters(original, quality))
    if encoded[-2:] != bytes((0xFF, EOI)):
        raise UnsupportedImage("the upscaled image is truncated")
    height, width = image.shape[:2]
    del image
    kept = [_upscaled(segment, width, height) for segment in segments if segment.marker != APP14]
    return _assembled(kept, encoded, memoryview(data), original)


def _parameters(original: Jpeg, quality: int) -> list[int]:
    parameters = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, int(original.frame.progressive)]
    factors = original.frame.factors
    if len(factors) == 3:
        across, down = factors[0][0] // factors[1][0], factors[0][1] // factors[1][1]
        subsampling = _SUBSAMPLINGS.get((across, down), cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
        parameters += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, subsampling]
    return parameters


def _check(segments: list[Segment], original: Jpeg) -> None:
    if any(segment.marker == _APP11 and segment.payload.startswith(b"JP") for segment in segments):
        raise UnsupportedImage(
            "it carries signed content credentials or JPEG XT data, which a changed image would break"
        )
    if len(original.frame.factors) == 3 and len(set(original.frame.factors[1:])) > 1:
        raise UnsupportedImage("its two colour planes have different resolutions, which OpenCV does not write")


def _upscaled(segment: Segment, width: int, height: int) -> Segment:
    """The segment for the upscaled image."""
    payload = segment.payload
    if segment.marker == _APP1 and payload.startswith(_EXIF):
        return Segment(_APP1, _EXIF + exif.upscale_sizes(payload[len(_EXIF) :], width, height))
    if segment.marker == _APP1 and payload.startswith(_XMP):
        changed = _XMP + xmp.upscale_sizes(payload[len(_XMP) :])
        return Segment(_APP1, changed) if len(changed) <= _LONGEST else segment
    return segment


def _assembled(kept: list[Segment], encoded: memoryview, data: memoryview, original: Jpeg) -> bytes:
    """One file of the kept segments, the new image without its own APP0, and what followed the old image."""
    start = 4 + int.from_bytes(encoded[4:6]) if encoded[3] == _APP0 else 2
    end = 2 + sum(len(segment.payload) + 4 for segment in kept) + len(encoded) - start
    at, parts = 2, [bytes((0xFF, SOI))]
    for segment in kept:
        payload = segment.payload
        if segment.marker == _APP2 and payload.startswith(_MPF):
            payload = _MPF + _moved_index(payload[len(_MPF) :], at + 8, end, data, original.end)
        parts.append(struct.pack(">BBH", 0xFF, segment.marker, len(payload) + 2) + payload)
        at += len(parts[-1])
    return b"".join((*parts, encoded[start:], data[original.end :]))


def _moved_index(index: bytes, at: int, end: int, data: memoryview, old_end: int) -> bytes:
    """A multi-picture index (from its byte-order mark on, which ends up at `at`) for images that moved.

    The other images are gain maps, previews and the like: they fit an image of any size and stay as they are. An index
    that is damaged or points outside of the file finds nothing, and so stays as it is.

    Raises:
        UnsupportedImage: they are further views of the same size.
    """
    old_at = bytes(data[:old_end]).find(_MPF + index) + len(_MPF)
    moved = bytearray(index)
    try:
        file = Tiff(index)
        entries = file.directory(file.first).fields[_MP_ENTRIES]
    except (UnsupportedImage, KeyError):
        return index
    for number in range(entries.count // 16):
        place = entries.at + 16 * number
        kind, size, offset = struct.unpack_from(file.order + "3L", index, place)
        if number == 0:
            struct.pack_into(file.order + "L", moved, place + 4, end)
        elif offset:
            if not old_end <= old_at + offset <= len(data) - size:
                return index
            struct.pack_into(file.order + "L", moved, place + 8, offset + old_at - old_end + end - at)
        if kind & 0xFF_0000 == _SEVERAL_VIEWS and entries.count >= 32:
            raise UnsupportedImage("it holds several views (panorama, stereo), of which only one would be upscaled")
    return bytes(moved)
