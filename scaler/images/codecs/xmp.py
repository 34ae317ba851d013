"""XMP packets: the properties that state pixels say the upscaled ones."""

import re

# The last are the size of a panorama's part, its place in the whole, and the whole.
_NAMES = (
    rb"tiff:Image(?:Width|Length)|exif:Pixel[XY]Dimension"
    rb"|GPano:(?:CroppedAreaImage(?:Width|Height)|CroppedArea(?:Left|Top)|FullPano(?:Width|Height))Pixels"
)
_VALUE = rb"(?:\s*=\s*[\"']|>)(?P<number>\d+)"
_SIZE = re.compile(rb"(?:" + _NAMES + rb")" + _VALUE)
_REGION_SIZE = re.compile(rb"stDim:[wh]" + _VALUE)


def upscaled(packet: bytes | memoryview) -> bytes:
    """Return a packet (in UTF-8) whose pixel sizes are twice what they were."""
    packet = _SIZE.sub(_upscale, bytes(packet))
    if b'stDim:unit="pixel"' in packet or b"<stDim:unit>pixel<" in packet:
        packet = _REGION_SIZE.sub(_upscale, packet)
    return packet


def _upscale(match: re.Match[bytes]) -> bytes:
    start = match.start("number") - match.start()
    return match[0][:start] + str(2 * int(match["number"])).encode()
