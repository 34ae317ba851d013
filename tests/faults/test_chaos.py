"""Chaos: requests fail in any way, several in a row, while people add, replace and file away images."""

import contextlib
import random

import pytest

from tests.faults.injections import ALL
from tests.faults.proxy import Fault, Request, faulty
from tests.faults.scenario import Scenario
from tests.faults.tally import tally

# Those that make it wait show nothing new among so many others. One incomplete listing is survived; but a server that
# leaves a file out of a listing and then also answers 404 for it is believed.
WAITING = {"silence", "slow drip"}
HOLES = {
    f"listing with{rest}"
    for rest in ("out children", " addresses of another server", " .. in it", " invalid addresses")
}
CHAOS = [injection for injection in ALL if injection.name not in WAITING | HOLES]
SEEDS, LONG_SEEDS = 4, 60
POLLS = 12
IMAGES = 3


class Chaos:
    """Injects faults at random, in spells."""

    def __init__(self, seed: int, *, hashes: bool) -> None:
        self._random = random.Random(seed)
        # Without a hash from the server, nobody can tell an upload from one of the same length.
        self._chaos = [injection for injection in CHAOS if hashes or injection.name != "body garbled on its way"]
        self._spell = 0
        self.struck = 0

    def __call__(self, request: Request) -> Fault | None:
        if self._spell == 0 and self._random.random() < 0.12:
            self._spell = self._random.choice((1, 1, 2, 3, 6))
        if self._spell == 0:
            return None
        self._spell -= 1
        fitting = [injection for injection in self._chaos if injection.fits(request)]
        self.struck += 1
        return self._random.choice(fitting)


@pytest.mark.parametrize(
    "seed", [*range(SEEDS), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(SEEDS, LONG_SEEDS))]
)
def test_nothing_is_lost_in_chaos(scenario: Scenario, seed: int) -> None:
    chance = random.Random(seed)
    chaos = Chaos(seed, hashes=scenario.site.hashes)
    number = 0
    with contextlib.ExitStack() as life:
        scaler = life.enter_context(scenario.scaler(threads=2, short_timeout=True))
        for _ in range(POLLS):
            for _ in range(IMAGES):
                number += 1
                # The same name comes again, whether the last one of that name was taken or not.
                scenario.add_or_replace(f"Unknown {chance.randrange(6)}.png", number)
            with faulty(scenario.proxy, chaos):
                scenario.poll(scaler)
            if chance.random() < 0.3:
                scenario.file_away()
            if chance.random() < 0.4:
                life.close()
                scaler = life.enter_context(scenario.scaler(threads=2, short_timeout=True))
    scenario.recover()
    complaints = scenario.complaints()
    tally.add("several in a row, at random", tries=chaos.struck, lost=len(complaints))
    assert not complaints
