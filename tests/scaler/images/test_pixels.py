"""Every pixel of a lossless format is what cv2.resize makes of the original's, as Pillow reads both."""

import io
import struct
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from scaler.images.codecs import pixels, upscale
from scaler.images.probe import jp2, read_header
from scaler.images.probe.isobmff import make_box
from tests.bench import oracles, samples


def _resized(image: NDArray[np.integer | np.floating]) -> NDArray[np.integer | np.floating]:
    return cv2.resize(np.ascontiguousarray(image), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)


def _pixels(data: bytes, mode: str | None = None) -> NDArray[np.integer | np.floating]:
    image = oracles.opened(data)
    pixels = np.asarray(image if mode is None else image.convert(mode))
    return pixels.astype(np.uint16) if pixels.dtype == np.int32 else pixels  # Pillow's way with a 16-bit PGM


def _cases() -> dict[str, tuple[bytes | None, str | None]]:
    found: dict[str, tuple[bytes | None, str | None]] = {}
    for name in ("PNG", "WebP", "TIFF", "BMP", "JPEG 2000", "PNM"):
        found[name] = samples.plain(name), "RGB"
        found[f"{name}, grey"] = samples.of_mode(name, "L"), "L"
        found[f"{name}, palette"] = samples.of_mode(name, "P"), "RGB"
        found[f"{name}, 1 bit"] = samples.of_mode(name, "1"), "L"
        found[f"{name}, grey and alpha"] = samples.of_mode(name, "LA"), "LA"
        found[f"{name}, alpha"] = samples.with_alpha(name), "RGBA"
        found[f"{name}, 16 bits"] = samples.of_depth(name, 16), None
        found[f"{name}, floating-point"] = samples.of_depth(name, 32), None
    found["TIFF, CMYK"] = samples.of_mode("TIFF", "CMYK"), "CMYK"
    return {name: case for name, case in found.items() if case[0] is not None}


@pytest.mark.parametrize("name", _cases())
def test_lossless(name: str) -> None:
    data, mode = _cases()[name]
    assert data is not None
    found, original = _pixels(upscale(data), mode), _pixels(data, mode)
    np.testing.assert_array_equal(found, _premultiplied(original) if mode in ("RGBA", "LA") else _resized(original))


def _premultiplied(image: NDArray[np.integer | np.floating]) -> NDArray[np.integer | np.floating]:
    """The reference of images with transparency: plain where alpha is the same all around, and where it is nothing."""
    plain, alpha = _resized(image), image[:, :, -1]
    weighted: Any = image.astype(np.float64)
    weighted[:, :, :-1] *= weighted[:, :, -1:]
    weighted = _resized(weighted)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(alpha, 1, "edge"), (3, 3))
    mixed = (around.max(axis=(2, 3)) != around.min(axis=(2, 3))).repeat(2, axis=0).repeat(2, axis=1)
    mixed &= plain[:, :, -1] > 0
    plain[mixed, :-1] = np.rint(weighted[mixed][:, :-1] / weighted[mixed][:, -1:])
    return plain


def _disc(depth: int) -> NDArray[np.integer]:
    """A red disc with soft edges, on transparent black but for one corner of hidden green (R, G, B, A)."""
    y, x = np.mgrid[:HEIGHT_OF_DISC, :HEIGHT_OF_DISC] - HEIGHT_OF_DISC / 2
    alpha = np.clip(20 - np.hypot(x, y), 0, 1)
    top = 2**depth - 1
    image = np.zeros((*alpha.shape, 4), np.uint16 if depth > 8 else np.uint8)
    image[:, :, 0] = np.where(alpha > 0, top, 0)
    image[:, :, 3] = np.rint(alpha * top)
    image[:8, :8, 1] = top // 3
    return image


