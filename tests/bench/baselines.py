"""The ways to do the job that are measured beside each other."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RAW, UNSORTED = "raw", "unsorted"
PREFIX = "Unknown"
FLOOR, PLAIN, OURS = "floor", "plain way", "scaler"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a baseline finds.

    Attributes:
        images: the same images in a local folder; only the floor looks there.
        url: of the WebDAV folder with RAW and UNSORTED in it.
        vault: the environment in which the settings for it are found.
        options: of the scaler.
    """

    images: Path
    url: str
    username: str
    password: str
    vault: Mapping[str, str]
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """One way.

    Attributes:
        slow: so slow that it is measured once, not in every round.
    """

    name: str
    command: Callable[[Scene], Sequence[str]]
    environment: Callable[[Scene], Mapping[str, str]]
    slow: bool = False


def baselines() -> list[Baseline]:
    """Those that this machine has, in the order in which they run."""
    found = [
        Baseline(FLOOR, lambda scene: _module("floor", str(scene.images)), lambda _: {}),
        Baseline(PLAIN, lambda _: _module("plain", RAW, UNSORTED), _login_for_plain),
        Baseline(OURS, lambda scene: [_program("scaler"), "--once", *scene.options], lambda scene: scene.vault),
    ]
    if shutil.which("rclone"):
        by_tool = {"vips": _VIPS, "ImageMagick": _magick()}
        tools = {name: line for name, line in by_tool.items() if line and shutil.which(line.split()[0])}
        found += [
            Baseline(f"rclone + {name}", _by_shell(line), _login_for_rclone, slow=True) for name, line in tools.items()
        ]
    return found


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"tests.bench.{name}", *arguments]


def _login_for_plain(scene: Scene) -> dict[str, str]:
    return {"WEBDAV_URL": scene.url, "WEBDAV_USER": scene.username, "WEBDAV_PASSWORD": scene.password}


def _login_for_rclone(scene: Scene) -> dict[str, str]:
    obscured = subprocess.run(
        ["rclone", "obscure", "-"], input=scene.password, capture_output=True, text=True, check=True
    )
    return {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_WEBDAV_URL": scene.url,
        "RCLONE_WEBDAV_VENDOR": "other",
        "RCLONE_WEBDAV_USER": scene.username,
        "RCLONE_WEBDAV_PASS": obscured.stdout.strip(),
        "RCLONE_TRANSFERS": "10",
        "RCLONE_CHECKERS": "10",
        # As many processes as there are cores, so one thread in each.
        "VIPS_CONCURRENCY": "1",
        "MAGICK_THREAD_LIMIT": "1",
    }


_VIPS = "vips affine in/NAME out/NAME[Q=95] '2 0 0 2' --interpolate bilinear"


def _magick() -> str:
    program = next((name for name in ("magick", "convert-im6") if shutil.which(name)), "")
    return program and f"{program} in/NAME -filter Triangle -resize 200% -quality 95 out/NAME"


def _by_shell(line: str) -> Callable[[Scene], list[str]]:
    script = f"""set -e
        mkdir in out
        rclone copy :webdav:{RAW} in
        ls in | xargs -P {len(os.sched_getaffinity(0))} -I NAME {line}
        rclone copy out :webdav:{UNSORTED}
        rclone delete :webdav:{RAW}"""
    return lambda _: ["sh", "-c", script]
