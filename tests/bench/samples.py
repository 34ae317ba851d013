"""Small images of every format and property, made by Pillow and by hand, none by the code they test."""

import functools
import io
import struct
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin, TiffImagePlugin

WIDTH, HEIGHT = 120, 80
EXTENSIONS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WebP": ".webp",
    "TIFF": ".tif",
    "AVIF": ".avif",
    "GIF": ".gif",
    "BMP": ".bmp",
    "JPEG 2000": ".jp2",
    "PNM": ".ppm",
}
_PILLOW_NAMES = {"WebP": "WEBP", "JPEG 2000": "JPEG2000", "PNM": "PPM"}
LOSSLESS: dict[str, dict[str, object]] = {"WebP": {"lossless": True, "exact": True}}
TITLE, MODEL, TAKEN = "A title", "Model X", "2020:01:02 03:04:05"
DELAYS = (100, 30, 250)
LOOPS = 3


@functools.cache
def scene(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """An image like a photograph: noise of all sizes, little colour, and one corner marked."""
    random = np.random.default_rng(1)
    canvas = np.full((height, width, 3), 128, np.float32)
    for octave in range(1, 8):
        side = 2**octave
        noise = random.normal(0, 1, (side, side, 3)).astype(np.float32)
        noise = 1.2 * noise.mean(axis=2, keepdims=True) + 0.3 * noise
        canvas += 60 / 1.7**octave * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    ImageDraw.Draw(image).rectangle((0, 0, width // 4, height // 8), fill=(200, 30, 40))
    return image


def transparent() -> Image.Image:
    """The scene, fading out to the right."""
    image = scene().copy()
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))))
    return image


def cut_out() -> Image.Image:
    """A disc of the scene, with nothing around it."""
    mask = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(mask).ellipse((20, 10, 90, 70), fill=255)
    image = scene().copy()
    image.putalpha(mask)
    return image


def deep() -> NDArray[np.uint16]:
    """Grey of 16 bits, whose lower eight matter."""
    return (np.arange(WIDTH * HEIGHT, dtype=np.uint32) * 6 % 65_521).reshape(HEIGHT, WIDTH).astype(np.uint16)


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    """Encode by Pillow in the format that the project calls `name`."""
    file = io.BytesIO()
    image.save(file, _PILLOW_NAMES.get(name, name), **options)
    return file.getvalue()


def plain(name: str) -> bytes:
    """The scene, without loss where the format can."""
    options = {"JPEG": {"quality": 92}, "AVIF": {"quality": 90}} | LOSSLESS
    return saved(scene(), name, **options.get(name, {}))


@functools.cache
def profile() -> bytes:
    """An ICC profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int = 1) -> Image.Exif:
    """What a camera writes."""
    block = Image.Exif()
    block[0x010F], block[0x0110], block[0x0132] = "Maker", MODEL, TAKEN
    if orientation != 1:
        block[0x0112] = orientation
    inner = block.get_ifd(0x8769)
    inner[0x9003], inner[0xA002], inner[0xA003] = TAKEN, WIDTH, HEIGHT
    place = block.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (48.0, 8.0, 14.0), "E", (11.0, 34.0, 31.0)
    return block


def packet() -> bytes:
    """An XMP packet."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        f' tiff:ImageWidth="{WIDTH}" tiff:ImageLength="{HEIGHT}"><dc:title><rdf:Alt>'
        f'<rdf:li xml:lang="x-default">{TITLE}</rdf:li></rdf:Alt></dc:title>'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def _box(kind: bytes, *payload: bytes) -> bytes:
    body = b"".join(payload)
    return struct.pack(">L4s", 8 + len(body), kind) + body


def _in_jp2(box: bytes) -> bytes:
    data = plain("JPEG 2000")
    at = data.index(b"jp2c") - 4
    return data[:at] + box + data[at:]


def _jp2_with_profile() -> bytes:
    data = plain("JPEG 2000")
    at = data.index(b"jp2h") - 4
    size = int.from_bytes(data[at : at + 4])
    ihdr = data[at + 8 : at + 30]
    return data[:at] + _box(b"jp2h", ihdr, _box(b"colr", b"\2\0\0", profile())) + data[at + size :]


def _blocks(payload: bytes) -> bytes:
    parts = [payload[at : at + 255] for at in range(0, len(payload), 255)]
    return b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def _in_gif(extension: bytes) -> bytes:
    data = plain("GIF")
    at = 13 + (3 << (data[10] & 7) + 1)
    return b"GIF89a" + data[6:at] + b"\x21\xff\x0b" + extension + data[at:]


def _bmp_with_profile() -> bytes:
    data = plain("BMP")
    rows = data[54:]
    info = bytearray(124)
    info[:40] = struct.pack("<L", 124) + data[18:54]
    struct.pack_into("<L", info, 56, 0x4D42_4544)  # an embedded profile
    struct.pack_into("<2L", info, 112, 124 + len(rows), len(profile()))
    head = struct.pack("<2sLHHL", b"BM", 138 + len(rows) + len(profile()), 0, 0, 138)
    return head + info + rows + profile()


