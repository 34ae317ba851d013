"""Refused images, remembered."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from scaler.memory_budget import Limits
from scaler.service import ScalerService
from scaler.skip_list import SkipList
from shared import logging as log
from shared.retry import RetryPolicy
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
    skip_list.add(ONE, lasting=True)
    skip_list.add(TWO, lasting=False)
    assert ONE in skip_list
    assert TWO in skip_list
    skip_list.save()
    later = SkipList(tmp_path / "state", "/raw/")
    assert ONE in later
    assert TWO not in later
    assert ONE not in SkipList(tmp_path / "state", "/another/")


def test_another_version_is_not_refused(tmp_path: Path) -> None:
    skip_list = SkipList(tmp_path, "/raw/")
    skip_list.add(ONE, lasting=True)
    skip_list.save()
    for known in (skip_list, SkipList(tmp_path, "/raw/")):
        for changes in ({"etag": '"2"'}, {"size": 6}, {"modified": 8.0}, {"uploaded": 1.0}):
            assert replace(ONE, **changes) not in known


def test_what_is_gone_is_forgotten_and_the_others_are_not(tmp_path: Path) -> None:
    skip_list = SkipList(tmp_path, "/raw/")
    for entry, lasting in ((ONE, True), (TWO, False)):
        skip_list.add(entry, lasting=lasting)
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
    skip_list.add(TWO, lasting=False)
    skip_list.save()
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"/raw/1.jpg": 5}', "null", "\x00"])
def test_a_file_that_makes_no_sense_is_said_and_forgotten(tmp_path: Path, said: io.StringIO, content: str) -> None:
    first = SkipList(tmp_path, "/raw/")
    first.add(ONE, lasting=True)
    first.save()
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    assert ONE not in SkipList(tmp_path, "/raw/")
    assert "cannot be read" in said.getvalue()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, said: io.StringIO) -> None:
    (tmp_path / "file").write_text("")
    skip_list = SkipList(tmp_path / "file" / "state", "/raw/")
    skip_list.add(ONE, lasting=True)
    skip_list.save()
    assert ONE in skip_list
    assert "cannot be written" in said.getvalue()


def test_the_file_holds_no_more_than_it_needs(tmp_path: Path) -> None:
    skip_list = SkipList(tmp_path, "/raw/")
    skip_list.add(ONE, lasting=True)
    skip_list.save()
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text()) == {"/raw/1.jpg": ['"1"', 5, 7.0, None]}


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
    assert said.getvalue().count("more than the 1 MiB of --max-memory") == 1
    assert "Unexpected error" not in said.getvalue()
