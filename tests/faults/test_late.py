"""A request that the scaler has given up takes effect after all, when nobody reckons with it any more."""

from collections.abc import Callable

import pytest

from tests.faults.conftest import steps_of_each_kind
from tests.faults.proxy import Answer, Exchange, Fault, Gone, Request, faulty
from tests.faults.scenario import Scenario
from tests.faults.steps import step
from tests.faults.tally import tally
from tests.scaler.harness import RAW

IN_PLACE = ("make throwaway", "make upload", "upload chunk", "assemble", "move on")
BY_CLAIMS = ("upload", "probe", "claim", "publish", "delete claim")


class Postponed:
    """Keeps the first request of a step; its client believes that the connection broke."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.take_effect: Callable[[], Answer] | None = None

    def __call__(self, request: Request) -> Fault | None:
        return self._keep if self.take_effect is None and step(request) == self._name else None

    def _keep(self, exchange: Exchange) -> None:
        self.take_effect = exchange.postpone()
        exchange.wire.reset()
        raise Gone


@pytest.mark.parametrize("attempts", [1, 5], ids=["given up", "tried again"])
@pytest.mark.parametrize("when", ["before recovery", "after recovery", "after another of that name came"])
@pytest.mark.parametrize(("scenario", "name"), steps_of_each_kind(IN_PLACE, BY_CLAIMS), indirect=["scenario"])
def test_a_request_takes_effect_late(scenario: Scenario, name: str, when: str, attempts: int) -> None:
    scenario.add_or_replace("Unknown.png", 1)
    rule = Postponed(name)
    with scenario.scaler(attempts=attempts) as scaler, faulty(scenario.proxy, rule):
        scenario.poll(scaler)
    assert rule.take_effect
    if when != "before recovery":
        scenario.recover()
    if when == "after another of that name came":
        scenario.add_or_replace("Unknown.png", 2)
    rule.take_effect()
    scenario.recover()
    complaints = scenario.complaints()
    tally.add("a request takes effect after the client gave up", lost=len(complaints))
    assert not complaints
    assert not scenario.visible(RAW)
