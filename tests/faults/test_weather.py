"""Bad weather: requests go wrong in any way, several in a row, while people add, replace and file away pictures."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from tests.faults.proxy import Fault, Proxy, Request, faulty
from tests.faults.spoilers import ALL
from tests.faults.stage import Stage
from tests.faults.tally import tally
from tests.scaler.harness import prepare
from tests.servers.fixtures import REAL_KINDS, site_on
from tests.servers.site import DiskSite

# Those that make it wait say nothing new in a crowd of others. One listing with holes is survived; but who leaves a
# file out of a listing and then says 404 of it, too, is believed.
WAITING = {"silence", "slow drip"}
HOLES = {"listing without children", "listing with foreign addresses", "listing with .. in it"}
WEATHER = [spoiler for spoiler in ALL if spoiler.name not in WAITING | HOLES]
SEEDS = 4
PASSES = 12
PICTURES = 3


class Weather:
    """Spoils requests at random, in spells."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._spell = 0
        self.struck = 0

    def __call__(self, request: Request) -> Fault | None:
        if self._spell == 0 and self._random.random() < 0.12:
            self._spell = self._random.choice((1, 1, 2, 3, 6))
        if self._spell == 0:
            return None
        self._spell -= 1
        fitting = [spoiler for spoiler in WEATHER if spoiler.fits(request)]
        self.struck += 1
        return self._random.choice(fitting)


@pytest.fixture(params=[REAL_KINDS[0], REAL_KINDS[1], REAL_KINDS[3]])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A site behind a proxy."""
    logger.remove()
    site = site_on(request, request.param)
    assert isinstance(site, DiskSite)
    prepare(site)
    with Proxy(site.url) as proxy:
        stage = Stage(site, proxy, tmp_path / "state")
        stage.surround()
        yield stage


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_in_bad_weather(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    weather = Weather(seed)
    number = 0
    with contextlib.ExitStack() as life:
        scaler = life.enter_context(stage.scaler(threads=2, impatient=True))
        for _ in range(PASSES):
            for _ in range(PICTURES):
                number += 1
                # The same name comes again, whether the last one of that name was taken or not.
                stage.add_or_replace(f"Unknown {chance.randrange(6)}.png", number)
            with faulty(stage.proxy, weather):
                stage.one_pass(scaler)
            if chance.random() < 0.3:
                stage.file_away()
            if chance.random() < 0.4:
                life.close()
                scaler = life.enter_context(stage.scaler(threads=2, impatient=True))
    stage.recover()
    complaints = stage.complaints()
    tally.add("several in a row, at random", tries=weather.struck, lost=len(complaints))
    assert not complaints
