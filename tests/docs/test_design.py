"""docs/design.md: what its tables say is what the code does."""

import importlib
import pkgutil
import re
import tomllib
from typing import Any

import pytest

import mover
import scaler
import shared
from mover.selection import InvalidTag, Rules, category_of, leftovers_in
from mover.selection import select as select_moves
from scaler import in_place, names
from scaler.marker import checksums_with_marker
from scaler.moves import Outcome
from scaler.names import ClaimName, version_hash
from scaler.recovery import action_for, orphans
from scaler.selection import SETTLED_AFTER, image_names, select
from shared.errors import ErrorPolicy, Failure
from shared.scheduler import ends_poll
from shared.webdav.http_errors import error_of
from shared.webdav.store import Entry, Href, Listing, Tag
from tests.docs.pages import ROOT, code, table, tables
from tests.faults.rejections import REJECTIONS

DESIGN = ROOT / "docs" / "design.md"
TEXT = DESIGN.read_text()
NOW = 1_800_000_000.0
OWNER, OTHER = "aaaaaaaa", "bbbbbbbb"
FOLDER = Entry("raw", Href("/raw/"), is_folder=True, size=None, etag='"f"', modified=NOW)
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def rows(heading: str, column: str) -> list[Any]:
    """The rows of a table, as parameters of a test named by their first two cells."""
    found = table(DESIGN, heading, column)
    return [pytest.param(row, id=", ".join(list(row.values())[:2])) for row in found]


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:scaler|mover|shared|tests)(?:\.\w+)+)`", TEXT))))
def test_every_name_in_the_code_exists(name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute)
        return
    pytest.fail(name)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.(?:py|toml|md))`", TEXT))))
def test_every_file_exists(path: str) -> None:
    assert (ROOT / path).is_file()


# --- imports ---------------------------------------------------------------------------------------------------------


def test_the_layers_are_those_of_import_linter() -> None:
    (layers,) = [contract["layers"] for contract in CONTRACTS if contract["type"] == "layers"]
    said = [code(row["Packages"]) for row in table(DESIGN, "## Which module may import what", "Layer")]
    assert said == [layer.split(" | ") for layer in layers]


def test_who_imports_what_is_what_import_linter_allows() -> None:
    allowed: dict[str, set[str]] = {}
    for contract in CONTRACTS:
        if contract.get("allow_indirect_imports"):
            allowed |= {module: set() for module in contract["forbidden_modules"]}
            for ignored in contract["ignore_imports"]:
                importer, imported = ignored.split(" -> ")
                allowed[imported].add(importer)
    said = table(DESIGN, "## Which module may import what", "Imported module")
    assert {code(row["Imported module"])[0]: set(code(row["Only by"])) for row in said} == allowed


def test_the_pure_modules_are_those_of_import_linter() -> None:
    (pure,) = [c for c in CONTRACTS if c["type"] == "forbidden" and not c.get("allow_indirect_imports")]
    said = table(DESIGN, "## Which module may import what", "Pure module")
    assert [code(row["Pure module"])[0] for row in said] == pure["source_modules"]


# --- in place --------------------------------------------------------------------------------------------------------

TIME = "20270115T075000Z"
MARKED = checksums_with_marker("0" * 64, f"{TIME}-{OWNER}{0:016x}")


def listed(row: dict[str, str]) -> Entry:
    """The entry that a row of the table of states describes."""
    published = row["Marker"] == "its time is in the name"
    assert published or row["Marker"] in ("none", "its time is not in the name")
    name = {"with": "Unknown", "without": "Other"}[row["Name"].split()[0]] + (f"_{TIME}" if published else "")
    name += ".heic" if ".heic" in row["Name"] else ".jpg"
    age = {"settled": SETTLED_AFTER, "recent": SETTLED_AFTER - 1}[row["Last change"]]
    return Entry(
        name=name,
        href=Href("/raw/" + name),
        is_folder=False,
        size=5,
        etag='"1"',
        modified=NOW - 3600,
        uploaded=NOW - age,
        checksums="" if row["Marker"] == "none" else MARKED,
        locked="locked" in row["Name"],
    )


