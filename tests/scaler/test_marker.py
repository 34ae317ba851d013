"""The marker: what is unfinished and what is an original again, under whatever name and settings."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from sandbox.nextcloud import Nextcloud
from scaler.marker import Marker, checksums_with_marker, marker_in
from scaler.names import new_id, new_owner
from tests.scaler.cloud import DATE, FILE, CloudSite, is_assembly, is_upscaled, leave_unfinished, spied
from tests.scaler.harness import RAW, UNSORTED, a_scaler, config, image, inside, poll
from tests.scaler.test_steps import after


@pytest.mark.parametrize(
    "name",
    ["Unknown renamed.png", "by a person.png", "without an extension", "document.pdf", "Unknown.png.bak", "_.png"],
)
def test_an_unfinished_image_is_finished_under_any_name(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, name: str
) -> None:
    leave_unfinished(cloud_site, tmp_path)
    cloud.rename(FILE, f"{RAW}/{name}")
    assert poll(cloud_site.account, tmp_path) == []
    assert inside(cloud_site, RAW) == {}
    assert is_upscaled(cloud.read(cloud_site.published), image())
    assert cloud_site.published.startswith(f"{UNSORTED}/{name.partition('.')[0]}")


def test_an_unfinished_image_is_finished_whatever_the_settings_say_now(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    leave_unfinished(cloud_site, tmp_path)
    cloud.mkdir("elsewhere")
    changed = dataclasses.replace(config(cloud_site.account, unsorted="elsewhere"), prefixes=("another",))
    with a_scaler(tmp_path) as scaler:
        assert scaler.poll(changed) == []
    assert cloud_site.names == (set(), set())
    (data,) = inside(cloud_site, "elsewhere").values()
    assert is_upscaled(data, image())


def test_what_a_person_renames_while_it_is_published_is_finished(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    rename = after(is_assembly, lambda _: cloud.rename(FILE, f"{RAW}/by a person"))
    assert poll(spied(cloud_site, rename), tmp_path) == []
    assert poll(cloud_site.account, tmp_path) == []
    assert is_upscaled(cloud.read(cloud_site.published), image())
    assert inside(cloud_site, RAW) == {}


@pytest.mark.parametrize("end", ["", " (2)", "-2"])
def test_an_upscaled_image_that_is_put_back_is_upscaled_again_once(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, end: str
) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    poll(cloud_site.account, tmp_path)
    once = cloud.read(cloud_site.published)
    name = cloud_site.published.rpartition("/")[2].replace(".png", f"{end}.png")
    cloud.rename(cloud_site.published, f"{RAW}/{name}")
    with a_scaler(tmp_path) as scaler:
        for _ in range(2):
            assert scaler.poll(config(cloud_site.account), until_settled=True) == []

    assert inside(cloud_site, RAW) == {}
    assert is_upscaled(cloud.read(cloud_site.published), once)
    assert cloud.versions(cloud_site.published) == {DATE: image(), DATE - 1: once}


@pytest.mark.parametrize("where", ["raw folder", "unsorted folder"])
def test_a_version_restored_is_an_original_again(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, where: str
) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    poll(cloud_site.account, tmp_path)
    if where == "unsorted folder":
        cloud.restore_version(cloud_site.published, DATE)
    cloud.rename(cloud_site.published, FILE)
    if where == "raw folder":
        cloud.restore_version(FILE, DATE)
    with a_scaler(tmp_path) as scaler:
        for _ in range(2):
            assert scaler.poll(config(cloud_site.account), until_settled=True) == []
    assert inside(cloud_site, RAW) == {}
    assert is_upscaled(cloud.read(cloud_site.published), image())


def test_an_unfinished_image_that_a_person_writes_is_an_original_again(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    leave_unfinished(cloud_site, tmp_path)
    cloud.write(FILE, image(2), mtime=DATE)
    assert poll(cloud_site.account, tmp_path) == []
    assert is_upscaled(cloud.read(cloud_site.published), image(2))


def test_a_copy_of_an_unfinished_image_has_no_marker_and_is_an_original(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    """The content is what a person made of it."""
    leave_unfinished(cloud_site, tmp_path)
    upscaled = cloud.read(FILE)
    cloud.write(f"{RAW}/Unknown copy.png", upscaled, mtime=DATE)
    assert poll(cloud_site.account, tmp_path) == []
    copies = {name.partition("_")[0]: data for name, data in inside(cloud_site, UNSORTED).items()}
    assert copies["Unknown Zoë"] == upscaled
    assert is_upscaled(copies["Unknown copy"], upscaled)


def test_the_checksum_that_others_look_at_is_true(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    poll(cloud_site.account, tmp_path)
    words = cloud.checksum(cloud_site.published).split()
    assert words[0] == "SHA256:" + hashlib.sha256(cloud.read(cloud_site.published)).hexdigest()
    assert len(cloud.checksum(cloud_site.published)) <= 255


@pytest.mark.parametrize(
    "words",
    ["", "SHA1:x", "UPSCALED:", "UPSCALED:20260101T000000Z", "XUPSCALED:20260101T000000Z-ab", "UPSCALED:later-ab"],
)
def test_what_is_no_marker(words: str) -> None:
    assert marker_in(words) is None


def test_a_marker_is_read_as_it_was_written() -> None:
    upload = new_id(new_owner(), 0.0)
    assert marker_in(checksums_with_marker("ab" * 32, upload)) == Marker(upload, "19700101T000000Z")


@pytest.mark.parametrize(
    ("name", "unfinished"),
    [
        ("Unknown.png", True),
        ("Unknown_20260101T000001Z.png", True),
        ("Unknown20260101T000000Z.png", True),
        ("Unknown_20260101T000000Z.png", False),
        ("Unknown_20260101T000000Z (2).png", False),
        ("Unknown_20260101T000000Z-2.png", False),
        ("Unknown_20260101T000000Z_20270101T000000Z.png", False),
    ],
)
def test_the_name_tells_whether_it_was_published(name: str, unfinished: bool) -> None:
    assert Marker("20260101T000000Z-ab", "20260101T000000Z").is_unfinished(name) is unfinished
