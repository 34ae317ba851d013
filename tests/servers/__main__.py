"""`python -m tests.servers` starts the servers that are installed, and prints the table of docs/servers.md."""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from loguru import logger

from sandbox.nextcloud import Nextcloud
from shared.errors import Failure
from tests.contract.spy import Call, SpiedAccount
from tests.mover.tls import tls_front
from tests.scaler.harness import RAW, a_scaler, assert_done, config, image, prepare
from tests.servers.apache import apache
from tests.servers.fixtures import FilesOf
from tests.servers.lighttpd import lighttpd
from tests.servers.nginx import nginx
from tests.servers.rclone import rclone
from tests.servers.site import DiskSite, OnDisk, fresh_site
from tests.servers.wsgidav import wsgidav

IMAGES = 4
HEADER = ("Server", "Works", "`If-Match` on a MOVE", "Requests per image", "What is done about its quirks")


@dataclass(frozen=True)
class Row:
    """A server of the table.

    Attributes:
        start: runs it.
        if_match: what it makes of the condition.
        quirks: what is done about them.
        front: whether a proxy that ends TLS is in front of it.
    """

    name: str
    start: Callable[[], contextlib.AbstractContextManager[OnDisk]]
    if_match: str
    quirks: str
    front: bool = False


@contextlib.contextmanager
def _nextcloud(*, versioning: bool = True) -> Iterator[OnDisk]:
    with Nextcloud() as server:
        server.versioning = versioning
        yield FilesOf(server)


_DESTINATION = "it treats `Destination: https://…` as another server, so {} is sent once this is detected"
ROWS = [
    Row("Nextcloud (sandbox)", _nextcloud, "honoured", "files are replaced in place"),
    Row(
        "Nextcloud without versions (sandbox)",
        lambda: _nextcloud(versioning=False),
        "honoured",
        "copies are published, as on any other server",
    ),
    Row(
        "Apache mod_dav",
        lambda: apache(autoindex=False),
        "honoured",
        "the ETag of a fresh file is weak at first, so the scaler waits; `Accept-Encoding: identity`, since compression"
        " changes the ETag; threads take turns at a name, since its MOVE is not atomic",
    ),
    Row(
        "Apache behind a proxy that ends TLS",
        lambda: apache(autoindex=False),
        "honoured",
        _DESTINATION.format("`http://…`"),
        front=True,
    ),
    Row(
        "rclone serve webdav", rclone, "ignored", "the version is compared after the claim; a lost race is answered 403"
    ),
    Row(
        "nginx dav-ext",
        nginx,
        "ignored",
        "it lists no ETag, so an image is listed twice, and its date distinguishes versions; names with a leading dot"
        " are not listed, so the hidden folders are asked for by name",
    ),
    Row("nginx behind a proxy that ends TLS", nginx, "ignored", _DESTINATION.format("a path"), front=True),
    Row("lighttpd mod_webdav", lighttpd, "honoured", "none"),
    Row(
        "WsgiDAV (and SeafDAV)",
        wsgidav,
        "honoured",
        "it lists ETags without quotes, so they are added; it truncates names at `;` and `?`, so these become `_`",
    ),
    Row(
        "WsgiDAV with Digest only",
        lambda: wsgidav(basic=False),
        "honoured",
        "digest authentication, detected from `WWW-Authenticate`",
    ),
]


def measure(row: Row, folder: Path) -> tuple[bool, float]:
    """Whether images are published, and how many requests each takes."""
    with contextlib.ExitStack() as stack:
        site = fresh_site(row.name, stack.enter_context(row.start()))
        account = site.account
        if row.front:
            url, cacert = stack.enter_context(tls_front(site, folder / "front"))
            base = url.rstrip("/") + "/" + site.url.split("/", 3)[3]
            account = account.model_copy(update={"base_url": base, "cacert": cacert})
        calls: list[Call] = []
        return _count(site, SpiedAccount(account, calls.append), calls, folder)


def _count(site: DiskSite, account: SpiedAccount, calls: list[Call], folder: Path) -> tuple[bool, float]:
    prepare(site)
    counts = []
    with a_scaler(folder / "state") as scaler:
        # The first detects what the server can do; the last has nothing to do.
        for images in (1, IMAGES, 0):
            originals = {f"Unknown {images}-{number}.png": image(number) for number in range(images)}
            for name, data in originals.items():
                site.write(f"{RAW}/{name}", data)
            calls.clear()
            try:
                failures = scaler.poll(config(account), until_settled=True)
            except Failure:
                return False, 0.0
            counts.append(sum(not call.after for call in calls))
            if failures:
                return False, 0.0
    originals = {f"Unknown {images}-{number}.png": image(number) for images in (1, IMAGES) for number in range(images)}
    assert_done(site, originals)
    # A server that lists no ETag is listed once more.
    return True, (counts[1] - counts[2]) // IMAGES


def cells(row: Row, folder: Path) -> list[str]:
    """A row as it is in the table."""
    works, requests = measure(row, folder)
    return [row.name, "yes" if works else "no", row.if_match, f"{requests:.0f}", row.quirks]


def line(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    logger.remove()
    sys.stdout.write(line(HEADER) + "\n" + line(["---"] * len(HEADER)) + "\n")
    for row in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                sys.stdout.write(line(cells(row, Path(folder))) + "\n")
            except pytest.skip.Exception as reason:
                sys.stderr.write(f"{row.name}: {reason}\n")


if __name__ == "__main__":
    main()