@pytest.mark.parametrize("row", rows("### What the next listing shows", "`select`"))
def test_a_listed_image_is_selected_as_the_table_says(row: dict[str, str]) -> None:
    entry, on_skip_list = listed(row), "skip list" in row["Name"]
    selection = select(
        Listing(FOLDER, (entry,), NOW), image_names(["Unknown"]), skipped=lambda _: on_skip_list, before={}, now=0.0
    )
    kinds = ("take", "finish", "wait", "skipped", "unreadable", "locked")
    assert [kind for kind in kinds if getattr(selection, kind)] == row["`select`"].split()


def test_every_outcome_of_a_replacement_is_explained() -> None:
    said = table(DESIGN, "### After an answer to step 5 that is not 204", "Found")
    assert [row["Found"] for row in said] == [state.name for state in in_place._State]


def test_every_outcome_of_a_move_is_explained() -> None:
    assert [row["Outcome"] for row in table(DESIGN, "## Outcome of a MOVE", "Outcome")] == [o.name for o in Outcome]


# --- claims ----------------------------------------------------------------------------------------------------------


def uploaded(name: str, age: float = 100.0) -> Entry:
    return Entry(name, Href("/x/" + name), is_folder=False, size=5, etag=None, modified=NOW - age)


@pytest.mark.parametrize("honoured", [True, False], ids=["If-Match honoured", "If-Match ignored"])
@pytest.mark.parametrize("row", rows("### States of a claim", "Action"))
def test_a_claim_is_finished_as_the_table_says(row: dict[str, str], honoured: bool) -> None:
    upload = names.new_id(OWNER)
    if row["Claim"] == "another version":
        version = version_hash(4, NOW)
    else:
        assert row["Claim"] == "as read"
        version = "" if honoured else version_hash(5, NOW - 100)
    claim = ClaimName(upload, "12345678", "Unknown.jpg", version)
    lying = {"there": [upload], "not there": [], "discarded": [upload + names.DISCARDED], "folder not there": None}
    found = lying[row["Its upload"]]
    uploads = None if found is None else Listing(FOLDER, tuple(map(uploaded, found)), NOW)
    assert f"`{action_for(uploaded(str(claim)), claim, uploads).name}`" == row["Action"]


AGES = {"up to an hour": 3600.0, "over an hour": 3601.0, "over a day": 86_401.0, "over a week": 7 * 86_400.0 + 1}


@pytest.mark.parametrize("row", rows("### States of an upload without a claim", "`orphans`"))
def test_an_upload_without_a_claim_is_kept_as_long_as_the_table_says(row: dict[str, str]) -> None:
    owner = {"this process": OWNER, "another process": OTHER}[row["Owner"]]
    name = names.new_id(owner) + {"plain": "", "discarded": names.DISCARDED}[row["Upload"]]
    uploads = Listing(FOLDER, (uploaded(name, AGES[row["Age"]]),), NOW)
    found = orphans(uploads, [], OWNER, NOW)
    assert bool(found) == {"keep": False, "remove": True}[row["`orphans`"]]
    claim = ClaimName(name.removesuffix(names.DISCARDED), "12345678", "Unknown.jpg")
    assert not orphans(uploads, [claim], OWNER, NOW)


# --- kills -----------------------------------------------------------------------------------------------------------

# Nothing is left in the raw folder, or in the hidden one, or nothing was begun.
FINAL = {"done", "published", "original"}


