"""A scaler killed before and after each of its requests, and at any other moment, over a stream of images."""

import random
import time

import pytest

from tests.faults.kills import After, HoldNth
from tests.faults.proxy import faulty
from tests.faults.scalers import Scalers
from tests.faults.scenario import Scenario
from tests.faults.steps import BY_CLAIMS, IN_PLACE, LOOKS, step
from tests.faults.tally import tally
from tests.scaler.harness import RAW

# 200 in all.
KILLS = {"nextcloud": 80, "nextcloud without versions": 40, "apache": 40, "rclone": 40}
LONGEST_RUN = 40


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_each_request(scenario: Scenario, scalers: Scalers, after: bool) -> None:
    killed: list[str] = []
    for n in range(1, LONGEST_RUN):
        scenario.add(f"Unknown-{n:03}.png", n)
        rule = HoldNth(n, after=after)
        with faulty(scenario.proxy, rule):
            scaler = scalers.start("--once", "--threads", "1")
            if not rule.kill(scaler):
                break
        assert rule.request
        killed.append(step(rule.request))
        scalers.finish()
        if n % 3 == 0:
            scenario.file_away()
    complaints = scenario.complaints()
    tally.add(f"killed {'after' if after else 'before'} each request", tries=len(killed), lost=len(complaints))
    assert not complaints
    steps = IN_PLACE if scenario.nextcloud else (*BY_CLAIMS, *LOOKS[scenario.site.kind])
    assert set(killed) >= set(steps)


@pytest.mark.slow
def test_killed_at_random_moments(scenario: Scenario, scalers: Scalers) -> None:
    chance = random.Random(7)
    kills = KILLS[scenario.site.kind]
    number = 0
    killed = 0
    while killed < kills:
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            number += 1
            scenario.add_or_replace(f"Unknown {chance.randrange(12)}.png", number)
        # An image's requests come behind those that find out what the server can.
        rule = After(chance.randrange(1, 40 if scenario.nextcloud else 16))
        with faulty(scenario.proxy, rule):
            scaler = scalers.start("--frequency", "0.1", "--threads", "3")
            rule.come.wait(0.3)
            time.sleep(chance.uniform(0, 0.004))
            scaler.kill()
            killed += scaler.wait() < 0
        if chance.random() < 0.3:
            scenario.file_away()
    scalers.finish()
    complaints = scenario.complaints()
    tally.add("killed at a random moment", tries=killed, lost=len(complaints))
    assert not complaints
    assert not scenario.visible(RAW)
