"""What stands beside the pixels: carried over byte for byte, but for what states the size."""

import io
import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import GifImagePlugin, Image, PngImagePlugin, TiffImagePlugin

from scaler.images.codecs import upscale
from scaler.images.metadata import exif, fields, xmp
from scaler.images.probe import UnsupportedImage, jpeg, png
from tests.bench import metadata, oracles, samples


def _segments(data: bytes, marker: int) -> list[bytes]:
    return [segment.payload for segment in jpeg.read(data).segments if segment.marker == marker]


def _with_segments(*segments: tuple[int, bytes]) -> bytes:
    data = samples.plain("JPEG")
    extra = (struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + b"".join(extra) + data[2:]


def test_every_jpeg_segment_is_carried_over() -> None:
    iptc, comment, unknown = b"Photoshop 3.0\x008BIM" + bytes(8), b"A comment, \xe4", b"Unknown\0" + bytes(60_000)
    result = upscale(_with_segments((0xED, iptc), (0xFE, comment), (0xEA, unknown)))
    assert _segments(result, 0xED) == [iptc]
    assert _segments(result, 0xFE) == [comment]
    assert _segments(result, 0xEA) == [unknown]
    assert _segments(result, 0xE0) == _segments(samples.plain("JPEG"), 0xE0)


def test_a_profile_in_many_segments() -> None:
    profile = samples.profile() + np.random.default_rng(5).bytes(200_000)
    result = upscale(samples.saved(samples.scene(), "JPEG", icc_profile=profile))
    assert oracles.opened(result).info["icc_profile"] == profile


def _gain_map_file() -> tuple[bytes, bytes]:
    """A JPEG with a smaller image behind it, found by a multi-image index, as phones write it."""
    small = samples.saved(samples.scene().resize((30, 20)).convert("L"), "JPEG")
    length = len(_with_index(0, 0, 0))
    index_at = _with_index(0, 0, 0).index(b"MPF\0") + 4
    return _with_index(length, len(small), length - index_at) + small, small


def _with_index(first: int, second: int, offset: int) -> bytes:
    entries = struct.pack(">3LHH", 0x0003_0000, first, 0, 0, 0) + struct.pack(">3LHH", 0, second, offset, 0, 0)
    fields = struct.pack(">HHL4s", 0xB000, 7, 4, b"0100")
    fields += struct.pack(">HHLL", 0xB001, 4, 1, 2) + struct.pack(">HHLL", 0xB002, 7, 32, 50)
    return _with_segments((0xE2, b"MPF\0MM\0*" + struct.pack(">LH", 8, 3) + fields + bytes(4) + entries))


def test_a_gain_map_is_found_where_it_now_stands() -> None:
    data, small = _gain_map_file()
    result = upscale(data)
    assert result.endswith(small)
    with Image.open(io.BytesIO(result)) as image:
        assert image.format == "MPO"
        assert image.n_frames == 2  # type: ignore[attr-defined]
        image.seek(1)
        image.load()
        assert image.size == (30, 20)
    assert jpeg.read(result).end == len(result) - len(small)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_sides_grow_beyond_a_short(order: str) -> None:
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "LH", 8, 2)
    block += struct.pack(order + "HHLHH", 256, 3, 1, 40_000, 0) + struct.pack(order + "HHLL", 257, 4, 1, 10)
    block += bytes(4)
    result = exif.upscale_sizes(block, 80_000, 20)
    assert len(result) == len(block)
    found = Image.Exif()
    found.load(b"Exif\0\0" + result)
    assert (found[256], found[257]) == (80_000, 20)


def test_exif_of_the_sensor_and_the_subject() -> None:
    block = samples.exif()
    inner = block.get_ifd(0x8769)
    inner[0xA20E], inner[0xA20F] = TiffImagePlugin.IFDRational(5000, 3), TiffImagePlugin.IFDRational(5000, 3)
    inner[0x9214] = (60, 40, 10, 8)
    result = oracles.opened(upscale(samples.saved(samples.scene(), "JPEG", exif=block))).getexif().get_ifd(0x8769)
    assert float(result[0xA20E]) == pytest.approx(10_000 / 3)
    assert result[0x9214] == (120, 80, 20, 16)
    assert (result[0xA002], result[0xA003]) == (2 * samples.WIDTH, 2 * samples.HEIGHT)


