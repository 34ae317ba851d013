"""Which images go where: decided without a server."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from mover.selection import InvalidTag, Rules, category_of, free_name, leftovers_in, lying_in, select
from shared.filenames import LONGEST_NAME
from shared.webdav.account import WebDavAccount
from shared.webdav.client import WebDavClient
from shared.webdav.multistatus import path_of
from shared.webdav.store import Entry, Href, Tag

RULES = Rules("ai", "data/unsorted", "data", "data/raw")


def file(name: str, *tags: str | Tag, kind: str = "image/jpeg") -> Entry:
    own = tuple(tag if isinstance(tag, Tag) else Tag(tag, str(number)) for number, tag in enumerate(tags))
    return Entry(
        name, Href("/" + name), not kind, size=None, etag='"e"', modified=None, file_id="7", media_type=kind, tags=own
    )


@pytest.mark.parametrize(
    ("parent", "tag", "category"),
    [
        ("ai", "ai:cats", "cats"),
        ("ai", "ai: big cats ", "big cats"),
        ("ai", "ai:Grüße", "Grüße"),
        ("ai", unicodedata.normalize("NFD", "ai:Grüße"), "Grüße"),
        ("ai", "ai:👩‍👩‍👧 🐈", "👩‍👩‍👧 🐈"),
        ("ai", "ai:a:b", "a:b"),
        ("ai", "ai:#1 100% ?&+", "#1 100% ?&+"),
        ("ai", "ai:%2e%2e", "%2e%2e"),
        ("ai", "ai:..x", "..x"),
        ("ai", "ai:...", "..."),
        ("ai", "ai:.hidden", ".hidden"),
        ("ai", "ai:" + "x" * LONGEST_NAME, "x" * LONGEST_NAME),
        ("ai", "ai:ai", "ai"),
        ("ai", "ai:ai:cats", "ai:cats"),
        ("a:i", "a:i:cats", "cats"),
        ("a.i", "a.i:cats", "cats"),
        ("(a+)*$", "(a+)*$:cats", "cats"),
        ("[ai]", "[ai]:cats", "cats"),
        ("KI Ü", "KI Ü:cats", "cats"),
        ("ai", "data:cats", None),
        ("ai", "xai:cats", None),
        ("ai", "air", None),
        ("ai", "cats", None),
        ("ai", "", None),
        ("a.i", "axi:cats", None),
        ("[ai]", "a:cats", None),
        ("a:i", "a:cats", None),
    ],
)
def test_a_tag_names_a_category(parent: str, tag: str, category: str | None) -> None:
    assert category_of(tag, replace(RULES, parent=parent)) == category


@pytest.mark.parametrize(
    "tag",
    [
        *("ai", "AI", "ai:", "ai:  ", "ai:.", "ai:..", "ai: .. ", "ai:/", "ai:../../x", "ai:a/b", "ai:/etc", "ai:\\x"),
        *("ai:a\\b", "ai:a\nb", "ai:\0", "ai:\x7f", "ai:a\u0085b", "AI:cats", "Ai:cats", "ai:" + "x" * 251),
        *("ai:" + "ü" * 126, "ai:.scaler", "ai:.SCALER", "ai:unsorted", "ai:Unsorted", "ai:raw"),
    ],
)
def test_an_odd_tag_leads_nowhere_and_says_why(tag: str) -> None:
    odd = category_of(tag, RULES)
    assert isinstance(odd, InvalidTag)
    plan = select([file("a.jpg", tag), file("b.jpg", tag)], RULES)
    assert plan.planned_moves == ()
    assert len(plan.notes) == 1
    assert odd.reason in plan.notes[0]
    assert "\n" not in plan.notes[0]


def test_two_tags_that_differ_in_case_are_told_apart() -> None:
    plan = select([file("a.jpg", "AI:cats"), file("b.jpg", "ai:cats"), file("c.jpg", "AI:cats", "ai:cats")], RULES)
    assert [(planned.file.name, planned.category, planned.left_on) for planned in plan.planned_moves] == [
        ("b.jpg", "cats", ()),
        ("c.jpg", "cats", ()),
    ]
    assert len(plan.notes) == 1


def test_without_the_scalers_settings_only_the_unsorted_folder_is_known() -> None:
    rules = replace(RULES, raw="")
    assert category_of("ai:raw", rules) == "raw"
    assert isinstance(category_of("ai:unsorted", rules), InvalidTag)


def test_of_several_tags_the_first_by_name_that_leads_somewhere_counts() -> None:
    locked = Tag("ai:birds", "9", removable=False)
    plan = select([file("a.jpg", "ai:dogs", "holiday", "ai:..", locked, "ai:cats")], RULES)
    (planned,) = plan.planned_moves
    assert (planned.category, planned.tag.name, planned.left_on) == ("cats", "ai:cats", ("ai:dogs",))
    assert len(plan.notes) == 2


def test_a_tag_that_may_not_be_taken_off_keeps_its_images() -> None:
    plan = select([file("a.jpg", Tag("ai:cats", "1", removable=False))], RULES)
    assert plan.planned_moves == ()
    assert plan.notes == ("Images with the tag 'ai:cats' stay where they are: this account may not remove that tag",)


def test_only_images_are_taken() -> None:
    files = [
        file("by type", "ai:x"),
        file("by name.AVIF", "ai:x", kind="application/octet-stream"),
        file("a folder.jpg", "ai:x", kind=""),
        file("text.txt", "ai:x", kind="text/plain"),
        file("film.mp4", "ai:x", kind="video/mp4"),
        replace(file("without an id.jpg", "ai:x"), file_id=None),
        replace(file("without a list of tags.jpg"), tags=None),
        file("untagged.jpg"),
    ]
    plan = select(files, RULES)
    assert [planned.file.name for planned in plan.planned_moves] == ["by name.AVIF", "by type"]
    assert plan.notes == ()


def test_only_what_lies_directly_in_a_folder_lies_in_it() -> None:
    found = [
        ("data/unsorted", file("here.jpg")),
        (unicodedata.normalize("NFD", "data/Grüße"), file("in NFD.jpg")),
        ("data/unsorted/below", file("below.jpg")),
        ("data", file("elsewhere.jpg")),
        ("data/unsorted2", file("beside.jpg")),
        ("unsorted", file("outside.jpg")),
        ("", file("at the top.jpg")),
    ]
    assert [file.name for file in lying_in("data/unsorted", found)] == ["here.jpg"]
    assert [file.name for file in lying_in("data/Grüße", found)] == ["in NFD.jpg"]


def test_leftovers_are_images_in_the_folder_of_a_tag_that_they_still_have() -> None:
    cats, dogs = Tag("ai:cats", "1"), Tag("ai:dogs", "2")
    files = [
        file("here.jpg", dogs, cats),
        file("other.jpg", dogs),
        file("untagged.jpg"),
        file("text.txt", cats, kind="text/plain"),
        file("a folder.jpg", cats, kind=""),
        replace(file("without an id.jpg", cats), file_id=None),
    ]
    assert [(left.path, left.tag) for left in leftovers_in("data/cats", files, cats)] == [("data/cats/here.jpg", cats)]


CLIENT = WebDavClient(WebDavAccount(base_url="http://127.0.0.1/", username="", password=SecretStr("")))


@given(st.text(max_size=80))
def test_no_tag_leads_out_of_the_images_root(text: str) -> None:
    category = category_of("ai:" + text, RULES)
    if isinstance(category, str):
        folder = RULES.folder(category)
        sent = CLIENT.href(folder)
        assert path_of(sent) == ["data", category]
        assert folder not in (RULES.unsorted, RULES.raw, RULES.images)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.jpg", "b.jpg", "ä.png"]),
            st.lists(st.builds(Tag, st.sampled_from(["ai:x", "ai:y", "ai:..", "z"]), st.just("1"), st.booleans())),
        ),
        max_size=5,
    )
)
def test_every_image_is_filed_once_at_most_and_loses_only_a_tag_it_may_lose(
    listed: list[tuple[str, list[Tag]]],
) -> None:
    files = [replace(file(name, *tags), file_id=str(number)) for number, (name, tags) in enumerate(listed)]
    plan = select(files, RULES)
    assert len({planned.file.file_id for planned in plan.planned_moves}) == len(plan.planned_moves)
    for planned in plan.planned_moves:
        assert planned.tag in (planned.file.tags or ())
        assert planned.tag.removable
        assert planned.category in ("x", "y")
    filed = {planned.file.file_id for planned in plan.planned_moves}
    for left in (file for file in files if file.file_id not in filed):
        assert not [tag for tag in left.tags or () if tag.removable and tag.name in ("ai:x", "ai:y")]


@pytest.mark.parametrize(
    ("name", "taken", "free"),
    [
        ("a.jpg", [], "a.jpg"),
        ("a.jpg", ["b.jpg"], "a.jpg"),
        ("a.jpg", ["a.jpg"], "a (2).jpg"),
        ("a.jpg", ["A.JPG"], "a (2).jpg"),
        ("a.jpg", ["a.jpg", "a (2).jpg", "a (4).jpg"], "a (3).jpg"),
        ("a (2).jpg", ["a (2).jpg"], "a (2) (2).jpg"),
        ("a.b.jpg", ["a.b.jpg"], "a.b (2).jpg"),
        ("a", ["a"], "a (2)"),
        (".jpg", [".jpg"], ".jpg (2)"),
        ("é.jpg", [unicodedata.normalize("NFD", "é.jpg")], "é (2).jpg"),
        ("x" * 246 + ".jpg", ["x" * 246 + ".jpg"], "x" * 242 + " (2).jpg"),
        ("a." + "x" * 248, ["a." + "x" * 248], "a." + "x" * 244 + " (2)"),
        ("ü" * 123 + ".jpg", ["ü" * 123 + ".jpg"], "ü" * 121 + " (2).jpg"),
    ],
)
def test_a_taken_name_gets_a_number(name: str, taken: list[str], free: str) -> None:
    assert free_name(name, taken) == free


@given(st.text(min_size=1, max_size=60), st.sets(st.text(max_size=5), max_size=4))
def test_a_free_name_is_free_and_fits(name: str, others: set[str]) -> None:
    taken = {name, *others}
    free = free_name(name, taken)
    assert free not in taken
    assert len(free.encode()) <= LONGEST_NAME
