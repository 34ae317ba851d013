"""The contract of `shared.webdav.store.Store`, kept by every store that we claim."""

import contextlib
import re
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import (
    Forbidden,
    IntegrityError,
    NotAccepted,
    NotFound,
    ParentNotFound,
    PreconditionFailed,
    ServerUnavailable,
)
from shared.webdav.store import Entry, Listing, Store, strong
from tests.servers.site import Site
from tests.servers.stores import connected

ODD_NAMES = [
    "with space.jpg",
    "hash#.jpg",
    "percent%.jpg",
    "encoded%20.jpg",
    "plus+.jpg",
    "and&.jpg",
    "quote'.jpg",
    'double".jpg',
    "semi;colon.jpg",
    "question?.jpg",
    unicodedata.normalize("NFC", "zoë-ü.jpg"),
    "日本語.jpg",
    "🦊.jpg",
    ".dot.jpg",
    "[brackets](and) more.jpg",
    "x" * 196 + ".jpg",
]


@pytest.fixture
def store(site: Site) -> Iterator[Store]:
    with connected(site.account) as client:
        yield client


def listed(store: Store, folder: str) -> dict[str, Entry]:
    return {entry.name: entry for entry in store.list_folder(store.href(folder)).entries}


def test_a_folder_lists_its_direct_children_only(site: Site, store: Store) -> None:
    site.write("raw/a.jpg", b"12345", age=100)
    site.write("raw/inner/deep.jpg", b"")
    site.write("raw2/b.jpg", b"")
    changed = time.time() - 100

    listing = store.list_folder(store.href("raw"))

    assert listing.itself.is_folder
    assert {entry.name for entry in listing.entries} == {"a.jpg", "inner"}
    file, folder = sorted(listing.entries, key=lambda entry: entry.is_folder)
    assert folder.is_folder
    assert not file.is_folder
    assert file.size == 5
    assert strong(file.etag) == ("no etags" not in site.quirks)
    assert file.modified == pytest.approx(changed, abs=2)
    assert listing.now == pytest.approx(time.time(), abs=3)


def test_what_is_wanted_is_listed(site: Site, store: Store) -> None:
    for name in ("a.jpg", "ä b.jpg"):
        site.write(f"raw/{name}", b"")
    assert "ä b.jpg" in {
        entry.name for entry in store.list_folder(store.href("raw"), wanted=lambda name: name != "a.jpg").entries
    }


def test_an_empty_folder_lists_nothing(site: Site, store: Store) -> None:
    site.make_folder("raw")
    assert store.list_folder(store.href("raw")).entries == ()


def test_the_base_itself_can_be_listed(site: Site, store: Store) -> None:
    site.write("a.jpg", b"")
    assert set(listed(store, "")) == {"a.jpg"}


def test_a_folder_that_is_not_there_is_missing(store: Store) -> None:
    with pytest.raises(NotFound):
        store.list_folder(store.href("nowhere"))
    assert store.stat(store.href("nowhere")) is None


