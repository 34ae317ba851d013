"""What an upscaled image has lost of its original's metadata, as ExifTool sees both."""

import atexit
import functools
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.bench import samples

# What every format that can hold it keeps; ExifTool leaves out what a format cannot.
_WRITTEN = (
    *("-EXIF:Artist=Zoë", "-EXIF:Copyright=© 2026", "-EXIF:ImageDescription=Hills", "-EXIF:Software=Darkroom 3"),
    *("-EXIF:UserComment=Grüße", "-EXIF:DateTimeOriginal=2026:01:02 03:04:05", "-EXIF:OffsetTimeOriginal=+01:00"),
    *("-EXIF:LensModel=50 mm", "-EXIF:ISO=200", "-EXIF:XResolution=300", "-EXIF:YResolution=300"),
    *("-EXIF:ResolutionUnit=2", "-EXIF:FocalPlaneXResolution=4000", "-EXIF:SubjectArea=20 20 8 8"),
    *("-EXIF:GPSLatitude=47.1", "-EXIF:GPSLatitudeRef=N", "-EXIF:GPSLongitude=8.5", "-EXIF:GPSLongitudeRef=E"),
    *("-EXIF:GPSAltitude=410", "-EXIF:Rating=4", "-EXIF:XPKeywords=cats"),
    f"-EXIF:ExifImageWidth={samples.WIDTH}",
    *("-IPTC:Headline=Hills", "-IPTC:Keywords=cats", "-IPTC:Keywords=hills", "-Photoshop:CopyrightFlag=1"),
    *("-XMP-dc:Subject=cats", "-XMP-dc:Subject=hills", "-XMP-dc:Rights=© Zoë", "-XMP-dc:Description-de=Hügel"),
    *("-XMP-photoshop:Credit=Zoë", "-XMP-xmpRights:Marked=1", "-XMP-lr:HierarchicalSubject=a|b", "-XMP-xmp:Rating=4"),
    *("-XMP-xmpMM:DocumentID=uuid:1", "-XMP-iptcExt:PersonInImage=Zoë", "-XMP-crs:Exposure2012=0.5"),
    *("-JFIF:XResolution=300", "-Comment=Hills", "-PNG:Author=Zoë", "-PNG:CreationTime=2026", "-PNG:Gamma=2.2"),
    *("-PNG-pHYs:PixelsPerUnitX=11811", "-PNG-pHYs:PixelsPerUnitY=11811", "-GIF:Comment=Hills"),
)
# What ExifTool says of itself and of the file system, and what it computes from the rest.
_IGNORED = {"SourceFile", "ExifTool", "System", "Composite"}
# How samples are stored, and where.
_STORAGE = re.compile(
    r".*:(Strip|Tile|RowsPerStrip|BitsPerSample|Compression|Photometric|Planar|Predictor|SamplesPerPixel|SampleFormat"
    r"|ThumbnailOffset|EncodingProcess|VP8|ColorMap|FillOrder|MediaData|PixelsPerUnit|Warning|ImageSize|FileSize"
    r"|CurrentIPTCDigest|XMPToolkit|CompatibleBrands|HasColorMap|ColorResolutionDepth|BitsPerPixel|ImageLength)"
)
_SIZE = re.compile(r".*(Width|Height|FocalPlane[XY]Resolution|SubjectArea|ImageSpatialExtent)$")


def with_metadata(data: bytes, extension: str) -> bytes:
    """An image with all that ExifTool can write into one of its format."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"image{extension}"
        file.write_bytes(data)
        command = ["exiftool", "-q", "-m", "-overwrite_original", "-charset", "utf8", *_WRITTEN, str(file)]
        subprocess.run(command, capture_output=True, check=False)
        return file.read_bytes()


def lost(original: bytes, result: bytes) -> str:
    """The tags that the result lacks or has changed; empty if there are none."""
    before, after = tags(original), tags(result)
    wrong = [name for name, value in before.items() if not _is_kept(name, value, after.get(name))]
    return ", ".join(f"{name} {before[name]!r:.60} → {after.get(name)!r:.60}" for name in wrong)


def _is_kept(name: str, before: Any, after: Any) -> bool:
    if _SIZE.match(name):
        return _doubled(before) == _doubled(after, 1)
    return before == after or name.partition(":")[0] in _IGNORED or bool(_STORAGE.match(name))


def _doubled(value: Any, factor: int = 2) -> list[float] | None:
    try:
        return [round(factor * float(number), 3) for number in str(value).split()]
    except ValueError:
        return None


@functools.cache
def _exiftool() -> subprocess.Popen[bytes]:
    command = ["exiftool", "-stay_open", "True", "-@", "-", "-common_args", "-j", "-G1", "-a", "-n", "-struct"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    return process


def tags(data: bytes) -> dict[str, Any]:
    """All tags, by group and name."""
    process = _exiftool()
    assert process.stdin
    assert process.stdout
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        process.stdin.write(f"{file.name}\n-execute\n".encode())
        process.stdin.flush()
        lines = b"".join(iter(process.stdout.readline, b"{ready}\n"))
    found: dict[str, Any] = json.loads(lines)[0] if lines else {}
    return found