@pytest.mark.parametrize(
    ("kills", "states", "steps"),
    [
        ("### If the scaler is killed while it replaces", "### What the next listing shows", "### Steps in place"),
        ("### If the scaler is killed while it claims", "### States of a claim", "### Steps of a claim"),
        ("### If the mover is killed", "### States of an image", "### Steps of the mover"),
    ],
)
def test_a_kill_at_any_step_leaves_a_state_of_the_protocol(kills: str, states: str, steps: str) -> None:
    killed = table(DESIGN, kills, "Killed")
    known = {row["State"] for row in table(DESIGN, states, "State")} | FINAL
    assert {row["State"] for row in killed} <= known
    numbers = {int(row["Step"][0]) for row in table(DESIGN, steps, "Step")}
    ranges = [re.findall(r"steps? (\d)(?: (?:to|and) (\d))?", row["Killed"]) for row in killed]
    assert {
        step for found in ranges for first, last in found for step in range(int(first), int(last or first) + 1)
    } == (numbers)


# --- the mover -------------------------------------------------------------------------------------------------------

RULES = Rules(parent="ai", unsorted="unsorted", images="organized")
TAGS = {
    "of a category": (Tag("ai:cats", "1"),),
    "of no valid category": (Tag("ai:a/b", "2"),),
    "of another category": (Tag("ai:dogs", "3"),),
    "none": (),
}


@pytest.mark.parametrize("row", rows("### States of an image", "Then"))
def test_a_tagged_image_is_treated_as_the_table_says(row: dict[str, str]) -> None:
    file = Entry(
        "a.jpg", Href("/a.jpg"), is_folder=False, size=5, etag='"1"', modified=NOW, file_id="7", tags=TAGS[row["Tag"]]
    )
    if row["Lies in"] == "unsorted folder":
        plan = select_moves([file], RULES)
        done = ["move"] * bool(plan.planned_moves) + ["note"] * bool(plan.notes)
    else:
        assert row["Lies in"] == "its category's folder"
        done = ["untag"] * bool(leftovers_in(RULES.folder("cats"), [file], TAGS["of a category"][0]))
    assert done == row["Then"].split()
    assert isinstance(category_of("ai:a/b", RULES), InvalidTag)


# --- errors ----------------------------------------------------------------------------------------------------------


def all_failures() -> dict[str, type[Failure]]:
    """Every failure that the daemons know, by its full name."""
    for package in (scaler, mover, shared):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    found: dict[str, type[Failure]] = {}
    pending = [Failure]
    while pending:
        kinds = pending.pop().__subclasses__()
        pending += kinds
        found |= {f"{kind.__module__}.{kind.__qualname__}": kind for kind in kinds}
    return {name: kind for name, kind in found.items() if not name.startswith("tests.")}


ERRORS = {code(row["Error"])[0]: row for row in table(DESIGN, "## Errors", "Ends the poll")}


def test_every_error_is_in_the_table() -> None:
    assert set(ERRORS) == set(all_failures())


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_the_policy_that_the_table_says(name: str) -> None:
    kind = all_failures()[name]
    assert code(ERRORS[name]["Policy"]) == [kind.policy.name]
    assert ERRORS[name]["Ends the poll"] == ("yes" if ends_poll(kind("message")) else "no")


def test_every_policy_is_explained() -> None:
    (policies,) = [found for found in tables(DESIGN, "## Errors") if "A request" in found[0]]
    assert [code(row["Policy"])[0] for row in policies] == [policy.name for policy in ErrorPolicy]


@pytest.mark.parametrize("row", rows("## Errors", "Status"))
def test_a_status_is_the_error_that_the_table_says(row: dict[str, str]) -> None:
    assert code(row["Error"]) == [type(error_of(int(row["Status"]), {}, "GET /")).__name__]


# --- rejections -------------------------------------------------------------------------------------------------------


def test_every_rejection_that_is_measured_is_in_the_table() -> None:
    said = [row["Rejected"] for row in table(DESIGN, "## What cannot succeed now", "Rejected")]
    assert said == [rejection.name for rejection in REJECTIONS]
