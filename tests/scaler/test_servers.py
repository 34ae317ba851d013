"""Every real server, alone and behind a proxy that ends TLS: images go all the way, and nothing is left over."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.mover.tls import tls_front
from tests.scaler.cli import CONSTANTS, Home, webdav_secret
from tests.scaler.harness import RAW, assert_done, image, prepare, uploads
from tests.servers.fixtures import REAL_KINDS, site_on
from tests.servers.site import DiskSite

IMAGES = {f"Unknown {number}.png": image(number) for number in range(4)}


def put_images(site: DiskSite) -> None:
    prepare(site)
    for name, data in IMAGES.items():
        site.write(f"{RAW}/{name}", data)


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_images_go_all_the_way(request: pytest.FixtureRequest, home: Home, kind: str) -> None:
    site = site_on(request, kind)
    assert isinstance(site, DiskSite)
    put_images(site)
    home.point_to(site)
    outcome = home.scaler("--once")
    assert outcome.status == 0, outcome.said
    assert outcome.errors == []
    assert_done(site, IMAGES)
    assert uploads(site) == {}


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_behind_a_proxy_that_ends_tls(request: pytest.FixtureRequest, home: Home, kind: str, tmp_path: Path) -> None:
    """It passes `Destination: https://…` on to a server that knows itself as `http://…`."""
    site = site_on(request, kind)
    assert isinstance(site, DiskSite)
    put_images(site)
    with tls_front(site, tmp_path / "front") as (url, cacert):
        home.write("webdav", webdav_secret(site) | {"url": url.rstrip("/") + urlsplit(site.url).path})
        home.write("scaler_constants", CONSTANTS)
        home.environment |= {"WEBDAV_CACERT": str(cacert)}
        checked = home.scaler("--check")
        assert checked.status == 0, checked.said
        outcome = home.scaler("--once")
    assert outcome.status == 0, outcome.said
    assert outcome.errors == []
    assert_done(site, IMAGES)
    assert uploads(site) == {}
