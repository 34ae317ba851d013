"""The scaler from its command line to published images, on every server."""

import unicodedata
from urllib.parse import unquote

import pytest

from scaler.move_traits import is_odd, plain
from scaler.names import final_name
from tests.scaler.cli import CONSTANTS, Home, webdav_secret
from tests.scaler.harness import RAW, UNSORTED, claims, image, inside, pixels, prepare, uploads, upscaled_pixels
from tests.servers.fixtures import REAL_KINDS, site_on
from tests.servers.site import DiskSite

NAMES = [
    "Unknown plain.png",
    "Unknown hash#.png",
    "Unknown percent%.png",
    "Unknown encoded%20.png",
    "Unknown plus+.png",
    "Unknown and&.png",
    "Unknown quote'.png",
    'Unknown double".png',
    "Unknown semi;colon,question?.png",
    unicodedata.normalize("NFC", "Unknown zoë ü composed.png"),
    unicodedata.normalize("NFD", "Unknown zoë ü decomposed.png"),
    unicodedata.normalize("NFD", "Ümlaut in the prefix.png"),
    "Unknown 日本語.png",
    "Unknown 🦊.png",
    ".Unknown dot.png",
    "Unknown.in.the.middle.png",
    "Unknown" + "x" * 189 + ".png",
    "Unknown" + "ü" * 119 + ".PNG",
]
OTHERS = {
    "other.png": b"1",
    "unknown lower.png": b"2",
    "not Unknown.png": b"3",
    "Unknown.txt": b"4",
    "Unknown": b"5",
    "Unknown folder.png/Unknown deep.png": b"6",
}
PREFIXES = ["Unknown", ".Unknown", unicodedata.normalize("NFC", "Ü")]


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("kind", REAL_KINDS)
@pytest.mark.parametrize("spelling", ["encoded", "as people type it"])
def test_odd_names_at_an_odd_address(request: pytest.FixtureRequest, home: Home, kind: str, spelling: str) -> None:
    site = site_on(request, kind, path="dav/steph(2021)/a b")
    assert isinstance(site, DiskSite)
    prepare(site)
    names = [name for name in NAMES if "no dots" not in site.quirks or not name.startswith(".")]
    for number, name in enumerate(names):
        site.write(f"{RAW}/{name}", image(number))
    for name, data in OTHERS.items():
        site.write(f"{RAW}/{name}", data)
    site.write(f"{UNSORTED}/Unknown there.png", b"7")
    # Beside the base, and of the same names.
    outside = DiskSite(kind, "", site.folder.parent, "", "")
    outside.write(f"{RAW}/Unknown outside.png", b"8")
    url = site.url if spelling == "encoded" else unquote(site.url).rstrip("/")
    home.write("webdav", webdav_secret(site) | {"url": url})
    home.write("scaler_constants", CONSTANTS | {"RAW_NAMES_PREFIXES": PREFIXES})

    outcome = home.scaler("--once")

    assert outcome.status == 0, outcome.said
    assert outcome.errors == []
    left = {path.removeprefix(RAW + "/"): data for path, data in site.files().items() if path.startswith(RAW)}
    assert {name: data for name, data in left.items() if not name.startswith(".scaler/")} == OTHERS
    assert claims(site) == uploads(site) == {}
    there = {nfc(name): data for name, data in inside(site, UNSORTED).items()}
    assert there.pop("Unknown there.png") == b"7"
    assert outside.files()[f"{RAW}/Unknown outside.png"] == b"8"
    assert len(there) == len(names)
    times = {name.rpartition("_")[2].partition(".")[0] for name in there}
    for number, name in enumerate(names):
        moved = plain(name) if "cuts names" in site.quirks and is_odd(name) else name
        (final,) = {nfc(final_name(moved, time)) for time in times} & there.keys()
        assert pixels(there[final]) == upscaled_pixels(image(number))


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_a_large_image_is_upscaled_pixel_for_pixel(request: pytest.FixtureRequest, home: Home, kind: str) -> None:
    site = site_on(request, kind)
    assert isinstance(site, DiskSite)
    prepare(site)
    original = image(1, width=613, height=401)
    site.write(f"{RAW}/Unknown.png", original)
    home.point_to(site)
    assert home.scaler("--once").status == 0
    (data,) = inside(site, UNSORTED).values()
    assert pixels(data) == upscaled_pixels(original)