def test_exif_sides_stated_as_seen_stay_so() -> None:
    block = samples.exif(orientation=6)
    inner = block.get_ifd(0x8769)
    inner[0xA002], inner[0xA003] = samples.HEIGHT, samples.WIDTH
    result = oracles.opened(upscale(samples.saved(samples.scene(), "JPEG", exif=block))).getexif().get_ifd(0x8769)
    assert (result[0xA002], result[0xA003]) == (2 * samples.HEIGHT, 2 * samples.WIDTH)


@pytest.mark.parametrize("block", [b"", b"MM", b"II*\0" + b"\xff" * 40, b"no tiff at all"])
def test_a_damaged_exif_block_stays_as_it_is(block: bytes) -> None:
    assert exif.upscale_sizes(block, 10, 10) == block


def test_xmp_of_a_panorama_and_of_faces() -> None:
    packet = (
        b'<x GPano:FullPanoWidthPixels="4000" GPano:CroppedAreaTopPixels="0" GPano:PoseHeadingDegrees="90"'
        b' stDim:w="4000" stDim:h="2000" stDim:unit="pixel" stArea:x="0.5" exif:PixelXDimension="4000"/>'
        b"<exif:PixelYDimension>2000</exif:PixelYDimension>"
    )
    assert xmp.upscale_sizes(packet) == (
        b'<x GPano:FullPanoWidthPixels="8000" GPano:CroppedAreaTopPixels="0" GPano:PoseHeadingDegrees="90"'
        b' stDim:w="8000" stDim:h="4000" stDim:unit="pixel" stArea:x="0.5" exif:PixelXDimension="8000"/>'
        b"<exif:PixelYDimension>4000</exif:PixelYDimension>"
    )


def _attribute(name: str, value: str) -> str:
    return f'<rdf:Description {name}="{value}"/>'


def _element(name: str, value: str) -> str:
    return f"<{name}>{value}</{name}>"


@pytest.mark.parametrize("spell", [_attribute, _element])
@pytest.mark.parametrize("name", fields.XMP_NUMBERS)
def test_every_xmp_size_doubles(name: str, spell: Callable[[str, str], str]) -> None:
    assert xmp.upscale_sizes(spell(name, "4001").encode()) == spell(name, "8002").encode()
    assert xmp.upscale_sizes(spell(name + "Other", "4001").encode()) == spell(name + "Other", "4001").encode()


@pytest.mark.parametrize("spell", [_attribute, _element])
@pytest.mark.parametrize("name", fields.XMP_RATIONALS)
def test_every_xmp_density_doubles(name: str, spell: Callable[[str, str], str]) -> None:
    assert xmp.upscale_sizes(spell(name, "5000/3").encode()) == spell(name, "10000/3").encode()


@pytest.mark.parametrize("name", fields.XMP_SEQUENCES)
def test_every_xmp_place_doubles(name: str) -> None:
    def sequence(*numbers: int) -> bytes:
        items = "\n".join(f"<rdf:li>{number}</rdf:li>" for number in numbers)
        return f"<{name}>\n<rdf:Seq>{items}</rdf:Seq>\n</{name}><rdf:li>7</rdf:li>".encode()

    assert xmp.upscale_sizes(sequence(10, 20, 5, 6)) == sequence(20, 40, 10, 12)


@pytest.mark.parametrize("spell", [_attribute, _element])
@pytest.mark.parametrize(
    ("unit", "name"), [(unit, name) for unit, names in fields.XMP_REGIONS.items() for name in names]
)
def test_every_xmp_region_doubles_where_it_is_in_pixels(unit: str, name: str, spell: Callable[[str, str], str]) -> None:
    in_pixels, shares = spell(unit, "pixel"), spell(unit, "normalized")
    assert xmp.upscale_sizes((in_pixels + spell(name, "30.5")).encode()) == (in_pixels + spell(name, "61.0")).encode()
    assert xmp.upscale_sizes((shares + spell(name, "0.5")).encode()) == (shares + spell(name, "0.5")).encode()
    both = in_pixels + shares
    mixed = (both + spell(name, "30") + spell(name, "0.5")).encode()
    assert xmp.upscale_sizes(mixed) == (both + spell(name, "60") + spell(name, "0.5")).encode()


