"""Bad weather: requests go wrong in any way, several in a row, while people add, replace and file away pictures."""

import contextlib
import random

import pytest

from tests.faults.proxy import Fault, Request, faulty
from tests.faults.spoilers import ALL
from tests.faults.stage import Stage
from tests.faults.tally import tally

# Those that make it wait say nothing new in a crowd of others. One listing with holes is survived; but who leaves a
# file out of a listing and then says 404 of it, too, is believed.
WAITING = {"silence", "slow drip"}
HOLES = {
    f"listing with{rest}" for rest in ("out children", " foreign addresses", " .. in it", " addresses that are none")
}
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
