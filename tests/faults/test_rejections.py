"""What certainly cannot succeed now: nothing is downloaded or uploaded for it anew, and little is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import APACHE, NEXTCLOUD, RCLONE, scenario_on
from tests.faults.rejections import IDLE, IMAGES, POLLS, REJECTIONS, Rejection, measure
from tests.faults.scenario import Scenario


@pytest.fixture(
    params=[NEXTCLOUD, APACHE, pytest.param(*RCLONE.values, id="rclone", marks=[*RCLONE.marks, pytest.mark.long])]
)
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """In place on a Nextcloud; by claims on Apache, and where If-Match is ignored."""
    yield from scenario_on(request, request.param, tmp_path)


@pytest.mark.parametrize("rejection", REJECTIONS, ids=str)
def test_what_is_rejected_costs_little(scenario: Scenario, rejection: Rejection) -> None:
    measured = measure(scenario, rejection)
    assert measured.failed == []
    if not rejection.status and scenario.site.kind != "rclone":
        # Apache lists the lock, and a Nextcloud does not even give a file that is locked by a request.
        assert (measured.downloads, measured.uploads) == (0, 0)
    assert measured.downloads <= rejection.downloads * IMAGES
    assert measured.uploads <= rejection.uploads * IMAGES
    assert measured.most_left <= rejection.left * IMAGES
    # What was kept is published without a download.
    assert measured.later == (0 if rejection.published or (rejection.left and measured.uploads) else IMAGES)
    assert measured.requests <= (IDLE + IMAGES) * POLLS
