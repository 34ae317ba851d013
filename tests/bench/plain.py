"""The plain way: webdavclient3's own calls in ten threads, and OpenCV's on local files.

WEBDAV_URL, WEBDAV_USER, WEBDAV_PASSWORD; python -m tests.bench.plain RAW UNSORTED
"""

import os
import sys
import tempfile
import time
import urllib.parse
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    from webdav3.client import Client

PREFIX = "Unknown"


def client() -> Client:
    """One client; each image gets its own, since sharing one between threads is not promised to be safe."""
    url = urllib.parse.urlsplit(os.environ["WEBDAV_URL"])
    options = {
        "webdav_hostname": f"{url.scheme}://{url.netloc}",
        "webdav_root": url.path,
        "webdav_login": os.environ["WEBDAV_USER"],
        "webdav_password": os.environ["WEBDAV_PASSWORD"],
    }
    return Client(options)


def scale(name: str, raw: str, unsorted: str, folder: Path) -> None:
    """One image from the raw folder to the unsorted one."""
    dav = client()
    if not dav.check(f"{raw}/{name}"):
        return
    stem, dot, extension = name.rpartition(".")
    before = folder / name
    after = folder / f"{stem}_{time.strftime('%Y%m%d%H%M%S')}{dot}{extension}"
    dav.download(f"{raw}/{name}", str(before))
    image = cv2.imread(str(before))
    assert image is not None
    upscaled = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(after), upscaled)
    dav.upload(f"{unsorted}/{after.name}", str(after))
    dav.clean(f"{raw}/{name}")
    before.unlink()
    after.unlink()


def main(raw: str, unsorted: str) -> None:
    """Everything that is there."""
    found = [name for name in client().list(raw) if name.startswith(PREFIX)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(10) as pool:
        for done in [pool.submit(scale, name, raw, unsorted, Path(folder)) for name in found]:
            done.result()


if __name__ == "__main__":
    main(*sys.argv[1:3])