def test_once_waits_for_what_may_still_be_written(nextcloud_site: DiskSite, home: Home) -> None:
    prepare(nextcloud_site)
    nextcloud_site.write(f"{RAW}/Unknown new.png", image(), age=0)
    nextcloud_site.write(f"{RAW}/Unknown of tomorrow.png", image(1), age=-86400)
    home.point_to(nextcloud_site)
    outcome = home.scaler("--once")
    assert outcome.status == 0
    assert "2 upscaled" in outcome.said
    assert len(inside(nextcloud_site, UNSORTED)) == 2


def test_one_bad_image_does_not_keep_the_others(nextcloud_site: DiskSite, home: Home) -> None:
    prepare(nextcloud_site)
    nextcloud_site.write(f"{RAW}/Unknown bad.png", b"no image")
    nextcloud_site.write(f"{RAW}/Unknown empty.png", b"")
    nextcloud_site.write(f"{RAW}/Unknown good.png", image())
    home.point_to(nextcloud_site)
    first, second = home.scaler("--once"), home.scaler("--once")
    assert first.status == second.status == 0
    assert set(inside(nextcloud_site, RAW)) == {"Unknown bad.png", "Unknown empty.png"}
    assert first.said.count("Unknown bad.png is skipped") == 1
    assert first.said.count("Unknown empty.png is skipped") == 1
    assert "2 skipped, 1 upscaled" in first.said
    # Remembered across the restart, until it changes; one line names it.
    assert "Unknown bad.png is skipped" not in second.said
    assert second.said.count("Unknown bad.png") == 1
    nextcloud_site.write(f"{RAW}/Unknown bad.png", image(), age=7200)
    assert home.scaler("--once").status == 0
    assert set(inside(nextcloud_site, RAW)) == {"Unknown empty.png"}


def test_without_url_folders_are_relative_to_the_account_of_a_nextcloud(nextcloud_site: DiskSite, home: Home) -> None:
    below = nextcloud_site.folder.name
    prepare(nextcloud_site)
    nextcloud_site.write(f"{RAW}/Unknown.png", image())
    root = nextcloud_site.url.partition("remote.php")[0]
    home.write("webdav", {"host_url": root, "username": nextcloud_site.username, "password": nextcloud_site.password})
    folders = {"RAW_REMOTE_DIR": f"{below}/{RAW}", "UNSORTED_REMOTE_DIR": f"/{below}/{UNSORTED}/"}
    home.write("scaler_constants", CONSTANTS | folders)
    outcome = home.scaler("--once")
    assert outcome.status == 0, outcome.said
    assert len(inside(nextcloud_site, UNSORTED)) == 1


@pytest.mark.parametrize("once", [True, False])
def test_dry_run_changes_nothing(request: pytest.FixtureRequest, home: Home, once: bool) -> None:
    site = request.getfixturevalue("nextcloud_site")
    nextcloud = request.getfixturevalue("the_nextcloud")
    prepare(site)
    site.write(f"{RAW}/Unknown 1.png", image())
    site.write(f"{RAW}/other.png", b"")
    home.point_to(site)
    before = site.files()
    nextcloud.clear_log()

    outcome = home.scaler("--dry-run", *(["--once"] if once else []))

    assert outcome.status == 0, outcome.said
    assert f"would upscale {RAW}/Unknown 1.png to {UNSORTED}/Unknown 1_" in outcome.said
    assert "other.png" not in outcome.said
    assert site.files() == before
    assert {record.method for record in nextcloud.requests} == {"PROPFIND"}


@pytest.mark.server
def test_dry_run_asks_apache_for_listings_only(request: pytest.FixtureRequest, home: Home) -> None:
    site, apache = request.getfixturevalue("apache_site"), request.getfixturevalue("the_apache")
    prepare(site)
    site.write(f"{RAW}/Unknown 1.png", image())
    home.point_to(site)
    apache.clear_log()
    assert home.scaler("--dry-run").status == 0
    assert {record.method for record in apache.requests()} == {"PROPFIND"}


@pytest.mark.parametrize("missing", [RAW, UNSORTED])
def test_dry_run_names_a_missing_folder(nextcloud_site: DiskSite, home: Home, missing: str) -> None:
    prepare(nextcloud_site)
    nextcloud_site.remove(missing)
    home.point_to(nextcloud_site)
    outcome = home.scaler("--dry-run")
    assert outcome.status == 2
    assert f"The folder {missing} does not exist" in outcome.said


def test_dry_run_says_that_there_is_nothing_to_do(nextcloud_site: DiskSite, home: Home) -> None:
    prepare(nextcloud_site)
    home.point_to(nextcloud_site)
    assert "nothing to do" in home.scaler("--dry-run").said