def test_names_go_there_and_come_back(site: Site, store: Store, tmp_path: Path) -> None:
    site.make_folder("raw")
    odd_names = [name for name in ODD_NAMES if not _is_affected(site, name)]
    for name in odd_names:
        store.put(store.href("raw", name), name.encode())

    entries = listed(store, "raw")
    assert set(entries) == set(odd_names)
    assert site.files() == {f"raw/{name}": name.encode() for name in odd_names}
    for name, entry in entries.items():
        store.get(entry, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == name.encode()
        store.move(entry.href, store.href("raw", "m" + name[1:]))
    assert set(listed(store, "raw")) == {"m" + name[1:] for name in odd_names}
    for entry in listed(store, "raw").values():
        store.delete(entry.href)
    assert site.files() == {}


def _is_affected(site: Site, name: str) -> bool:
    """Whether a quirk of the server concerns a name; two tests below are about those."""
    return ("no dots" in site.quirks and name.startswith(".")) or (
        "cuts names" in site.quirks and bool({";", "?"} & set(name))
    )


def test_a_name_that_begins_with_a_dot_is_there_though_it_may_not_be_listed(site: Site, store: Store) -> None:
    """As the hidden folders are."""
    store.make_folder(store.href(".hidden"))
    store.put(store.href(".hidden", "a"), b"data")
    assert set(listed(store, ".hidden")) == {"a"}
    assert (".hidden" in listed(store, "")) == ("no dots" not in site.quirks)


@pytest.mark.parametrize("name", ["semi;colon.jpg", "question?.jpg", "both;?.jpg", "encoded%3B%3F.jpg", "hash#.jpg"])
def test_where_a_move_leads_whose_target_has_an_odd_name(site: Site, store: Store, name: str) -> None:
    site.write("raw/a", b"data")
    store.move(store.href("raw", "a"), store.href("raw", name))
    cut = re.split("[;?]", name)[0] if "cuts names" in site.quirks else name
    assert site.files() == {f"raw/{cut}": b"data"}


def test_both_unicode_forms_of_a_folder_and_a_file_work(site: Site, store: Store, tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "Übergröße.jpg")
    site.write(f"Bücher/{name}", b"data")
    (entry,) = store.list_folder(store.href("Bücher")).entries
    assert unicodedata.normalize("NFC", entry.name) == unicodedata.normalize("NFC", name)
    store.get(entry, tmp_path / "got")
    store.move(entry.href, store.href("Bücher", "a.jpg"), if_match=entry.etag)
    assert site.files() == {"Bücher/a.jpg": b"data"}


def test_dot_segments_lead_nowhere(store: Store) -> None:
    for folder, name in [("a/../b", ""), ("..", "x"), ("a", ".."), (".", "x"), ("a", ".")]:
        with pytest.raises(NotAccepted):
            store.href(folder, name)


def test_look_tells_what_lies_there(site: Site, store: Store) -> None:
    site.write("raw/a.jpg", b"123")
    there = store.stat(store.href("raw", "a.jpg"))
    assert there
    assert (there.name, there.size, there.is_folder) == ("a.jpg", 3, False)
    assert there.etag == listed(store, "raw")["a.jpg"].etag
    folder = store.stat(store.href("raw"))
    assert folder
    assert folder.is_folder
    assert store.stat(store.href("raw", "b.jpg")) is None
    assert store.stat(store.href("nowhere", "b.jpg")) is None


def test_get_brings_the_bytes(site: Site, store: Store, tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    site.write("raw/a.jpg", data)
    store.get(listed(store, "raw")["a.jpg"], tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == data


def test_get_of_an_empty_file(site: Site, store: Store, tmp_path: Path) -> None:
    site.write("raw/a.jpg", b"")
    store.get(listed(store, "raw")["a.jpg"], tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b""


def test_get_of_another_version_than_was_listed(site: Site, store: Store, tmp_path: Path) -> None:
    site.write("raw/a.jpg", b"old", age=7200)
    entry = listed(store, "raw")["a.jpg"]
    site.write("raw/a.jpg", b"new", age=3600)
    # Where no ETag is listed the date tells.
    with pytest.raises(PreconditionFailed):
        store.get(entry, tmp_path / "a")


def test_get_of_what_is_gone(site: Site, store: Store, tmp_path: Path) -> None:
    site.write("raw/a.jpg", b"old")
    entry = listed(store, "raw")["a.jpg"]
    site.remove("raw/a.jpg")
    with pytest.raises(NotFound):
        store.get(entry, tmp_path / "a")


def test_get_checks_the_length(site: Site, store: Store, tmp_path: Path) -> None:
    site.write("raw/a.jpg", b"12345")
    entry = listed(store, "raw")["a.jpg"]
    wrong = Entry(entry.name, entry.href, False, 4, entry.etag, entry.modified)
    with pytest.raises(IntegrityError):
        store.get(wrong, tmp_path / "a")


def test_put_replaces_what_was_there(site: Site, store: Store) -> None:
    site.make_folder("raw")
    for data in (b"first, longer", b"second", b""):
        store.put(store.href("raw", "a"), data)
        assert site.files() == {"raw/a": data}


def test_put_into_a_folder_that_is_not_there(site: Site, store: Store) -> None:
    # nginx answers with 500.
    with pytest.raises((NotFound, ParentNotFound, ServerUnavailable)):
        store.put(store.href("nowhere", "a"), b"data")
    assert site.files() == {}


def test_move_keeps_the_bytes(site: Site, store: Store) -> None:
    site.write("raw/a.jpg", b"data")
    site.make_folder("out")
    store.move(store.href("raw", "a.jpg"), store.href("out", "b.jpg"))
    assert site.files() == {"out/b.jpg": b"data"}


def test_move_never_replaces(site: Site, store: Store) -> None:
    site.write("raw/a.jpg", b"data")
    site.write("out/b.jpg", b"precious")
    with pytest.raises(PreconditionFailed):
        store.move(store.href("raw", "a.jpg"), store.href("out", "b.jpg"))
    assert site.files() == {"raw/a.jpg": b"data", "out/b.jpg": b"precious"}


def test_move_of_what_is_not_there(site: Site, store: Store) -> None:
    site.make_folder("raw")
    site.make_folder("out")
    with pytest.raises(Forbidden if site.kind == "rclone" else NotFound):
        store.move(store.href("raw", "a.jpg"), store.href("out", "b.jpg"))


def test_move_to_a_folder_that_is_not_there(site: Site, store: Store) -> None:
    site.write("raw/a.jpg", b"data")
    if "makes folders" in site.quirks:
        store.move(store.href("raw", "a.jpg"), store.href("nowhere", "b.jpg"))
        assert site.files() == {"nowhere/b.jpg": b"data"}
        return
    # Apache answers with 500, rclone with 403; whoever moves looks afterwards.
    with pytest.raises((ParentNotFound, ServerUnavailable, Forbidden)):
        store.move(store.href("raw", "a.jpg"), store.href("nowhere", "b.jpg"))
    assert site.files() == {"raw/a.jpg": b"data"}


def test_move_of_the_version_that_was_listed(site: Site, store: Store) -> None:
    site.write("raw/a.jpg", b"data")
    site.make_folder("out")
    store.move(store.href("raw", "a.jpg"), store.href("out", "b.jpg"), if_match=listed(store, "raw")["a.jpg"].etag)
    assert site.files() == {"out/b.jpg": b"data"}


def test_move_of_another_version(site: Site, store: Store) -> None:
    site.write("raw/a.jpg", b"older", age=7200)
    site.make_folder("out")
    entry = listed(store, "raw")["a.jpg"]
    site.write("raw/a.jpg", b"newer", age=3600)
    if site.conditional:
        with pytest.raises(PreconditionFailed):
            store.move(entry.href, store.href("out", "b.jpg"), if_match=entry.etag)
        assert site.files() == {"raw/a.jpg": b"newer"}
    else:
        store.move(entry.href, store.href("out", "b.jpg"), if_match=entry.etag)
        assert site.files() == {"out/b.jpg": b"newer"}


def test_delete(site: Site, store: Store) -> None:
    site.write("raw/a.jpg", b"data")
    site.write("raw/b.jpg", b"data")
    store.delete(store.href("raw", "a.jpg"))
    assert set(site.files()) == {"raw/b.jpg"}


def test_delete_of_what_is_not_there_is_as_good(site: Site, store: Store) -> None:
    site.make_folder("raw")
    store.delete(store.href("raw", "a.jpg"))
    store.delete(store.href("nowhere", "a.jpg"))


def test_make_folder(site: Site, store: Store) -> None:
    assert store.make_folder(store.href("new")) is True
    # rclone answers as if it had made it.
    assert store.make_folder(store.href("new")) is (site.kind == "rclone")
    store.put(store.href("new", "a"), b"data")
    assert site.files() == {"new/a": b"data"}


def test_make_folder_where_a_file_is(site: Site, store: Store) -> None:
    site.write("new", b"data")
    # Apache answers with 400, the others as if a folder were there.
    with contextlib.suppress(NotAccepted):
        assert store.make_folder(store.href("new")) is False
    assert site.files() == {"new": b"data"}


def test_make_folder_in_one_that_is_not_there(store: Store) -> None:
    with pytest.raises((ParentNotFound, NotFound)):
        store.make_folder(store.href("nowhere/new"))


def test_a_folder_etag_tells_every_change_or_is_not_there(site: Site, store: Store) -> None:
    folder = store.href("raw")
    site.write("raw/a.jpg", b"data")
    etags: list[str | None] = []

    def tree_etag() -> str | None:
        there = store.stat(folder)
        return there.tree_etag if there else None

    def changed(listing: Listing) -> None:
        assert listing.itself.tree_etag == tree_etag()
        etags.append(listing.itself.tree_etag)

    changed(store.list_folder(folder))
    if etags == [None]:
        # Apache's and rclone's do not change with what lies in a folder's files, so they must not be offered.
        assert not site.kind.startswith("nextcloud")
        return
    assert tree_etag() == etags[0]
    store.put(store.href("raw", "b.jpg"), b"data")
    changed(store.list_folder(folder))
    store.put(store.href("raw", "b.jpg"), b"other")
    changed(store.list_folder(folder))
    store.move(store.href("raw", "b.jpg"), store.href("raw", "c.jpg"))
    changed(store.list_folder(folder))
    store.make_folder(store.href("raw/inner"))
    changed(store.list_folder(folder))
    store.delete(store.href("raw", "c.jpg"))
    changed(store.list_folder(folder))
    assert len(set(etags)) == len(etags)


def test_several_clients_work_at_once(site: Site) -> None:
    with connected(site.account) as one, connected(site.account) as other:
        assert one is not other
        one.make_folder(one.href("raw"))
        other.put(other.href("raw", "a"), b"data")
        assert set(listed(one, "raw")) == {"a"}


@pytest.mark.server
def test_a_forbidden_move_says_so(apache_site: Site) -> None:
    apache_site.write("no-delete/a.jpg", b"data")
    with connected(apache_site.account) as store:
        assert set(listed(store, "no-delete")) == {"a.jpg"}
        with pytest.raises(Forbidden):
            store.move(store.href("no-delete", "a.jpg"), store.href("", "b.jpg"))
        with pytest.raises(Forbidden):
            store.delete(store.href("no-delete", "a.jpg"))
    assert set(apache_site.files()) == {"no-delete/a.jpg"}
