"""`--check`: a line for each check, and hints that are right: with the hint applied, the check passes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.nextcloud import Nextcloud
from tests.scaler.cli import CONSTANTS, Home, Outcome, webdav_secret
from tests.scaler.harness import RAW, UNSORTED, image, prepare
from tests.servers.fixtures import REAL_KINDS, site_on
from tests.servers.site import DiskSite

CHECKS = ["OpenCV", "This machine", "Vault and settings", "Server", RAW, UNSORTED, "Upload, move and delete"]


def lines(outcome: Outcome) -> list[str]:
    """The lines of the checks, without those of their remedies."""
    return [line for line in outcome.said.splitlines() if line.startswith(("ok ", "FAILED "))]


def failed(outcome: Outcome) -> str:
    """The one check that failed, with its hint in the next line."""
    assert outcome.status == 1, outcome.said
    assert "Traceback" not in outcome.said
    said = outcome.said.splitlines()
    (number,) = [number for number, line in enumerate(said) if line.startswith("FAILED")]
    assert said[number + 1].lstrip().startswith("→"), outcome.said
    return said[number] + said[number + 1]


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_where_everything_is_right(request: pytest.FixtureRequest, home: Home, kind: str) -> None:
    site = site_on(request, kind)
    assert isinstance(site, DiskSite)
    prepare(site)
    site.write(f"{RAW}/Unknown.png", image())
    home.point_to(site)

    outcome = home.scaler("--check")

    assert outcome.status == 0, outcome.said
    in_place = kind == "nextcloud"
    expected = [*CHECKS[:-2], "Rights in", "Replacing a file in place: works"] if in_place else CHECKS
    tried = ("Replacing a file in place: does not work", "Rights in")
    found = [line for line in lines(outcome) if in_place or not any(text in line for text in tried)]
    for line, check in zip(found, expected, strict=True):
        assert line.startswith("ok ")
        assert check in line
    if not in_place:
        assert ("If-Match is honoured" if site.conditional else "If-Match is ignored") in outcome.said
    assert ("keeps no versions of files" in outcome.said) == (kind == "nextcloud without versions")
    assert ("its ETag shows whether it changed" in outcome.said) == kind.startswith("nextcloud")
    left = {path for path in site.files() if not path.endswith(".txt")}
    assert left == {f"{RAW}/Unknown.png"}
    assert site.password not in outcome.said
    assert home.vault.token not in outcome.said


def test_what_is_skipped_is_counted_with_its_reasons(nextcloud_site: DiskSite, home: Home) -> None:
    prepare(nextcloud_site)
    for name, data in (("1.png", b""), ("2.png", b""), ("3.heic", b"x"), ("4.png", image())):
        nextcloud_site.write(f"{RAW}/Unknown {name}", data)
    home.point_to(nextcloud_site)
    reasons = "1 × HEIC is not supported (Unknown 3.heic)"
    assert f"3 to upscale, 1 image is skipped: {reasons}" in home.scaler("--check").said
    assert home.scaler("--once").status == 0
    reasons = f"2 × the file is empty (Unknown 1.png, Unknown 2.png), {reasons}"
    assert f"0 to upscale, 3 images are skipped: {reasons}" in home.scaler("--check").said
    said = home.scaler("--dry-run").said
    assert f"3 images are skipped: {reasons}" in said
    assert f"would skip {RAW}/Unknown 1.png: the file is empty" in said
    assert f"would skip {RAW}/Unknown 3.heic: HEIC is not supported" in said


def test_vault_away(home: Home) -> None:
    outcome = home.scaler("--check", VAULT_ADDR="http://127.0.0.1:1")
    assert "right in VAULT_ADDR?" in failed(outcome)
    # What can be checked without it is.
    assert [line.partition(" ")[0] for line in lines(outcome)] == ["ok", "ok", "FAILED"]


def _forget_the_secret(home: Home, site: DiskSite) -> None:
    del site
    home.vault.delete(f"{home.prefix}/scaler_constants")


def _another_password(home: Home, site: DiskSite) -> None:
    home.write("webdav", webdav_secret(site) | {"password": "wr0ng"})


def _another_folder(home: Home, site: DiskSite) -> None:
    home.write("webdav", webdav_secret(site) | {"url": site.url + "nowhere/"})


def _no_raw(home: Home, site: DiskSite) -> None:
    del home
    site.remove(RAW)


def _no_unsorted(home: Home, site: DiskSite) -> None:
    del home
    site.remove(UNSORTED)


@pytest.mark.parametrize(
    ("damage", "check", "hint"),
    [
        (_forget_the_secret, "scaler_constants is missing", "vault kv put"),
        (_another_password, "user name and password", "webdav/password"),
        (_another_folder, "nowhere", "webdav/url"),
        (_no_raw, RAW, "RAW_REMOTE_DIR"),
        (_no_unsorted, UNSORTED, "UNSORTED_REMOTE_DIR"),
    ],
)
def test_what_is_wrong_is_named(
    nextcloud_site: DiskSite,
    the_nextcloud: Nextcloud,
    home: Home,
    damage: Callable[[Home, DiskSite], None],
    check: str,
    hint: str,
) -> None:
    prepare(nextcloud_site)
    home.point_to(nextcloud_site)
    damage(home, nextcloud_site)
    outcome = home.scaler("--check")
    the_nextcloud.forgive_failures()
    said = outcome.said if "scaler_constants" in check else failed(outcome)
    assert check in said
    assert hint in said
    assert "wr0ng" not in outcome.said
    # The hint applied:
    prepare(nextcloud_site)
    home.point_to(nextcloud_site)
    assert home.scaler("--check").status == 0


@pytest.mark.server
def test_a_missing_right_is_found_out(apache_site: DiskSite, home: Home) -> None:
    prepare(apache_site, "no-delete/raw")
    home.point_to(apache_site, RAW_REMOTE_DIR="no-delete/raw")
    said = failed(home.scaler("--check"))
    assert "no-delete/raw" in said
    assert "right" in said
    # It leaves nothing in the upload folder.
    assert [path for path in apache_site.files() if path.startswith(UNSORTED)] == []


@pytest.mark.server
def test_a_missing_certificate_file(apache_site: DiskSite, home: Home) -> None:
    prepare(apache_site)
    home.write("webdav", webdav_secret(apache_site) | {"url": apache_site.url.replace("http:", "https:")})
    home.write("scaler_constants", CONSTANTS)
    said = failed(home.scaler("--check", WEBDAV_CACERT=str(Path("/nowhere/ca.pem"))))
    assert "WEBDAV_CACERT" in said