@pytest.mark.parametrize("tags", [*fields.EXIF_SIDES, *((tag,) for tag in fields.EXIF_PLACES)])
def test_every_exif_size_doubles(tags: tuple[int, ...]) -> None:
    old, new = (30, 20), (60, 40)

    def block(numbers: tuple[int, int]) -> bytes:
        count = 1 if len(tags) == 2 else 2
        raw = [struct.pack("<2H", number, 0) for number in numbers] if count == 1 else [struct.pack("<2H", *numbers)]
        entries = b"".join(struct.pack("<2HL", tag, 3, count) + value for tag, value in zip(tags, raw, strict=True))
        inner = struct.pack("<H", len(tags)) + entries + bytes(4)
        if tags[0] == 0x100:
            return b"II*\0" + struct.pack("<L", 8) + inner
        pointers = (34665,) if tags[0] > 0x2000 else (34665, 40965)
        above = b"".join(
            struct.pack("<H2HLL", 1, pointer, 4, 1, 8 + 18 * (level + 1)) + bytes(4)
            for level, pointer in enumerate(pointers)
        )
        return b"II*\0" + struct.pack("<L", 8) + above + inner

    assert exif.upscale_sizes(block(old), *new) == block(new)


@pytest.mark.server
@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_the_thumbnail_and_maker_s_notes_stay(tmp_path: Path) -> None:
    thumbnail = tmp_path / "thumbnail.jpg"
    thumbnail.write_bytes(samples.saved(samples.scene().resize((30, 20)), "JPEG"))
    image, result = tmp_path / "in.jpg", tmp_path / "out.jpg"
    image.write_bytes(samples.saved(samples.scene(), "JPEG", exif=samples.exif(orientation=8)))
    subprocess.run(["exiftool", "-q", "-overwrite_original", f"-ThumbnailImage<={thumbnail}", str(image)], check=True)
    result.write_bytes(upscale(image.read_bytes()))
    extracted = subprocess.run(["exiftool", "-b", "-ThumbnailImage", str(result)], check=True, capture_output=True)
    assert extracted.stdout == thumbnail.read_bytes()
    command = ["exiftool", "-validate", "-j", str(image), str(result)]
    checked = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert checked[0]["Validate"] == checked[1]["Validate"]


def test_text_and_colour_chunks_of_a_png() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "A title")
    info.add_text("Description", "words " * 100, zip=True)
    info.add_itxt("Author", "Jörg", "de", "Autor")
    info.add(b"gAMA", struct.pack(">L", 45_455))
    info.add(b"cICP", bytes((9, 16, 0, 1)))
    info.add(b"tIME", struct.pack(">H5B", 2020, 1, 2, 3, 4, 5))
    info.add(b"prVt", b"a private chunk", after_idat=True)
    data = samples.saved(samples.scene(), "PNG", pnginfo=info, dpi=(300, 300))
    old, new = png.read(data), png.read(upscale(data))
    assert [(c.kind, bytes(c.payload)) for c in new.chunks if c.kind != b"IDAT"] == [
        (c.kind, bytes(c.payload)) for c in old.chunks if c.kind != b"IDAT"
    ]
    assert [c.kind for c in new.chunks].index(b"prVt") > [c.kind for c in new.chunks].index(b"IDAT")


def test_background_of_a_palette_becomes_its_colour() -> None:
    data = samples.saved(samples.scene().quantize(16), "PNG")
    palette = png.read(data).first(b"PLTE")
    assert palette is not None
    at = data.index(b"IDAT") - 4
    body = b"bKGD\x05"
    data = data[:at] + struct.pack(">L", 1) + body + struct.pack(">L", zlib.crc32(body)) + data[at:]
    background = png.read(upscale(data)).first(b"bKGD")
    assert background is not None
    assert bytes(background) == struct.pack(">3H", *palette[15:18])


@pytest.mark.parametrize("order", ["II", "MM"])
def test_tiff_tags_in_either_byte_order(order: str) -> None:
    fields = TiffImagePlugin.ImageFileDirectory_v2(prefix=order.encode())
    fields[270], fields[305], fields[315] = "A description", "Some software", "Someone"
    fields[282], fields[283], fields[296] = 300.0, 300.0, 2
    fields[65_000] = 70_000
    fields.tagtype[65_000] = 4
    data = samples.saved(samples.scene(), "TIFF", tiffinfo=fields)
    old, new = oracles.opened(data), oracles.opened(upscale(data))
    for tag in (270, 305, 315, 282, 283, 296, 65_000):
        assert new.tag_v2[tag] == old.tag_v2[tag]  # type: ignore[attr-defined]


