"""Which images of a listing are taken: decided without a server."""

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.selection import SETTLED_AFTER, Selection, image_names, select, unreadable_format
from shared.filenames import READABLE, UNREADABLE
from shared.webdav.store import Entry, Href, Listing

NOW = 1_800_000_000.0
WANTED = image_names(["Unknown"])
FOLDER = Entry("raw", Href("/raw/"), True, None, '"f"', NOW)


def entry(name: str = "Unknown.jpg", **changes: Any) -> Entry:
    return replace(Entry(name, Href("/raw/" + name), False, 5, '"1"', NOW - 3600), **changes)


def listing(*entries: Entry, now: float | None = NOW) -> Listing:
    return Listing(FOLDER, entries, now)


def chosen(*entries: Entry, prefixes: tuple[str, ...] = ("Unknown",), now: float | None = NOW) -> Selection:
    return select(listing(*entries, now=now), image_names(prefixes), skipped=lambda _: False, before={}, now=0.0)


@pytest.mark.parametrize(
    "name", ["Unknown.jpg", "Unknown", "Unknown.JPG", "Unknown 1.jpeg", "Unknown.tiff", "Unknown.a.png", "Unknown.png"]
)
def test_an_image_with_the_prefix_is_taken(name: str) -> None:
    assert (len(chosen(entry(name)).take) == 1) == ("." in name)


@pytest.mark.parametrize(
    "name",
    ["unknown.jpg", "xUnknown.jpg", "Unknow.jpg", "Unknown.txt", "Unknown.jpg.part", "Unknown.mov", "x.heic", ".jpg"],
)
def test_others_are_not(name: str) -> None:
    selection = chosen(entry(name))
    assert selection == Selection()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Unknown.heic", "HEIC"),
        ("Unknown.HEIF", "HEIC"),
        ("Unknown.hif", "HEIC"),
        ("Unknown.NEF", "camera raw"),
        ("Unknown.dng", "camera raw"),
        ("Unknown.jxl", "JXL"),
        ("Unknown.psd", "PSD"),
        ("Unknown.svg", "SVG"),
    ],
)
def test_an_image_of_a_format_that_is_not_read_is_listed_as_such(name: str, kind: str) -> None:
    image = entry(name)
    assert chosen(image) == Selection(unreadable=(image,))
    assert unreadable_format(name) == f"{kind} is not supported"
    assert chosen(entry(name, is_folder=True)) == Selection()


def test_a_locked_image_is_neither_taken_nor_waited_for() -> None:
    """To wait for it could take hours."""
    locked = [entry(locked=True), entry(locked=True, modified=None)]
    assert chosen(*locked) == Selection(locked=tuple(locked))


def test_a_format_is_read_or_not() -> None:
    assert not READABLE & UNREADABLE.keys()
    assert not any(unreadable_format(f"Unknown{extension}") for extension in READABLE)


def test_a_folder_is_not_taken() -> None:
    assert chosen(entry(is_folder=True)).take == ()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_prefixes_are_compared_in_one_unicode_form(form: str, other: str) -> None:
    name = unicodedata.normalize(form, "Ünïcode.jpg")  # type: ignore[arg-type]
    prefix = unicodedata.normalize(other, "Ünï")  # type: ignore[arg-type]
    assert len(chosen(entry(name), prefixes=("x", prefix)).take) == 1


@pytest.mark.parametrize(
    ("changes", "now", "settled"),
    [
        ({"modified": NOW - SETTLED_AFTER}, NOW, True),
        ({"modified": NOW - SETTLED_AFTER + 0.5}, NOW, False),
        ({"modified": NOW + 86400}, NOW, False),
        ({"modified": None}, NOW, False),
        ({}, None, False),
        ({"etag": None}, NOW, False),
        ({"etag": 'W/"1"'}, NOW, False),
        # A date that the client has set tells nothing of when the file came.
        ({"modified": NOW - 10**8, "uploaded": NOW - 1}, NOW, False),
        ({"modified": NOW - 10**8, "uploaded": NOW - 3}, NOW, True),
    ],
)
def test_what_is_settled(changes: dict[str, Any], now: float | None, settled: bool) -> None:
    selection = chosen(entry(**changes), now=now)
    assert (len(selection.take), len(selection.wait)) == ((1, 0) if settled else (0, 1))


def test_what_waits_is_taken_when_it_was_seen_unchanged_for_two_seconds() -> None:
    new = entry(modified=None)

    def again(selection: Selection, seen: Entry, clock: float) -> Selection:
        return select(listing(seen), WANTED, skipped=lambda _: False, before=selection.observations, now=clock)

    first = again(Selection((), (), {}, ()), new, 100.0)
    assert first.wait == (new,)
    assert again(first, new, 101.0).wait == (new,)
    assert again(again(first, new, 101.0), new, 102.0).take == (new,)
    for changes in ({"etag": '"2"'}, {"size": 6}, {"modified": NOW - 1}, {"uploaded": NOW}):
        changed = replace(new, **changes)
        second = again(first, changed, 103.0)
        assert second.wait == (changed,)
        assert again(second, changed, 104.0).wait == (changed,)
        assert again(second, changed, 105.0).take == (changed,)


def test_what_is_gone_is_forgotten() -> None:
    first = chosen(entry(modified=None))
    assert len(first.observations) == 1
    assert select(listing(), WANTED, skipped=lambda _: False, before=first.observations, now=1.0).observations == {}


def test_what_is_skipped_does_not_wait() -> None:
    bad, good = entry("Unknown bad.jpg", modified=None), entry("Unknown good.jpg")
    selection = select(listing(bad, good), WANTED, skipped=lambda known: known is bad, before={}, now=0.0)
    assert (selection.take, selection.wait, selection.skipped) == ((good,), (), (bad,))


@given(
    st.lists(st.builds(lambda stem, ending: stem + ending, st.text(max_size=8), st.sampled_from(sorted(READABLE)))),
    st.lists(st.text(min_size=1, max_size=3), min_size=1),
)
def test_every_entry_is_in_at_most_one_place(names: list[str], prefixes: list[str]) -> None:
    entries = [entry(name, modified=None if number % 3 else NOW - 10) for number, name in enumerate(names)]
    selection = chosen(*entries, prefixes=tuple(prefixes))
    for known in entries:
        assert (known in selection.take) + (known in selection.wait) <= 1
    for known in (*selection.take, *selection.wait):
        name = unicodedata.normalize("NFC", known.name)
        assert any(name.startswith(unicodedata.normalize("NFC", prefix)) for prefix in prefixes)
