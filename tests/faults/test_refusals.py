"""What certainly cannot succeed now: nothing is downloaded or uploaded for it anew, and little is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import APACHE, NEXTCLOUD, RCLONE, scenario_on
from tests.faults.refusals import IDLE, IMAGES, POLLS, REFUSALS, Refusal, measure
from tests.faults.scenario import Scenario


@pytest.fixture(
    params=[NEXTCLOUD, APACHE, pytest.param(*RCLONE.values, id="rclone", marks=[*RCLONE.marks, pytest.mark.long])]
)
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """In place on a Nextcloud; by claims on Apache, and where If-Match is ignored."""
    yield from scenario_on(request, request.param, tmp_path)


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_what_is_refused_costs_little(scenario: Scenario, refusal: Refusal) -> None:
    measured = measure(scenario, refusal)
    assert measured.failed == []
    if not refusal.status and scenario.site.kind != "rclone":
        # Apache lists the lock, and a Nextcloud does not even give a file that is locked by a request.
        assert (measured.downloads, measured.uploads) == (0, 0)
    assert measured.downloads <= refusal.downloads * IMAGES
    assert measured.uploads <= refusal.uploads * IMAGES
    assert measured.most_left <= refusal.left * IMAGES
    # What was kept is published without a download.
    assert measured.later == (0 if refusal.published or (refusal.left and measured.uploads) else IMAGES)
    assert measured.requests <= (IDLE + IMAGES) * POLLS
