"""Bad images: each is skipped with a sentence that says why, nothing is printed, and the process goes on."""

import functools
import mmap
import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scaler.images.codecs import upscale
from scaler.images.probe import UnsupportedImage, describe, read_header
from tests.bench import samples

WHOLE = {name: samples.plain(name) for name in samples.EXTENSIONS}
WHOLE |= {f"moving {name}": data for name in ("GIF", "PNG", "WebP") if (data := samples.with_frames(name)) is not None}
WHOLE["progressive JPEG"] = samples.saved(samples.scene(), "JPEG", progressive=True)


def _reason(data: bytes) -> str:
    with pytest.raises(UnsupportedImage) as caught:
        upscale(data)
    reason = caught.value.reason
    assert reason
    assert "\n" not in reason
    return reason


@pytest.mark.parametrize("name", WHOLE)
def test_cut_off(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = WHOLE[name]
    for length in {len(data) * tenth // 10 for tenth in range(10)} | {1, len(data) - 2}:
        _reason(data[:length])
    assert capfd.readouterr() == ("", "")


@given(name=st.sampled_from(sorted(WHOLE)), data=st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_bits(name: str, data: st.DataObject) -> None:
    original = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 4))):
        original[data.draw(st.integers(0, len(original) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(UnsupportedImage):  # anything else would end the test
        header = read_header(bytes(original))
        if header.width * header.height <= 1 << 22:
            result = describe(upscale(bytes(original)))
            assert (result.width, result.height) == (2 * header.width, 2 * header.height)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP", "TIFF", "JPEG 2000", "AVIF"])
def test_an_encoder_that_stops_halfway_without_saying_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, others = cv2.imencode, (imagecodecs.avif_encode, imagecodecs.tiff_encode)

    def halfway(*arguments: Any) -> tuple[bool, NDArray[np.uint8]]:
        done, encoded = whole(*arguments)
        return done, encoded[: encoded.size // 2]

    def half_of(encode: Callable[..., Any], *arguments: Any, **options: Any) -> bytes:
        encoded = bytes(encode(*arguments, **options))
        return encoded[: len(encoded) // 2]

    monkeypatch.setattr(cv2, "imencode", halfway)
    for encode in others:
        monkeypatch.setattr(imagecodecs, encode.__name__, functools.partial(half_of, encode))
    _reason(WHOLE[name])


def test_damage_within_a_jpeg_is_noticed(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(samples.saved(samples.scene(), "JPEG", quality=95))
    for place in range(len(data) // 2, len(data) // 2 + 40):
        data[place] ^= 0x5A if data[place] not in (0xFF, 0xFF ^ 0x5A, 0) else 0  # the markers stay as they are
    assert "damaged: Corrupt JPEG data" in _reason(bytes(data))
    assert capfd.readouterr() == ("", "")


def _png(width: int, height: int, body: bytes, depth: int = 8, colour: int = 2) -> bytes:
    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">L", len(payload)) + kind + payload + struct.pack(">L", zlib.crc32(kind + payload))

    start = struct.pack(">2L5B", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\xff", "not an image"),
        (b"Just some text, in a file named image.jpg.", "not an image"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "HTML"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), "JPEG XL"),
        (b"\xff\x0a" + bytes(100), "JPEG XL"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(100), "camera raw"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(100), "camera raw"),
        (b"8BPS\0\1" + bytes(100), "Photoshop"),
        (b"%PDF-1.7\n", "PDF"),
        (_png(0, 10, b""), "0 x 10"),
        (_png(2**31 - 1, 1, b""), "exceed"),
        (_png(10, 10, b"nothing"), "damaged"),
    ],
)
def test_named_as_what_it_is(data: bytes, reason: str) -> None:
    assert reason in _reason(data)


def test_too_wide_for_its_format() -> None:
    assert "65500" in _reason(samples.saved(samples.scene().resize((65_000, 1)), "JPEG"))
    assert "16383" in _reason(samples.saved(samples.scene().resize((16_383, 1)), "WebP"))


def test_a_wide_image_that_just_fits() -> None:
    header = describe(upscale(samples.saved(samples.scene().resize((32_750, 1)), "JPEG")))
    assert (header.width, header.height) == (65_500, 2)


def test_a_bomb_is_seen_in_its_header() -> None:
    bomb = _png(11_800, 11_800, zlib.compress(bytes((11_800 * 3 + 1) * 11_800), 6))
    header = read_header(bomb)
    assert len(bomb) < 500_000
    assert header.width * header.height * header.channels > 400_000_000


def test_what_follows_an_image_is_kept() -> None:
    for name in ("JPEG", "PNG", "WebP", "GIF"):
        assert upscale(WHOLE[name] + b"PK\3\4 a polyglot").endswith(b"PK\3\4 a polyglot")


def test_headers_are_read_from_a_file_in_place() -> None:
    for name, data in WHOLE.items():
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                header = read_header(mapped)
        assert header == read_header(data)
        assert header.size == len(data)
        assert header.format in name


def test_signed_credentials_are_not_broken() -> None:
    data = WHOLE["JPEG"]
    assert "credentials" in _reason(data[:2] + b"\xff\xeb\0\x10JP" + bytes(12) + data[2:])


def test_views_of_the_same_size_are_not_left_behind() -> None:
    index = b"MM\0*" + struct.pack(">L", 8) + struct.pack(">H2HLLL", 1, 0xB002, 7, 32, 26, 0)
    index += struct.pack(">3LHH", 0x2002_0000, 1, 0, 0, 0) + struct.pack(">3LHH", 0x0002_0002, 1, 0, 0, 0)
    data = WHOLE["JPEG"]
    segment = b"\xff\xe2" + struct.pack(">H", 6 + len(index)) + b"MPF\0" + index
    assert "several views" in _reason(data[:2] + segment + data[2:])


def test_an_index_of_further_images_that_points_nowhere_is_harmless() -> None:
    index = b"MM\0*" + struct.pack(">L", 8) + struct.pack(">H2HLLL", 1, 0xB002, 7, 32, 26, 0)
    index += struct.pack(">3LHH", 0x0003_0000, 1, 0, 0, 0) + struct.pack(">3LHH", 0, 50, 900_000, 0, 0)
    data = WHOLE["JPEG"]
    for block in (index, index[:20], b"nothing"):
        segment = b"\xff\xe2" + struct.pack(">H", 6 + len(block)) + b"MPF\0" + block
        assert block in upscale(data[:2] + segment + data[2:])


def test_junk_between_segments_is_no_damage(capfd: pytest.CaptureFixture[str]) -> None:
    data = WHOLE["JPEG"]
    at = data.index(b"\xff\xdb")
    assert upscale(data[:at] + b"junk\0\1" + data[at:]) == upscale(data)
    assert upscale(data[:-2] + bytes(40) + data[-2:]) == upscale(data)
    assert capfd.readouterr() == ("", "")


def test_junk_does_not_hide_damage() -> None:
    data = WHOLE["JPEG"]
    at = data.index(b"\xff\xdb")
    broken = bytearray(data[:at] + b"junk" + data[at:])
    for place in range(len(broken) // 2, len(broken) // 2 + 40):
        broken[place] ^= 0x5A if broken[place] not in (0xFF, 0xFF ^ 0x5A, 0) else 0
    assert "damaged" in _reason(bytes(broken))


def test_an_avif_whose_first_brand_is_another() -> None:
    data = WHOLE["AVIF"]
    size = int.from_bytes(data[:4])
    brands = struct.pack(">L", 20) + b"ftypmif1\0\0\0\0avif"
    moved = bytearray(data)  # the box keeps its length, so that nothing moves
    moved[:size] = brands[:4].replace(brands[:4], struct.pack(">L", size)) + brands[4:] + b"mif1" * ((size - 20) // 4)
    assert describe(upscale(bytes(moved))).format == "AVIF"


def test_nothing_is_shown_of_damaged_images(capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(3)
    for data in WHOLE.values():
        broken = bytearray(data)
        for place in random.integers(len(data) // 3, len(data), 30):
            broken[place] ^= 0xFF
        with suppress(UnsupportedImage):
            upscale(bytes(broken))
    assert capfd.readouterr() == ("", "")
