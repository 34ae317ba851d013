"""Netpbm's maps: pbm(5), pgm(5), ppm(5), pam(5), and PFM."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.bench.kinds import HEIGHT, WIDTH, Samples, deep, grey, rgb, rgba, truth

_SIZE = b"%d %d\n" % (WIDTH, HEIGHT)


def _scaled(image: Samples, top: int) -> Samples:
    return np.rint(deep(image) / 65535.0 * top).astype(np.int64)


def _binary(values: Samples, top: int) -> bytes:
    return values.astype(">u2" if top > 255 else np.uint8).tobytes()


def _text(values: Samples) -> bytes:
    return b"".join(b" ".join(b"%d" % value for value in row.ravel()) + b"\n" for row in values)


def kinds() -> Iterator[tuple[Any, ...]]:
    """Every kind of map."""
    bits = (grey() < 128).astype(np.uint8)
    packed = np.packbits(bits, axis=1).tobytes()
    yield "P1", b"P1\n" + _SIZE + _text(bits), truth(1 - bits, 1)
    yield "P1 without gaps", b"P1\n" + _SIZE + b"".join(b"%d" % bit for bit in bits.ravel()) + b"\n", truth(1 - bits, 1)
    yield "P4", b"P4\n" + _SIZE + packed, truth(1 - bits, 1)
    for top in (1, 2, 7, 15, 100, 127, 200, 254, 255, 256, 257, 1000, 1023, 4095, 32767, 65534, 65535):
        for image, plain, binary in ((grey(), b"P2\n", b"P5\n"), (rgb(), b"P3\n", b"P6\n")):
            values = _scaled(image, top)
            head = _SIZE + b"%d\n" % top
            for magic, body in ((plain, _text(values)), (binary, _binary(values, top))):
                yield f"{magic.decode().strip()}, white {top}", magic + head + body, truth(values, top)
    image = grey().copy()
    image[0, :6] = bytearray(b"\n# 3\r\t")
    yield "first sample like a gap", b"P5\n" + _SIZE + b"255\n" + image.tobytes(), truth(image)
    comments = b"P6\n# one\n# two\n%d # three\n%d\n#four\n255\n" % (WIDTH, HEIGHT)
    yield "comments", comments + rgb().tobytes(), truth(rgb())
    yield "comment after the white", b"P5\n" + _SIZE + b"255 # five\n" + grey().tobytes()
    yield "carriage returns", b"P6\r%d\r%d\r255\r" % (WIDTH, HEIGHT) + rgb().tobytes(), truth(rgb())
    yield "spaces", b"P6 %d %d 255 " % (WIDTH, HEIGHT) + rgb().tobytes(), truth(rgb())
    yield "tabs and leading zeros", b"P6\t0%d\t00%d\t0255\n" % (WIDTH, HEIGHT) + rgb().tobytes(), truth(rgb())
    whole = b"P5\n" + _SIZE + b"255\n" + grey().tobytes()
    yield "two images", whole + whole
    yield "two text images", (b"P2\n" + _SIZE + b"255\n" + _text(grey())) * 2
    yield "two bitmaps", (b"P4\n" + _SIZE + packed) * 2
    yield "something behind", whole + b"\n"
    yield "cut off", whole[:-100]
    yield "text cut off", b"P2\n" + _SIZE + b"255\n" + _text(grey())[:-100]
    yield "samples beyond white", b"P5\n" + _SIZE + b"100\n" + grey().tobytes()
    yield "text samples beyond white", b"P2\n" + _SIZE + b"100\n" + _text(grey())
    yield "white 0", b"P5\n" + _SIZE + b"0\n" + grey().tobytes()
    yield "white 65536", b"P2\n" + _SIZE + b"65536\n" + _text(grey())
    for name, values, top in (
        ("BLACKANDWHITE", 1 - bits, 1),
        ("GRAYSCALE", grey(), 255),
        ("RGB", rgb(), 255),
        ("RGB_ALPHA", rgba(), 255),
        ("RGB", deep(rgb()), 65535),
    ):
        depth = values.shape[2] if values.ndim == 3 else 1
        head = b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n" % (
            WIDTH,
            HEIGHT,
            depth,
            top,
            name.encode(),
        )
        yield f"PAM {name}, white {top}", head + _binary(values, top), truth(values, top)
    for magic, values in ((b"Pf\n", grey()), (b"PF\n", rgb())):
        for scale, order in ((b"-1.0\n", "<f4"), (b"1.0\n", ">f4")):
            yield (
                f"{magic.decode().strip()} {order}",
                magic + _SIZE + scale + (values[::-1] / 255.0).astype(order).tobytes(),
            )
