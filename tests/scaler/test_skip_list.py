"""Skipped images, remembered with their reasons."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from scaler.memory_budget import Limits
from scaler.selection import version
from scaler.service import ScalerService
from scaler.session import place_of
from scaler.skip_list import DEATHS, SkipList, judges, summary
from shared import logging as log
from shared.retry import RetryPolicy
from shared.webdav.account import WebDavAccount
from shared.webdav.store import Entry, Href
from tests.fake_time import FakeTime
from tests.scaler.harness import RAW, config, image, inside, prepare
from tests.servers.site import DiskSite

ONE = Entry("1.jpg", Href("/raw/1.jpg"), False, 5, '"1"', 7.0)
TWO = Entry("2.jpg", Href("/raw/2.jpg"), False, 5, None, None)


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("test", "INFO", None, stream)
    return stream


def test_what_is_remembered_across_restarts(tmp_path: Path) -> None:
    skip_list = SkipList(tmp_path / "state", "/raw/")
    skip_list.add(ONE, "it is bad", lasting=True)
    skip_list.add(TWO, "it is too large", lasting=False)
    assert ONE in skip_list
    assert TWO in skip_list
    skip_list.save()
    later = SkipList(tmp_path / "state", "/raw/")
    assert later.reason(ONE) == "it is bad"
    assert later.reason(TWO) is None
    assert ONE not in SkipList(tmp_path / "state", "/another/")


def test_another_version_is_not_skipped(tmp_path: Path) -> None:
    skip_list = SkipList(tmp_path, "/raw/")
    skip_list.add(ONE, "it is bad", lasting=True)
    skip_list.save()
    for known in (skip_list, SkipList(tmp_path, "/raw/")):
        for changes in ({"etag": '"2"'}, {"size": 6}, {"modified": 8.0}, {"uploaded": 1.0}):
            assert replace(ONE, **changes) not in known


def test_what_is_gone_is_forgotten_and_the_others_are_not(tmp_path: Path) -> None:
    skip_list = SkipList(tmp_path, "/raw/")
    for entry, lasting in ((ONE, True), (TWO, False)):
        skip_list.add(entry, "it is bad", lasting=lasting)
    skip_list.keep_only([TWO])
    skip_list.save()
    assert ONE not in skip_list
    assert TWO in skip_list
    assert ONE not in SkipList(tmp_path, "/raw/")
    skip_list.keep_only([])
    assert TWO not in skip_list


def test_the_file_is_written_only_when_something_changed(tmp_path: Path) -> None:
    skip_list = SkipList(tmp_path / "state", "/raw/")
    skip_list.keep_only([ONE])
    skip_list.add(TWO, "it is too large", lasting=False)
    skip_list.save()
    assert not (tmp_path / "state").exists()


OLDER = '{"/raw/1.jpg": ["\\"1\\"", 5, 7.0, null]}'
DAMAGED = '{"judged_by": "x", "images": {"/raw/1.jpg": {"version": [1]}}}'


@pytest.mark.parametrize("content", ["", "[]", "{", '{"/raw/1.jpg": 5}', "null", "\x00", "\xff", OLDER, DAMAGED])
def test_a_file_that_makes_no_sense_is_said_and_forgotten(tmp_path: Path, said: io.StringIO, content: str) -> None:
    first = SkipList(tmp_path, "/raw/")
    first.add(ONE, "it is bad", lasting=True)
    first.save()
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert ONE not in SkipList(tmp_path, "/raw/")
    assert "cannot be read" in said.getvalue()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, said: io.StringIO) -> None:
    (tmp_path / "file").write_text("")
    skip_list = SkipList(tmp_path / "file" / "state", "/raw/")
    skip_list.add(ONE, "it is bad", lasting=True)
    skip_list.save()
    skip_list.add(TWO, "it is bad too", lasting=True)
    skip_list.save()
    assert ONE in skip_list
    assert TWO in skip_list
    assert said.getvalue().count("cannot be written") == 1
    # Once it can be written, nothing is missing.
    (tmp_path / "file").unlink()
    skip_list.add(ONE, "it is bad", lasting=True)
    skip_list.save()
    written = SkipList(tmp_path / "file" / "state", "/raw/")
    assert ONE in written
    assert TWO in written


def test_the_file_holds_no_more_than_it_needs(tmp_path: Path) -> None:
    skip_list = SkipList(tmp_path, "/raw/")
    skip_list.add(ONE, "it is bad", lasting=True)
    skip_list.save()
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text()) == {
        "judged_by": judges(),
        "images": {"/raw/1.jpg": {"version": ['"1"', 5, 7.0, None], "reason": "it is bad"}},
    }


def test_what_another_version_has_judged_is_looked_at_again(tmp_path: Path) -> None:
    skip_list = SkipList(tmp_path, "/raw/", "OpenCV 5.0")
    skip_list.add(ONE, "it is bad", lasting=True)
    skip_list.count_death(TWO.href, version(TWO))
    skip_list.save()
    assert ONE in SkipList(tmp_path, "/raw/", "OpenCV 5.0")
    upgraded = SkipList(tmp_path, "/raw/", "OpenCV 5.1")
    assert ONE not in upgraded
    assert not upgraded.is_suspect(TWO)


def test_who_judges_is_our_code_and_every_decoder() -> None:
    said = judges()
    for part in ("code ", "opencv-python", "pillow", "tifffile", "imagecodecs"):
        assert part in said


def test_the_same_path_of_another_server_or_account_is_another_image(tmp_path: Path) -> None:
    def place(**changes: str) -> str:
        values = {"base_url": "https://one.example/dav/", "username": "alice", "password": "x"} | changes
        return place_of(WebDavAccount.model_validate(values), Href("/dav/raw/"))

    skip_list = SkipList(tmp_path, place())
    skip_list.add(ONE, "it is bad", lasting=True)
    skip_list.save()
    assert ONE in SkipList(tmp_path, place(password="another"))
    for changes in (
        {"base_url": "https://two.example/dav/"},
        {"base_url": "https://one.example:8443/dav/"},
        {"username": "bob"},
    ):
        assert ONE not in SkipList(tmp_path, place(**changes)), changes


def test_what_another_scaler_has_written_meanwhile_is_kept(tmp_path: Path) -> None:
    first, second = SkipList(tmp_path, "/raw/"), SkipList(tmp_path, "/raw/")
    for skip_list, entry in ((first, ONE), (second, TWO)):
        skip_list.add(entry, "it is bad", lasting=True)
        skip_list.save()
    assert ONE in second
    later = SkipList(tmp_path, "/raw/")
    assert ONE in later
    assert TWO in later
    second.keep_only([TWO])
    second.save()
    assert ONE not in SkipList(tmp_path, "/raw/")


def test_an_image_is_skipped_after_three_deaths_unless_one_process_survives_it(tmp_path: Path) -> None:
    for deaths in range(1, DEATHS + 1):
        skip_list = SkipList(tmp_path, "/raw/")
        for entry in (ONE, TWO):
            skip_list.count_death(entry.href, version(entry))
            assert skip_list.is_suspect(entry)
        assert (ONE in skip_list) == (deaths == DEATHS)
        skip_list.survived(TWO)
        assert not skip_list.is_suspect(TWO)
        skip_list.save()
    later = SkipList(tmp_path, "/raw/")
    assert later.reason(ONE) == "the scaler was killed 3 times while processing this image"
    assert TWO not in later
    changed = replace(ONE, etag='"2"')
    later.count_death(changed.href, version(changed))
    assert changed not in later


@pytest.mark.parametrize(
    ("skipped", "said"),
    [
        ({"a": "it is bad"}, "1 image is skipped: 1 × it is bad (a)"),
        ({"b": "x", "c": "y", "a": "y"}, "3 images are skipped: 2 × y (a, c), 1 × x (b)"),
        ({str(number): "x" for number in range(7)}, "7 images are skipped: 7 × x (0, 1, 2, 3, 4, …)"),
    ],
)
def test_the_summary(skipped: dict[str, str], said: str) -> None:
    assert summary(skipped) == said


def test_what_needs_more_memory_than_there_is_is_named_once_and_taken_by_one_who_has_more(
    nextcloud_site: DiskSite, tmp_path: Path, said: io.StringIO
) -> None:
    prepare(nextcloud_site)
    nextcloud_site.write(f"{RAW}/Unknown.png", image(width=400, height=400))
    for memory, left in ((2**20, 1), (2**28, 0)):
        with ScalerService(
            threads=1, limits=Limits(1, memory), quality=95, state=tmp_path, retry=RetryPolicy(FakeTime().stop())
        ) as scaler:
            for _ in range(2):
                assert not scaler.poll(config(nextcloud_site.account))
        assert len(inside(nextcloud_site, RAW)) == left
    assert said.getvalue().count("more than the 1 MiB that this process may use (--max-memory)") == 1
    assert "Unexpected error" not in said.getvalue()