HEIGHT_OF_DISC = 64
FRINGES = {
    "PNG": (".png", 8, ()),
    "PNG, 16 bits": (".png", 16, ()),
    "TIFF": (".tif", 8, ()),
    "TIFF, 16 bits": (".tif", 16, ()),
    "WebP": (".webp", 8, (cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR)),
    "WebP, lossy": (".webp", 8, (cv2.IMWRITE_WEBP_QUALITY, 95)),
    "AVIF": (".avif", 8, (cv2.IMWRITE_AVIF_QUALITY, 95)),
    "AVIF, 10 bits": (".avif", 10, (cv2.IMWRITE_AVIF_QUALITY, 95, cv2.IMWRITE_AVIF_DEPTH, 10)),
    "AVIF, lossless": (".avif", 8, (cv2.IMWRITE_AVIF_QUALITY, 100)),
    "JPEG 2000": (".jp2", 8, (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)),
    "JPEG 2000, 16 bits": (".jp2", 16, (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)),
}


def _written(name: str) -> bytes:
    extension, depth, parameters = FRINGES[name]
    if extension == ".tif":  # OpenCV does not say there that its colours are not multiplied by alpha
        file = io.BytesIO()
        tifffile.imwrite(file, _disc(depth), photometric="rgb", extrasamples=["unassalpha"])
        return file.getvalue()
    return cv2.imencode(extension, _disc(depth)[:, :, [2, 1, 0, 3]], parameters)[1].tobytes()


def _read(name: str, data: bytes) -> NDArray[np.integer]:
    """R, G, B, A, by other libraries than the one under test."""
    decoders = {".tif": lambda data: tifffile.imread(io.BytesIO(data)), ".png": imagecodecs.png_decode}
    decoders |= {".webp": imagecodecs.webp_decode, ".avif": imagecodecs.avif_decode, ".jp2": imagecodecs.jpeg2k_decode}
    return np.asarray(decoders[FRINGES[name][0]](data))


def _darkest(name: str, data: bytes) -> float:
    """The least red, of 255, of what is seen; where coding is lossy, of what is seen well."""
    image, top = _read(name, data), float(2 ** FRINGES[name][1] - 1)
    seen = image[:, :, 3] > (top / 4 if name in LOSSY else 0)
    assert seen.sum() > 1000
    return float(image[seen][:, 0].min()) * 255 / top


LOSSY = {name for name in FRINGES if "lossy" in name or name in ("AVIF", "AVIF, 10 bits")}


@pytest.mark.parametrize("name", FRINGES)
def test_no_dark_fringe_around_what_is_opaque(name: str) -> None:
    before, after = _darkest(name, _written(name)), _darkest(name, upscale(_written(name)))
    assert after >= (before - 5 if name in LOSSY else 250)


