"""AVIF (AOM's AV1 Image File Format on HEIF): depths, chroma formats, ranges, colour descriptions, alpha, boxes."""

import struct
from collections.abc import Iterator
from typing import Any

import cv2
import imagecodecs
import numpy as np
from PIL import Image

from tests.bench import samples
from tests.bench.kinds import Samples, deep, grey, made, rgb, rgba, truth


def _encoded(image: Samples, bits: int, chroma: str, **options: Any) -> bytes:
    wide = image if bits == 8 else deep(image) >> (16 - bits)
    return bytes(
        imagecodecs.avif_encode(
            wide, 90, speed=8, bitspersample=bits, pixelformat=f"YUV{chroma}", numthreads=1, **options
        )
    )


def _pillow(image: Samples, **options: Any) -> bytes:
    return samples.saved(Image.fromarray(image), "AVIF", **{"quality": 90, "speed": 8, "max_threads": 1} | options)


def kinds() -> Iterator[tuple[Any, ...]]:
    """Every kind of AVIF."""
    for bits in (8, 10, 12):
        for chroma in ("420", "422", "444"):
            yield f"{bits} bits, {chroma}", _encoded(rgb(), bits, chroma)
            yield f"{bits} bits, {chroma}, with alpha", _encoded(rgba(), bits, chroma)
        yield f"{bits} bits, grey", _encoded(grey(), bits, "400")
        yield f"{bits} bits, grey and alpha", _encoded(np.dstack((grey(), rgba()[:, :, 3])), bits, "400")
        wide = rgb() if bits == 8 else deep(rgb()) >> (16 - bits)
        for name, image in (("", wide), (" with alpha", np.dstack((wide, wide[:, :, 0])))):
            stored = np.ascontiguousarray(image[:, :, [2, 1, 0, 3][: image.shape[2]]])
            parameters = [cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_SPEED, 9]
            yield (
                f"{bits} bits, lossless{name}",
                cv2.imencode(".avif", stored, parameters)[1].tobytes(),
                truth(image, 2**bits - 1),
            )
    for chroma in ("4:2:0", "4:2:2", "4:4:4", "4:0:0"):
        for area in ("full", "limited"):
            yield f"{chroma}, {area} range", _pillow(rgb(), subsampling=chroma, range=area)
            yield f"{chroma}, {area} range, with alpha", _pillow(rgba(), subsampling=chroma, range=area)
    yield "multiplied by alpha", _pillow(rgba(), alpha_premultiplied=True)
    variants: dict[str, dict[str, Any]] = {
        "EXIF": {"exif": samples.exif()},
        "XMP": {"xmp": samples.packet()},
        "a profile": {"icc_profile": samples.profile()},
    }
    for name, options in variants.items():
        yield f"with {name}", _pillow(rgb(), **options)
    for orientation in range(2, 9):
        yield f"orientation {orientation}", _pillow(rgb(), exif=samples.exif(orientation))
    yield "tiles", _pillow(np.asarray(samples.scene(256, 192)), tile_rows=1, tile_cols=1)
    first, *others = samples.moving()
    yield "animated", samples.saved(first, "AVIF", save_all=True, append_images=others, duration=100, speed=10)
    for side in (1, 2, 3, 17):
        yield f"{side} x {side}", _pillow(rgb()[:side, :side])
    yield from _described()
    yield from _boxes()
    for bits in (8, 10, 12):
        for mode in ("on", "off"):
            yield (
                f"by vips, {bits} bits, subsampling {mode}",
                made(
                    f"vips heifsave IN OUT --compression av1 --bitdepth {bits} --subsample-mode {mode} --Q 80", ".avif"
                ),
            )
    yield "by vips, lossless", made("vips heifsave IN OUT --compression av1 --lossless", ".avif")
    yield "by vips, with alpha", made("vips heifsave IN OUT --compression av1 --Q 80", ".avif", rgba())
    yield "by ImageMagick", made("convert IN -quality 80 OUT", ".avif")


def _described() -> Iterator[tuple[Any, ...]]:
    """Primaries, transfer and matrix, of which a reader must know the last."""
    for primaries, transfer, matrix in (
        (1, 13, 1),
        (9, 16, 9),
        (9, 18, 9),
        (12, 13, 6),
        (1, 1, 5),
        (2, 2, 2),
        (1, 13, 8),
        (1, 13, 4),
        (1, 13, 7),
        (1, 8, 0),
    ):
        for bits in (8, 10):
            name = f"{bits} bits, described as {primaries}/{transfer}/{matrix}"
            try:
                yield name, _encoded(rgb(), bits, "444", primaries=primaries, transfer=transfer, matrix=matrix)
            except (ValueError, imagecodecs.AvifError):
                continue


