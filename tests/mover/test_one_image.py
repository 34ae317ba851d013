"""Odd names, taken names, and folders that are not what they should be."""

import unicodedata

import pytest

from sandbox.nextcloud import Nextcloud
from tests.mover.harness import IMAGES, UNSORTED, Polls, asked, config, files, poll, put, state

CATEGORIES = [
    "cats",
    "two words",
    "Grüße aus Köln",
    "🐈 👩‍👩‍👧",
    "日本",
    "a:b",
    ":",
    "#1",
    "100%",
    "%2e%2e",
    "%2F",
    "a+b&c=d",
    "question?",
    "semi;colon, comma",
    "quote'",
    'upscale"',
    "<angle>",
    "*",
    "...",
    ".hidden",
    "x" * 61,
    "ü" * 61,
]
ODD = ["ai:", "ai:.", "ai:..", "ai:../../x", "ai:a/b", "ai:/", "ai:\\x", "AI:other", "ai", "ai:.scaler"]


def test_categories_with_odd_names(nextcloud: Nextcloud) -> None:
    for number, category in enumerate(CATEGORIES):
        nextcloud.create_tag(f"ai:{category}")
        put(nextcloud, f"{number}.jpg", f"ai:{category}")
    assert poll(nextcloud) == []
    assert {name: tags for name, (_, _, tags) in state(nextcloud).items()} == {
        f"{IMAGES}/{category}/{number}.jpg": set() for number, category in enumerate(CATEGORIES)
    }


@pytest.mark.parametrize("parent", ["a:i", "(a+)*", "[ai].", "KI Ü", "^$"])
def test_parent_values_with_odd_letters(nextcloud: Nextcloud, parent: str) -> None:
    nextcloud.create_tag(f"{parent}:cats")
    nextcloud.create_tag("a:cats")
    put(nextcloud, "a.jpg", f"{parent}:cats")
    put(nextcloud, "b.jpg", "a:cats")
    assert poll(nextcloud, parent=parent) == []
    assert set(files(nextcloud)) == {f"{IMAGES}/cats/a.jpg", f"{UNSORTED}/b.jpg"}


def test_odd_tags_leave_everything_alone_and_are_said_once(nextcloud: Nextcloud, said: list[str]) -> None:
    for number, tag in enumerate(ODD):
        nextcloud.create_tag(tag)
        put(nextcloud, f"{number}.jpg", tag)
        put(nextcloud, f"{number} too.jpg", tag)
    before = state(nextcloud)
    with Polls(config(nextcloud)) as polls:
        nextcloud.clear_log()
        for _ in range(3):
            assert polls.one() == []
    assert state(nextcloud) == before
    assert asked(nextcloud).keys() <= {"GET", "PROPFIND"}
    assert sorted(line.split("'")[1] for line in said) == sorted(tag.replace("\\", "\\\\") for tag in ODD)


def test_restricted_tags_keep_their_images_and_invisible_ones_are_not_seen(
    nextcloud: Nextcloud, said: list[str]
) -> None:
    nextcloud.create_tag("ai:locked", user_assignable=False)
    nextcloud.create_tag("ai:unseen", user_visible=False)
    put(nextcloud, "a.jpg", "ai:locked")
    put(nextcloud, "b.jpg", "ai:unseen")
    # Neither may be taken off what lies where it belongs.
    put(nextcloud, "c.jpg", "ai:locked", folder=f"{IMAGES}/locked")
    before = state(nextcloud)
    with Polls(config(nextcloud)) as polls:
        assert polls.one() == polls.one() == []
    assert state(nextcloud) == before
    assert len(said) == 1
    assert "'ai:locked'" in said[0]


def test_of_several_tags_one_is_taken_off_and_the_others_named(nextcloud: Nextcloud, said: list[str]) -> None:
    for tag in ("ai:dogs", "ai:cats", "holiday"):
        nextcloud.create_tag(tag)
    put(nextcloud, "a.jpg", "ai:dogs", "holiday", "ai:cats")
    with Polls(config(nextcloud)) as polls:
        assert polls.one() == polls.one() == []
    assert nextcloud.tags_of(f"{IMAGES}/cats/a.jpg") == {"ai:dogs", "holiday"}
    assert sum("these tags stay: 'ai:dogs'" in line for line in said) == 1