@pytest.mark.parametrize("name", ["PNG", "PNG, 16 bits", "TIFF", "TIFF, 16 bits", "WebP", "JPEG 2000"])
def test_hidden_colours_away_from_edges_stay(name: str) -> None:
    top = 2 ** FRINGES[name][1] - 1
    result = _read(name, upscale(_written(name)))
    np.testing.assert_array_equal(result[:12, :12], np.full((12, 12, 4), (0, top // 3, 0, 0)))


def test_the_fourth_component_of_a_bare_codestream_is_transparency() -> None:
    boxed = _written("JPEG 2000")
    at = boxed.index(b"jp2c") + 4
    bare, result = boxed[at:], upscale(boxed[at:])
    assert bare.startswith(b"\xff\x4f\xff\x51")
    np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(result), _read("JPEG 2000", upscale(boxed)))


def test_the_fourth_ink_of_a_jpeg_2000_with_a_profile_is_no_transparency() -> None:
    """Whose profile may be one of CMYK: weighting by it would change the other inks without a word."""
    boxed = _written("JPEG 2000")
    stream = boxed[boxed.index(b"jp2c") + 4 :]
    profile = b"\0" * 12 + b"prtrCMYKLab " + b"\0" * 104
    height, width = _disc(8).shape[:2]
    shape = make_box(b"ihdr", struct.pack(">2LH4B", height, width, 4, 7, 7, 0, 0))
    header = make_box(b"jp2h", shape, make_box(b"colr", b"\2\0\0" + profile))
    kind = make_box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    data = jp2.SIGNATURE + kind + header + make_box(b"jp2c", stream)

    result = imagecodecs.jpeg2k_decode(upscale(data))

    np.testing.assert_array_equal(result, _resized(imagecodecs.jpeg2k_decode(data)))


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_constant_alpha_is_resized_plainly(value: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (90, 70, 4), np.uint8)
    image[:, :, 3] = value
    np.testing.assert_array_equal(pixels.upscaled(image, alpha=True), _resized(image))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_is_upscaled_at_least_as_truly(channels: int) -> None:
    image = np.asarray(samples.scene())[:, :, :channels].squeeze()
    exact = _resized(image.astype(np.float64))
    off, usual = (np.abs(twice - exact) for twice in (pixels.upscale_fast(image), _resized(image)))
    assert off.max() <= usual.max()
    assert off.mean() <= usual.mean()
    assert not cv2.ipp.useIPP_NotExact()


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_lossless_avif_stays_lossless(bits: int) -> None:
    wide = np.asarray(samples.scene())[:, :, ::-1].astype(np.uint16) << (bits - 8)
    pixels: NDArray[np.integer | np.floating] = wide if bits > 8 else wide.astype(np.uint8)
    parameters = [cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_DEPTH, bits]
    result = upscale(cv2.imencode(".avif", pixels, parameters)[1].tobytes())
    decoded = cv2.imdecode(np.frombuffer(result, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, _resized(pixels))


@pytest.mark.parametrize("options", [{}, {"transparency": 100}])
def test_grey_png_with_a_transparent_value(options: dict[str, int]) -> None:
    data = samples.saved(samples.scene().convert("L"), "PNG", **options)
    assert oracles.alpha(data, upscale(data), ".png") == "kept"


def test_colour_png_with_a_transparent_value() -> None:
    image = samples.scene().quantize(8).convert("RGB")
    key = image.getpixel((60, 60))
    data = samples.saved(image, "PNG", transparency=key)
    result = oracles.values(oracles.opened(upscale(data)), "RGBA")
    assert {0, 255} <= set(np.unique(result[:, :, 3]))
    assert oracles.alpha(data, upscale(data), ".png") == "kept"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGBA", "1", "CMYK"])
def test_tiff_is_stored_as_it_was(mode: str, orientation: int) -> None:
    data = samples.saved(samples.scene().convert(mode), "TIFF", tiffinfo={274: orientation})
    result = upscale(data)
    with Image.open(io.BytesIO(result)) as image:
        assert image.tag_v2[274] == orientation  # type: ignore[attr-defined]
    near = oracles.difference(data, result, "CMYK" if mode == "CMYK" else "RGBA")
    assert near < 0.5


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_compression(compression: str) -> None:
    result = upscale(samples.saved(samples.scene(), "TIFF", compression=compression))
    assert oracles.opened(result).info["compression"] == compression


def test_inverted_fax_page() -> None:
    data = samples.saved(samples.scene().convert("1"), "TIFF", compression="group4")
    assert oracles.difference(data, upscale(data)) < 0.5


def test_white_of_a_grey_map_and_its_comment() -> None:
    values = samples.deep() % 1024
    data = b"P5\n# a comment\n%d %d\n1023\n" % values.shape[::-1] + values.astype(">u2").tobytes()
    result = upscale(data)
    assert result.startswith(b"P5\n# a comment\n%d %d\n1023\n" % (2 * samples.WIDTH, 2 * samples.HEIGHT))
    body = np.frombuffer(result[-8 * values.size :], ">u2").reshape(2 * samples.HEIGHT, -1)
    np.testing.assert_array_equal(body, _resized(values))


def test_quality_is_as_told() -> None:
    data = samples.plain("JPEG")
    low, high = upscale(data, quality=50), upscale(data, quality=95)
    assert len(low) < len(high) / 2
    tables = [oracles.opened(result).quantization for result in (low, high)]  # type: ignore[attr-defined]
    for quality, table in zip((50, 95), tables, strict=True):
        assert table == oracles.opened(samples.saved(samples.scene(), "JPEG", quality=quality)).quantization  # type: ignore[attr-defined]


def test_content_decides_not_the_name() -> None:
    for name in samples.EXTENSIONS:
        data = samples.plain(name)
        header, result = read_header(data), read_header(upscale(data))
        assert (result.format, result.width, result.height) == (name, 2 * header.width, 2 * header.height)


def test_transparent_frames_of_a_gif_that_build_up() -> None:
    frames = samples.moving(clear=True)
    data = samples.saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=1, duration=100)
    assert oracles.frames(data, upscale(data), ".gif") == "kept"
