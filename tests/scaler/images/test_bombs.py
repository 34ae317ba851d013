"""Small files that would take memory or time without bound, through the daemon, under a limit of memory: it goes on."""

import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.bench import kinds, samples
from tests.bench.kinds import png as png_kinds
from tests.bench.kinds import webp as webp_kinds
from tests.scaler.cli import Home
from tests.scaler.harness import RAW, UNSORTED, inside, prepare, published
from tests.scaler.images.test_bounds import BOMBS
from tests.servers.site import DiskSite

_ADDRESSES, _RESIDENT, _KILOBYTES = 4 << 30, 500 << 20, 180
"""Bytes of address space that the daemon may map, bytes that it may hold, and kilobytes of the largest bomb."""


def _png(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    start = struct.pack(">2L5B", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(25 * 8))
    parts = (png_kinds.chunk(b"IHDR", start), *chunks, png_kinds.chunk(b"IDAT", body), png_kinds.chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _deflated(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def _laughs() -> bytes:
    """XMP whose entities would grow to three billion characters."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    packet = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{entities}]><x tiff:ImageWidth="120">&l9;</x>'
    return samples.saved(samples.scene(), "JPEG", xmp=packet.encode())


def _pnm(magic: bytes, rest: bytes = b"") -> bytes:
    return magic + b"\n100000 100000\n" + (b"" if magic in (b"P1", b"P4") else b"255\n") + rest


def _wide_tiff() -> bytes:
    data = bytearray(samples.saved(samples.scene(), "TIFF", compression="tiff_adobe_deflate"))
    for tag in (256, 257):
        at = data.index(struct.pack("<2HL", tag, 3, 1))
        struct.pack_into("<2H2L", data, at, tag, 4, 1, 100_000)
    return bytes(data)


def _wide_avif() -> bytes:
    data = samples.plain("AVIF")
    stated = b"ispe" + struct.pack(">3L", 0, samples.WIDTH, samples.HEIGHT)
    assert stated in data
    return data.replace(stated, b"ispe" + struct.pack(">3L", 0, 30_000, 30_000))


def _wide_jp2() -> bytes:
    data = bytearray(samples.plain("JPEG 2000"))
    at = data.index(b"\xff\x4f\xff\x51")
    struct.pack_into(">2L", data, at + 8, 100_000, 100_000)
    struct.pack_into(">2L", data, at + 24, 100_000, 100_000)
    return bytes(data)


def _wide_bmp() -> bytes:
    """Compressed by run lengths, so that its size says nothing of its pixels."""
    info = struct.pack("<L2l2H6L", 40, 60_000, 60_000, 1, 8, 1, 4, 0, 0, 0, 0)
    return struct.pack("<2sL4xL", b"BM", 1082, 1078) + info + bytes(1024) + b"\0\1\0\1"


def _many_properties() -> bytes:
    """XMP in which each property could be looked for up to the end."""
    return samples.saved(samples.scene(), "JPEG", xmp=b"<x " + b"tiff:ImageWidth " * 3900 + b"/>")


def _many_scans() -> bytes:
    data = samples.saved(samples.scene(), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * 201 + data[-2:]


WIDE: dict[str, Callable[[], bytes]] = {
    "PNG canvas": lambda: _png(width=100_000, height=100_000),
    "WebP canvas": lambda: webp_kinds._file(webp_kinds._extended(0, 8000, 8000), samples.plain("WebP")[12:]),
    "WebP animation's canvas": lambda: webp_kinds._animated(8000, 8000, webp_kinds._frame(kinds.rgb(), (0, 0), 0, {})),
    "GIF canvas": lambda: b"GIF89a" + struct.pack("<2H", 30_000, 30_000) + samples.plain("GIF")[10:],
    "TIFF canvas": _wide_tiff,
    "AVIF canvas": _wide_avif,
    "JPEG 2000 canvas": _wide_jp2,
    "BMP canvas": _wide_bmp,
    "PNM bitmap": lambda: _pnm(b"P4"),
    "PNM text": lambda: _pnm(b"P3", b"1 " * 1000),
    "PNM header": lambda: b"P5\n" + b"#\n" * 40_000 + b"8 8\n255\n" + bytes(64),
    "JPEG of many scans": _many_scans,
}
HARMLESS: dict[str, Callable[[], bytes]] = {
    "PNG text": lambda: _png(png_kinds.chunk(b"zTXt", b"Comment\0\0" + _deflated(100 << 20))),
    "PNG profile": lambda: _png(png_kinds.chunk(b"iCCP", b"sRGB\0\0" + _deflated(100 << 20))),
    "JPEG entities": _laughs,
    "JPEG properties": _many_properties,
}


EXTENSIONS = samples.EXTENSIONS | {"JPEG": ".jpg", "APNG": ".png"}


def _file_name(name: str) -> str:
    kind = next(kind for kind in sorted(EXTENSIONS, key=len, reverse=True) if name.startswith(kind))
    return f"Unknown {name}{EXTENSIONS[kind]}"


def test_the_daemon_goes_on(nextcloud_site: DiskSite, home: Home, tmp_path: Path) -> None:
    bombs = {_file_name(name): make() for name, (make, _) in BOMBS.items()}
    bombs |= {_file_name(name): make() for name, make in WIDE.items()}
    others = {_file_name(name): make() for name, make in HARMLESS.items()} | {"Unknown.png": samples.plain("PNG")}
    assert max(map(len, (bombs | others).values())) < _KILOBYTES << 10
    prepare(nextcloud_site)
    for name, data in (bombs | others).items():
        nextcloud_site.write(f"{RAW}/{name}", data)
    home.point_to(nextcloud_site)

    status, said, resident = _run(home, tmp_path)

    assert status == 0, said
    assert "Traceback" not in said
    assert {name for name in bombs if f"{name} is skipped" not in said} == set()
    for name, (_, reason) in BOMBS.items():
        assert re.search(f"{re.escape(_file_name(name))} is skipped: .*{reason}", said), name
    assert set(inside(nextcloud_site, RAW)) == bombs.keys()
    assert published(nextcloud_site, UNSORTED).keys() == others.keys()
    assert resident < _RESIDENT


def _run(home: Home, temporary: Path) -> tuple[int, str, int]:
    """The scaler's poll in a process of its own: its status, what it said, and the bytes that it held at most."""
    # Memory is counted from the exec on, that of the caller included, so a small process is the one to start it.
    launcher = (
        "import os, resource, subprocess, sys; status = subprocess.call(sys.argv[2:]);"
        " os.write(int(sys.argv[1]), str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss).encode());"
        " sys.exit(status)"
    )
    limited = ("sh", "-c", f'ulimit -v {_ADDRESSES >> 10}; exec "$0" "$@"')
    command = [*limited, str(Path(sys.executable).with_name("scaler")), "--once", "--max-memory", "128MiB"]
    environment = {name: value for name, value in home.environment.items() if value is not None}
    read, write = os.pipe()
    with os.fdopen(read) as resident:
        done = subprocess.run(
            [sys.executable, "-c", launcher, str(write), *command],
            env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            pass_fds=[write],
        )
        os.close(write)
        return done.returncode, done.stdout, int(resident.read()) << 10