def with_exif(name: str) -> bytes | None:
    """The scene with a camera's EXIF block."""
    if name in ("GIF", "BMP", "PNM"):
        return None
    if name == "JPEG 2000":
        return _in_jp2(_box(b"uuid", b"JpgTiffExif->JP2", exif().tobytes()[6:]))
    if name == "TIFF":
        block = exif()
        fields = TiffImagePlugin.ImageFileDirectory_v2()
        fields[0x010F], fields[0x0110], fields[0x0132] = "Maker", MODEL, TAKEN
        fields[0x8769], fields[0x8825] = block.get_ifd(0x8769), block.get_ifd(0x8825)
        return saved(scene(), name, tiffinfo=fields)
    return saved(scene(), name, exif=exif(), **LOSSLESS.get(name, {}))


def with_xmp(name: str) -> bytes | None:
    """The scene with an XMP packet."""
    if name in ("BMP", "PNM"):
        return None
    if name == "JPEG 2000":
        return _in_jp2(_box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), packet()))
    if name == "GIF":
        return _in_gif(b"XMP DataXMP" + packet() + bytes(range(256))[:0:-1].join((b"\1", b"\0\0")))
    if name == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet().decode())
        return saved(scene(), name, pnginfo=info)
    if name == "TIFF":
        fields = TiffImagePlugin.ImageFileDirectory_v2()
        fields[700] = packet()
        fields.tagtype[700] = 1
        return saved(scene(), name, tiffinfo=fields)
    return saved(scene(), name, xmp=packet(), **LOSSLESS.get(name, {}))


def with_profile(name: str) -> bytes | None:
    """The scene with an ICC profile."""
    makers: dict[str, Callable[[], bytes]] = {
        "JPEG 2000": _jp2_with_profile,
        "GIF": lambda: _in_gif(b"ICCRGBG1012" + _blocks(profile())),
        "BMP": _bmp_with_profile,
    }
    if name in makers:
        return makers[name]()
    return None if name == "PNM" else saved(scene(), name, icc_profile=profile(), **LOSSLESS.get(name, {}))


def turned(name: str, orientation: int) -> bytes | None:
    """The scene, stored so that it is to be turned for being seen."""
    if name not in ("JPEG", "PNG", "WebP", "TIFF", "AVIF"):
        return None
    if name == "TIFF":
        return saved(scene(), name, tiffinfo={274: orientation})
    return saved(scene(), name, exif=exif(orientation), **LOSSLESS.get(name, {}))


def with_alpha(name: str) -> bytes | None:
    """The scene with transparency."""
    if name in ("JPEG", "PNM"):
        return None
    if name == "GIF":
        return saved(cut_out(), name)
    if name == "BMP":
        pixels = np.asarray(transparent())[:, :, [2, 1, 0, 3]]
        return cv2.imencode(".bmp", pixels)[1].tobytes()
    return saved(transparent(), name, **LOSSLESS.get(name, {}))


def of_mode(name: str, mode: str) -> bytes | None:
    """The scene in one of Pillow's modes, where the format has it."""
    having = {
        "L": set(EXTENSIONS) - {"WebP"},
        "P": {"PNG", "TIFF", "GIF", "BMP"},
        "1": {"PNG", "TIFF", "BMP", "PNM"},
        "CMYK": {"JPEG", "TIFF"},
        "LA": {"PNG"},
    }
    if name not in having[mode]:
        return None
    image = transparent() if mode == "LA" else scene()
    converted = image.quantize(64) if mode == "P" else image.convert(mode)
    return saved(converted, name, **({"quality": 92} if name == "JPEG" else {}))


def of_depth(name: str, bits: int) -> bytes | None:
    """Grey of 16 bits, colours of 10, grey of 32 (floating-point)."""
    if bits == 10:
        if name != "AVIF":
            return None
        wide = np.asarray(scene())[:, :, ::-1].astype(np.uint16) << 2
        return cv2.imencode(".avif", wide, [cv2.IMWRITE_AVIF_DEPTH, 10])[1].tobytes()
    if bits == 32:
        return saved(Image.fromarray(deep().astype(np.float32) / 7), name) if name == "TIFF" else None
    return saved(Image.fromarray(deep()), name) if name in ("PNG", "TIFF", "JPEG 2000", "PNM") else None


def moving(*, clear: bool = False) -> list[Image.Image]:
    """Frames of which a part moves."""
    found = []
    for step in range(len(DELAYS)):
        frame = Image.new("RGBA", (WIDTH, HEIGHT)) if clear else scene().quantize(48).convert("RGB")
        ImageDraw.Draw(frame).ellipse((20 * step, 15, 20 * step + 45, 60), fill=(220, 60 * step, 10))
        found.append(frame)
    return found


def with_frames(name: str, *, clear: bool = False) -> bytes | None:
    """An animation, or pages."""
    first, *others = moving(clear=clear)
    options: dict[str, object] = {"save_all": True, "append_images": others}
    if name in ("GIF", "PNG", "WebP", "AVIF"):
        options |= {"duration": list(DELAYS), "loop": LOOPS} | ({"disposal": 2} if clear and name == "GIF" else {})
        return saved(first, name, **options, **LOSSLESS.get(name, {}))
    return saved(first, name, **options) if name == "TIFF" else None