def test_tiff_pages_keep_their_own_tags_and_sizes() -> None:
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file) as writer:
        for number, side in enumerate((40, 60, 50)):
            samples.scene().resize((side, 30)).save(writer, "TIFF", tiffinfo={285: f"Page {number}"})
            writer.newFrame()
    result = oracles.opened(upscale(file.getvalue()))
    found = []
    for number in range(3):
        result.seek(number)
        found.append((result.size, result.tag_v2[285]))  # type: ignore[attr-defined]
    assert found == [((80, 60), "Page 0"), ((120, 60), "Page 1"), ((100, 60), "Page 2")]


def _with_notes(notes: bytes) -> bytes:
    fields = TiffImagePlugin.ImageFileDirectory_v2()
    inner = TiffImagePlugin.ImageFileDirectory_v2()
    inner[37_500] = notes
    inner.tagtype[37_500] = 7
    fields[34_665] = dict(inner)
    return samples.saved(samples.scene(), "TIFF", tiffinfo=fields)


def _nikon(preview_at: int, cut: int = 0) -> bytes:
    """Notes with a preview of 100 bytes, whose place counts from the tenth byte."""
    preview = struct.pack("<HHHLLHHLLL", 2, 0x0201, 4, 1, preview_at, 0x0202, 4, 1, 100, 0)
    first = struct.pack("<HHHLLL", 1, 0x0011, 4, 1, 26, 0)
    return (b"Nikon\0\x02\x10\0\0II*\0" + struct.pack("<L", 8) + first + preview + bytes(100))[: -cut or None]


@pytest.mark.parametrize(
    "notes", [b"Canon notes with offsets" * 4, _nikon(5000), _nikon(56, cut=1), _nikon(56, cut=120), b"Nikon\0\x02"]
)
def test_notes_that_would_break_are_not_moved(notes: bytes) -> None:
    with pytest.raises(UnsupportedImage, match="notes"):
        upscale(_with_notes(notes))


def test_notes_that_hold_all_that_they_point_to_are_moved() -> None:
    assert _nikon(56) in upscale(_with_notes(_nikon(56)))


def test_comment_and_loop_of_a_gif() -> None:
    first, *others = samples.moving()
    data = samples.saved(first, "GIF", save_all=True, append_images=others, loop=0, duration=50, comment=b"A comment")
    with Image.open(io.BytesIO(upscale(data))) as image:
        assert isinstance(image, GifImagePlugin.GifImageFile)
        assert image.info["comment"] == b"A comment"
        assert image.info["loop"] == 0


def test_resolution_of_a_bitmap() -> None:
    result = upscale(samples.saved(samples.scene(), "BMP", dpi=(300, 300)))
    assert oracles.opened(result).info["dpi"] == pytest.approx((300, 300), abs=1)


def test_unknown_chunks_of_a_webp() -> None:
    data = samples.saved(samples.scene(), "WebP", exif=samples.exif())
    data = b"RIFF" + struct.pack("<L", len(data) - 8 + 12) + data[8:] + b"prvt\3\0\0\0abc\0"
    assert upscale(data).endswith(b"prvt\3\0\0\0abc\0")


# Tags that ExifTool can write into a file of each format.
WRITTEN = {"JPEG": 55, "PNG": 55, "WebP": 45, "TIFF": 50, "AVIF": 50, "GIF": 15, "BMP": 0, "JPEG 2000": 50, "PNM": 0}


@pytest.mark.server
@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("name", samples.EXTENSIONS)
def test_whatever_exiftool_writes_is_kept(name: str) -> None:
    original = metadata.with_metadata(samples.plain(name), samples.EXTENSIONS[name])
    assert len(metadata.tags(original)) >= WRITTEN[name]
    assert metadata.lost(original, upscale(original)) == ""
    # It sees what plain OpenCV loses.
    if WRITTEN[name]:
        assert metadata.lost(original, samples.plain(name))
