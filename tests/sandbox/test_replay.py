"""The sandbox answers like the recorded Nextcloud 32.0.1, except for the differences listed here.

Of the list of uploads in `recorded_in_place.jsonl` (039) only those are kept that the recorded requests made.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

import pytest

from tests.sandbox import scenes, scenes_in_place
from tests.sandbox.replay import Exchange, Replay, read

HERE = Path(__file__).parent

# The exchange, the part of its answer, and why the difference does no harm.
KNOWN = {
    ("023-*", "error"): "the XML parser's own words: only the exception is the same",
    ("274-*", "body"): "a page for browsers: only its status and headers are the same",
    ("293-*", "property d:quota-used-bytes"): "the recorded account held more than the recording shows",
}


@pytest.fixture(scope="module")
def differences() -> dict[tuple[str, str], str]:
    """Every difference, by the exchange's name and what differs."""
    return dict(_play("recorded.jsonl", scenes))


def test_no_answer_differs_except_where_listed(differences: dict[tuple[str, str], str]) -> None:
    listed = {key for key in differences if any(_matches(row, key) for row in KNOWN)}
    unlisted = {key: differences[key] for key in differences.keys() - listed}
    assert unlisted == {}


@pytest.mark.parametrize("row", KNOWN, ids=" ".join)
def test_a_listed_difference_is_still_there(row: tuple[str, str], differences: dict[tuple[str, str], str]) -> None:
    assert any(_matches(row, key) for key in differences)


def test_no_answer_differs_where_content_is_replaced_in_place() -> None:
    assert len(list(read(HERE / "recorded_in_place.jsonl"))) == 45
    assert dict(_play("recorded_in_place.jsonl", scenes_in_place)) == {}


def _play(recording: str, scenes_of: ModuleType) -> Iterator[tuple[tuple[str, str], str]]:
    scenario = scenes.Scenario(scenes_of.DAY)
    with scenario.nextcloud as nextcloud:
        replay = Replay(nextcloud.url, lambda exchange: _password(exchange, nextcloud.password))
        for exchange in read(HERE / recording):
            if exchange.number in scenes_of.SCENES:
                scenes_of.SCENES[exchange.number](scenario)
            scenario.now = exchange.time + (exchange.number in scenes_of.WROTE_A_SECOND_LATER)
            if exchange.number in scenes_of.NOT_PLAYED:
                continue
            for what, how in replay.differences(exchange).items():
                yield (exchange.name, what), how
        replay.close()


def _password(exchange: Exchange, right: str) -> str:
    return "wrong" if "wrong-password" in exchange.name or exchange.login == "nobody" else right


def _matches(row: tuple[str, str], difference: tuple[str, str]) -> bool:
    return all(fnmatchcase(*pair) for pair in zip(difference, row, strict=True))