def _boxes() -> Iterator[tuple[Any, ...]]:
    """Files whose boxes say something else than the coded image, or say it in another way."""
    plain, clear = _pillow(rgb()), _pillow(rgba())
    height, width = rgb().shape[:2]
    said = b"ispe" + struct.pack(">3L", 0, width, height)
    assert said in plain
    for name, sides in {
        "half": (width // 2, height // 2),
        "double": (2 * width, 2 * height),
        "turned": (height, width),
        "one less": (width - 1, height - 1),
        "nothing": (0, 0),
    }.items():
        yield f"said to be of other sides: {name}", plain.replace(said, b"ispe" + struct.pack(">3L", 0, *sides))
        at = clear.rindex(b"ispe")
        changed = clear[:at] + b"ispe" + struct.pack(">3L", 0, *sides) + clear[at + 16 :]
        yield f"said to be of other sides, with alpha: {name}", changed
    small = _pillow(np.dstack((rgb(), rgba()[:, :, 3])))
    yield "alpha without its sides", _without_association(clear, b"ispe", item=2)
    yield "colours without their sides", _without_association(clear, b"ispe", item=1)
    yield "alpha without its coding", _without_association(clear, b"av1C", item=2)
    yield "alpha without its channels", _without_association(clear, b"pixi", item=2)
    yield "colours without a description", _without_association(plain, b"colr", item=1)
    yield "first brand mif1", plain[:8] + b"mif1" + plain[12:]
    yield "only the brand avis", plain[:8] + plain[8:40].replace(b"avif", b"avis") + plain[40:]
    yield "a free box in front", plain[: int.from_bytes(plain[:4])] + plain[int.from_bytes(plain[:4]) :]
    yield "something behind", plain + b"\0\0\0\x0cfreeabcd"
    yield "cut off", plain[:-100]
    yield "cut off in the alpha", small[:-20]
    for kind, payload in {
        b"pasp": struct.pack(">2L", 2, 1),
        b"clap": struct.pack(">8L", 30, 1, 20, 1, 0, 1, 0, 1),
        b"irot": b"\1",
        b"imir": b"\1",
        b"clli": struct.pack(">2H", 1000, 400),
        b"a1op": b"\0",
    }.items():
        yield f"with {kind.decode()}", _with_property(plain, kind, payload)


def _parts(data: bytes) -> tuple[int, int, int, int]:
    """Offsets of `meta`, `iprp`, `ipco` and `ipma` (of their lengths)."""
    return tuple(data.index(kind) - 4 for kind in (b"meta", b"iprp", b"ipco", b"ipma"))  # type: ignore[return-value]


def _size(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4])


def _shifted(data: bytes, by: int) -> bytes:
    """The same with the items' offsets, which stand in `iloc`, moved; of files as libavif writes them."""
    at = data.index(b"iloc") + 4
    version, sizes = data[at], data[at + 4]
    assert sizes == 0x44
    changed = bytearray(data)
    count, place = struct.unpack_from(">H", data, at + 6)[0], at + 8
    for _ in range(count):
        place += 4 + (2 if version else 0) + (data[at + 5] >> 4)
        (extents,) = struct.unpack_from(">H", data, place)
        place += 2
        for _ in range(extents):
            struct.pack_into(">L", changed, place, struct.unpack_from(">L", data, place)[0] + by)
            place += 8
    return bytes(changed)


def _associations(data: bytes) -> tuple[int, dict[int, list[int]]]:
    at = _parts(data)[3]
    found: dict[int, list[int]] = {}
    place = at + 16
    for _ in range(_size(data, at + 12)):
        number, count = struct.unpack_from(">HB", data, place)
        found[number] = list(data[place + 3 : place + 3 + count])
        place += 3 + count
    return at, found


def _properties(data: bytes) -> list[bytes]:
    at = _parts(data)[2]
    found, place = [], at + 8
    while place < at + _size(data, at):
        found.append(data[place + 4 : place + 8])
        place += _size(data, place)
    return found


def _reassociated(data: bytes, associations: dict[int, list[int]], extra: bytes = b"") -> bytes:
    """The same file with other associations, and one more property."""
    meta, iprp, ipco, ipma = _parts(data)
    body = struct.pack(">2L", 0, len(associations)) + b"".join(
        struct.pack(">HB", number, len(found)) + bytes(found) for number, found in associations.items()
    )
    end = ipma + _size(data, ipma)
    new = struct.pack(">L", 8 + len(body)) + b"ipma" + body
    by = len(new) + len(extra) - (end - ipma)
    changed = bytearray(data[:ipma] + extra + new + data[end:])
    for at, more in ((meta, by), (iprp, by), (ipco, len(extra))):
        struct.pack_into(">L", changed, at, _size(data, at) + more)
    return _shifted(bytes(changed), by)


def _without_association(data: bytes, kind: bytes, item: int) -> bytes:
    """The same where an item lacks its property of this kind."""
    _, associations = _associations(data)
    kept = [index for index in associations[item] if _properties(data)[(index & 0x7F) - 1] != kind]
    return _reassociated(data, associations | {item: kept})


def _with_property(data: bytes, kind: bytes, payload: bytes) -> bytes:
    """The same with one more property of its image."""
    _, associations = _associations(data)
    index = len(_properties(data)) + 1
    essential = 0x80 if kind in (b"clap", b"irot", b"imir", b"a1op") else 0
    return _reassociated(
        data,
        associations | {1: [*associations[1], essential | index]},
        struct.pack(">L", 8 + len(payload)) + kind + payload,
    )
