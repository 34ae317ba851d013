"""Rights that are missing in a shared folder: nothing is touched, and what is missing is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.nextcloud import Nextcloud
from scaler.rights import _GROWTH as GROWTH
from scaler.rights import Allowed, MissingRight, allowed, movable
from shared.errors import StorageFull
from shared.webdav.store import Entry, Href
from tests.fake_time import FakeTime
from tests.scaler.cli import Home
from tests.scaler.cloud import DATE, FILE, NAME, CloudSite, is_upscaled, leave_unfinished, log_lines
from tests.scaler.harness import RAW, UNSORTED, a_scaler, config, image, poll

SECOND = f"{RAW}/Unknown 2.png"

# What is shared, the right that its owner keeps, the letter of that and the folder that is named.
CASES = [
    pytest.param(RAW, "update", "W", RAW, id="update on raw"),
    pytest.param(RAW, "create", "C", RAW, id="create on raw"),
    pytest.param(RAW, "delete", "D", RAW, id="delete on raw"),
    pytest.param(UNSORTED, "create", "C", UNSORTED, id="create on unsorted"),
    pytest.param(FILE, "update", "W", RAW, id="update on the file"),
]


@pytest.mark.parametrize(("shared", "missing", "letter", "folder"), CASES)
def test_a_missing_right_is_named_and_nothing_is_touched(
    cloud: Nextcloud, cloud_site: CloudSite, home: Home, shared: str, missing: str, letter: str, folder: str
) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    cloud.set_rights(shared, **{missing: False})
    home.point_to(cloud_site)
    cloud.clear_log()

    outcome = home.scaler("--once")

    assert outcome.status == 1, outcome.said
    (line,) = outcome.errors
    assert f"(right {letter})" in line
    assert folder in line
    assert {record.method for record in cloud.requests} <= {"PROPFIND"}
    assert cloud_site.files() == {FILE: image()}
    assert cloud.versions(FILE) == {}

    checked = home.scaler("--check")

    assert checked.status == 1, checked.said
    (failed,) = [line for line in checked.said.splitlines() if line.startswith("FAILED")]
    assert f"(right {letter})" in failed
    assert folder in failed
    assert cloud_site.files() == {FILE: image()}
    assert cloud.trash() == []

    cloud.set_rights(shared)
    assert home.scaler("--check").status == 0
    assert home.scaler("--once").status == 0
    assert is_upscaled(cloud.read(cloud_site.published), image())


@pytest.mark.parametrize(("shared", "missing", "letter", "folder"), CASES)
def test_a_missing_right_is_said_once_while_it_lasts(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, shared: str, missing: str, letter: str, folder: str
) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    cloud.set_rights(shared, **{missing: False})
    time = FakeTime()
    with a_scaler(tmp_path, stop=time.stop()) as scaler, log_lines("WARNING") as said:
        for _ in range(4):
            (failure,) = scaler.poll(config(cloud_site.account))
            assert isinstance(failure, MissingRight)
            time.now += 30
        assert len(said) == 1, said
        assert f"(right {letter})" in said[0]
        assert folder in said[0]
        # Granted, it goes on without a restart.
        cloud.set_rights(shared)
        assert scaler.poll(config(cloud_site.account)) == []
    assert is_upscaled(cloud.read(cloud_site.published), image())


def test_the_others_go_on_where_one_file_lacks_a_right(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    cloud.write(SECOND, image(2), mtime=DATE)
    cloud.set_rights(FILE, update=False)
    (failure,) = poll(cloud_site.account, tmp_path)
    assert isinstance(failure, MissingRight)
    assert NAME in failure.message
    assert cloud.read(FILE) == image()
    assert is_upscaled(cloud.read(cloud_site.published), image(2))


@pytest.mark.parametrize(("shared", "missing", "letter"), [(RAW, "delete", "D"), (UNSORTED, "create", "C")])
def test_an_upscaled_image_that_cannot_be_moved_on_waits(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, shared: str, missing: str, letter: str
) -> None:
    """The right was there when its content was replaced."""
    leave_unfinished(cloud_site, tmp_path)
    cloud.set_rights(shared, **{missing: False})
    cloud.clear_log()
    (failure,) = poll(cloud_site.account, tmp_path)
    assert isinstance(failure, MissingRight)
    assert f"(right {letter})" in failure.message
    assert {record.method for record in cloud.requests} == {"PROPFIND"}
    cloud.set_rights(shared)
    assert poll(cloud_site.account, tmp_path) == []
    assert is_upscaled(cloud.read(cloud_site.published), image())


def test_what_is_not_needed_to_finish_may_be_missing(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    leave_unfinished(cloud_site, tmp_path)
    cloud.set_rights(RAW, update=False, create=False)
    assert poll(cloud_site.account, tmp_path) == []
    assert is_upscaled(cloud.read(cloud_site.published), image())


def test_the_right_to_share_is_not_needed(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    cloud.set_rights(RAW, share=False)
    cloud.set_rights(UNSORTED, share=False, update=False, delete=False)
    assert poll(cloud_site.account, tmp_path) == []
    assert is_upscaled(cloud.read(cloud_site.published), image())


PATHS = (RAW, UNSORTED)


def folder(permissions: str) -> Entry:
    return Entry("folder", Href("/folder/"), True, None, None, None, permissions=permissions, available=10**9)


def test_the_rights_that_are_needed_suffice() -> None:
    images = (Entry("Unknown.png", Href("/folder/Unknown.png"), False, 5, '"1"', 0.0, permissions="WD"),)
    assert allowed(images, folder("C"), folder("C"), PATHS) == Allowed(images, ())
    assert movable(images, folder("C"), PATHS) == Allowed(images, ())


def test_no_right_is_missing_where_there_is_nothing_to_do() -> None:
    assert allowed((), folder(""), folder(""), PATHS) == Allowed((), ())
    assert movable((), folder(""), PATHS) == Allowed((), ())


ROOM = 100 * (1 + GROWTH)
"""What an image of 100 bytes needs: itself, and what it becomes."""


def sized(*sizes: int | None) -> tuple[Entry, ...]:
    return tuple(
        Entry(f"{number}.png", Href(f"/folder/{number}.png"), False, size, '"1"', 0.0, permissions="WD")
        for number, size in enumerate(sizes)
    )


@pytest.mark.parametrize(
    ("available", "fitting"),
    [(2 * ROOM, 0), (2 * ROOM + 1, 1), (3 * ROOM, 1), (3 * ROOM + 1, 2), (9 * ROOM, 3), (None, 3), (-3, 3), (0, 0)],
)
@pytest.mark.parametrize("scarce", ["raw", "unsorted"])
def test_each_image_needs_its_room_twice_and_takes_it_once(available: int | None, fitting: int, scarce: str) -> None:
    images = sized(100, 100, 100)
    ample, short = folder("C"), replace(folder("C"), available=None if available is None else int(available))
    found = allowed(images, *((short, ample) if scarce == "raw" else (ample, short)), PATHS)
    assert found.entries == images[:fitting]
    assert [type(failure) for failure in found.failures] == ([StorageFull] if fitting < 3 else [])


def test_an_image_without_a_size_and_a_server_without_a_quota_are_no_obstacle() -> None:
    for available in (None, -3, 1):
        place = replace(folder("C"), available=available)
        assert allowed(sized(None), place, place, PATHS).failures == ()


def test_how_many_images_lack_a_right_is_said() -> None:
    images = tuple(replace(entry, permissions="W") for entry in sized(1, 2, 3))
    (failure,) = allowed(images, folder("C"), folder("C"), PATHS).failures
    assert failure.message == f"The account may not move (right D) 0.png and 2 more in {RAW}"
    (failure,) = allowed(images[:1], folder("C"), folder("C"), PATHS).failures
    assert failure.message == f"The account may not move (right D) 0.png in {RAW}"
    # A server that does not list rights may grant them.
    unknown = tuple(replace(entry, permissions=None) for entry in images)
    assert allowed(unknown, folder("C"), folder("C"), PATHS) == Allowed(unknown, ())
