"""The names that images have on their way."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.names import check_name
from scaler.names import (
    ClaimName,
    destination_hash,
    destination_record,
    final_name,
    new_id,
    new_owner,
    owner_of,
    version_hash,
)
from shared.filenames import LONGEST_NAME, fit, numbered, split

LONGEST_ON_NEXTCLOUD = 250
ID = "20261122T203000Z-" + "0" * 24
# As a listing gives them: a name of one path segment, with an ending that is taken as an image.
NAMES = st.builds(
    lambda stem, ending: stem + ending,
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=300),
    st.sampled_from([".jpg", ".PNG", ".jpeg", ".tiff"]),
)
NUMBERS = st.integers(1, 10**6)


def test_an_id_bears_the_time_and_the_owner() -> None:
    owner = new_owner()
    upload = new_id(owner, now=1_800_000_000)
    assert upload.startswith("20270115T080000Z-")
    assert owner_of(upload) == owner
    assert len({new_id(owner, now=0) for _ in range(100)}) == 100
    assert abs(time.mktime(time.strptime(new_id(owner)[:16], "%Y%m%dT%H%M%SZ")) - time.time()) < 16 * 3600


@pytest.mark.parametrize("name", ["", "a.jpg", "unsorted-12345678.txt", ID + "0", ID[:-1], "x" + ID, ID + ".jpg"])
def test_a_name_that_is_no_upload_has_no_owner(name: str) -> None:
    assert owner_of(name) is None


@pytest.mark.parametrize(
    ("original", "number", "final"),
    [
        ("Unknown.jpg", 1, "Unknown_20261122T203000Z.jpg"),
        ("Unknown.jpg", 2, "Unknown_20261122T203000Z-2.jpg"),
        ("Un.known.JPEG", 1, "Un.known_20261122T203000Z.JPEG"),
        (".Unknown.png", 3, ".Unknown_20261122T203000Z-3.png"),
        (".png", 1, ".png_20261122T203000Z"),
    ],
)
def test_final_names(original: str, number: int, final: str) -> None:
    assert final_name(original, ID, number) == final


def test_names_of_what_is_moved_back() -> None:
    assert numbered("Unknown.jpg", 1) == "Unknown.jpg"
    assert numbered("Unknown.jpg", 2) == "Unknown (2).jpg"


@given(NAMES, NUMBERS)
def test_every_name_is_short_enough_and_keeps_its_ending(original: str, number: int) -> None:
    for name in (
        final_name(original, ID, number),
        numbered(original, number),
        str(ClaimName(ID, destination_hash("a"), original)),
        str(ClaimName(ID, destination_hash("a"), original, version_hash(1, 2.0))),
    ):
        assert len(name.encode()) <= LONGEST_ON_NEXTCLOUD
        assert split(name)[1] == split(original)[1]
        assert "/" not in name


@given(NAMES)
def test_different_numbers_make_different_names(original: str) -> None:
    assert len({final_name(original, ID, number) for number in range(1, 30)}) == 29
    assert len({numbered(original, number) for number in range(1, 30)}) == 29


@given(NAMES, st.sampled_from(["", version_hash(1, 2.0), version_hash(None, None)]))
def test_a_claim_says_what_it_is(original: str, version: str) -> None:
    claim = ClaimName(ID, destination_hash("data/unsorted"), original, version)
    read = ClaimName.parse(str(claim))
    assert read
    assert (read.id, read.destination, read.version) == (claim.id, claim.destination, claim.version)
    if len(original.encode()) <= 190:
        assert read == claim
    # Cut once, it stays as it is.
    assert ClaimName.parse(str(read)) == read
    assert original.startswith(split(read.original)[0])


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Unknown.jpg",
        ID,
        f"{ID}-12345678",
        f"{ID}~Unknown.jpg",
        f"{ID}-1234567~a.jpg",
        destination_record("12345678"),
    ],
)
def test_what_is_no_claim(name: str) -> None:
    assert ClaimName.parse(name) is None


def test_marks_tell_folders_and_versions_apart() -> None:
    assert destination_hash("a") != destination_hash("b")
    assert re.fullmatch("[0-9a-f]{8}", destination_hash("ü/日本"))
    marks = {version_hash(1, 2.0), version_hash(1, 3.0), version_hash(2, 2.0), version_hash(None, None)}
    assert len(marks) == 4


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text("é.", max_size=50))
def test_a_stem_is_cut_to_what_a_name_may_hold(stem: str, tail: str) -> None:
    name = fit(stem, tail)
    assert name.endswith(tail)
    assert stem.startswith(name.removesuffix(tail))
    assert len(name.encode()) <= LONGEST_NAME
    if len((stem + tail).encode()) <= LONGEST_NAME:
        assert name == stem + tail


@example("x" * 246)
@example("ü" * 123)
@example("🦊" * 61)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=300))
def test_nextcloud_takes_every_name_that_we_make(stem: str) -> None:
    original = stem + ".jpg"
    for name in (
        final_name(original, ID),
        numbered(original, 2),
        str(ClaimName(ID, destination_hash("a"), original)),
        ID,
    ):
        check_name(name)


@given(st.text(max_size=20))
def test_stem_and_ending_make_the_name(name: str) -> None:
    stem, extension = split(name)
    assert stem + extension == name
    assert stem or not name