def test_a_taken_name_gets_the_next_number(nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    for name in ("a.jpg", "a (2).jpg", "é.jpg"):
        put(nextcloud, name, folder=f"{IMAGES}/cats")
    (nextcloud.folder / IMAGES / "cats" / "b.jpg").mkdir()
    there = state(nextcloud)
    names = ("a.jpg", "b.jpg", unicodedata.normalize("NFD", "é.jpg"))
    data = {name: (put(nextcloud, name, "ai:cats"), files(nextcloud)[f"{UNSORTED}/{name}"]) for name in names}
    nextcloud.clear_log()
    assert poll(nextcloud) == []
    now = state(nextcloud)
    assert {name: now[name] for name in there} == there
    for name, new in zip(names, ("a (3).jpg", "b (2).jpg", "é (2).jpg"), strict=True):
        assert now[f"{IMAGES}/cats/{new}"] == (data[name][1], data[name][0], frozenset())
    assert len(now) == len(there) + 3
    assert asked(nextcloud)["MOVE"] == 6


def test_two_images_that_want_one_free_name_at_once(nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    put(nextcloud, "a.jpg", folder=f"{IMAGES}/cats")
    for name in ("a.jpg", "a (2).jpg"):
        put(nextcloud, name, "ai:cats")
    before = sorted(files(nextcloud).values())
    assert poll(nextcloud) == []
    assert sorted(files(nextcloud).values()) == before
    assert {name.rpartition("/")[0] for name in files(nextcloud)} == {f"{IMAGES}/cats"}
    assert not any(tags for _, _, tags in state(nextcloud).values())


def test_the_same_name_again_for_one_category(nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    with Polls(config(nextcloud)) as polls:
        for _ in range(3):
            put(nextcloud, "a.jpg", "ai:cats")
            assert polls.one() == []
    assert set(files(nextcloud)) == {f"{IMAGES}/cats/{name}" for name in ("a.jpg", "a (2).jpg", "a (3).jpg")}
    assert len(set(files(nextcloud).values())) == 3


@pytest.mark.parametrize("file", [f"{IMAGES}/cats", IMAGES])
def test_a_file_where_a_folder_should_be_keeps_its_images(nextcloud: Nextcloud, said: list[str], file: str) -> None:
    for tag in ("ai:cats", "ai:dogs"):
        nextcloud.create_tag(tag)
    if file == IMAGES:
        (nextcloud.folder / IMAGES).rmdir()
    folder, _, name = file.rpartition("/")
    put(nextcloud, name, folder=folder)
    put(nextcloud, "a.jpg", "ai:cats")
    put(nextcloud, "b.jpg", "ai:cats")
    if file != IMAGES:
        put(nextcloud, "c.jpg", "ai:dogs")
    with Polls(config(nextcloud)) as polls:
        assert len(polls.one()) == 2
        nextcloud.clear_log()
        assert polls.one() == polls.one() == []
        assert asked(nextcloud) == {"PROPFIND": 2}
    assert {f"{UNSORTED}/a.jpg", f"{UNSORTED}/b.jpg", file} <= set(files(nextcloud))
    assert (f"{IMAGES}/dogs/c.jpg" in files(nextcloud)) == (file != IMAGES)
    assert len([line for line in said if line.startswith("ERROR")]) == 1


def test_a_category_that_the_server_does_not_take_keeps_its_images(nextcloud: Nextcloud, said: list[str]) -> None:
    for tag in ("ai:x.part", "ai:dogs"):
        nextcloud.create_tag(tag)
    put(nextcloud, "a.jpg", "ai:x.part")
    put(nextcloud, "b.jpg", "ai:dogs")
    with Polls(config(nextcloud)) as polls:
        assert len(polls.one()) == 1
        assert polls.one() == []
    assert set(files(nextcloud)) == {f"{UNSORTED}/a.jpg", f"{IMAGES}/dogs/b.jpg"}
    assert sum("x.part cannot be created" in line for line in said) == 1


def test_an_image_in_its_categorys_folder_loses_the_tag_too(nextcloud: Nextcloud, said: list[str]) -> None:
    for tag in ("ai:cats", "ai:dogs"):
        nextcloud.create_tag(tag)
    put(nextcloud, "a.jpg", "ai:cats", "ai:dogs", folder=f"{IMAGES}/cats")
    put(nextcloud, "b.jpg", "ai:cats", folder=f"{IMAGES}/cats/below")
    put(nextcloud, "c.jpg", "ai:cats", folder="outside/cats")
    put(nextcloud, "d.txt", "ai:cats", folder=f"{IMAGES}/cats")
    assert poll(nextcloud) == []
    assert {name: tags for name, (_, _, tags) in state(nextcloud).items()} == {
        f"{IMAGES}/cats/a.jpg": {"ai:dogs"},
        f"{IMAGES}/cats/below/b.jpg": {"ai:cats"},
        "outside/cats/c.jpg": {"ai:cats"},
        f"{IMAGES}/cats/d.txt": {"ai:cats"},
    }
    assert sum("removed the tag 'ai:cats'" in line for line in said) == 1
