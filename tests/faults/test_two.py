"""Two scalers at once, originals replaced under a scaler's hands, and settings that change between kill and restart."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.vault import Vault
from scaler.service import ScalerConfig
from tests.faults.preloaded import Nursery
from tests.faults.proxy import Answer, Exchange, Fault, Request, faulty
from tests.faults.scalers import Scalers
from tests.faults.scenario import Scenario
from tests.faults.steps import step
from tests.faults.tally import tally
from tests.scaler.harness import HIDDEN, RAW, UNSORTED, config

IMAGES = 100
ELSEWHERE = "data/elsewhere"
PROCESSING = ("download", "upload", "probe", "claim", "look at claims", "publish", "delete claim")


@pytest.mark.parametrize("start", [1, 2], ids=["same settings", "different unsorted folders"])
def test_two_scalers_on_the_same_images(
    scenario: Scenario, the_nursery: Nursery, the_vault: Vault, tmp_path: Path, start: int
) -> None:
    for number in range(IMAGES):
        scenario.add(f"Unknown-{number:03}.png", number)
    scenario.site.make_folder(ELSEWHERE)
    one = Scalers(the_nursery, the_vault, scenario, tmp_path / "one")
    other = Scalers(
        the_nursery, the_vault, scenario, tmp_path / "other", unsorted=UNSORTED if start == 1 else ELSEWHERE
    )
    children = [one.start("--once", "--threads", "5"), other.start("--once", "--threads", "5")]
    for child in children:
        # A lost race may be answered by an error, which is tried again in the next poll.
        assert child.wait() in (0, 1), one.daemon_env.said + other.daemon_env.said
    one.finish()
    other.finish()
    complaints = scenario.complaints()
    tally.add("two scalers on the same 100 images", lost=len(complaints))
    assert not complaints
    assert not scenario.visible(RAW)


class Meanwhile:
    """Does something once, before or after a step took effect."""

    def __init__(self, name: str, act: Callable[[], None], *, after: bool) -> None:
        self._name = name
        self._act = act
        self._after = after
        self.done = False

    def __call__(self, request: Request) -> Fault | None:
        return self._interrupt if not self.done and step(request) == self._name else None

    def _interrupt(self, exchange: Exchange) -> None:
        self.done = True
        answer = exchange.forward() if self._after else None
        self._act()
        exchange.answer(answer or exchange.forward())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", PROCESSING)
def test_an_original_is_replaced(scenario: Scenario, name: str, after: bool) -> None:
    scenario.add_or_replace("Unknown.png", 1)
    rule = Meanwhile(name, lambda: scenario.add_or_replace("Unknown.png", 2), after=after)
    with scenario.scaler() as scaler, faulty(scenario.proxy, rule):
        scenario.poll(scaler)
    scenario.recover()
    complaints = scenario.complaints()
    assert not complaints
    assert not scenario.visible(RAW)
    if rule.done:
        tally.add("original replaced while it is upscaled")
    else:
        assert name == "look at claims"
        assert scenario.site.conditional


def _busy(exchange: Exchange) -> None:
    exchange.answer(Answer(503))


LEFT = {"claimed": "publish", "published": "delete claim"}


def _stopped_at(scenario: Scenario, name: str) -> None:
    with (
        scenario.scaler(attempts=1) as scaler,
        faulty(scenario.proxy, lambda request: _busy if step(request) == name else None),
    ):
        scenario.poll(scaler)


@pytest.mark.parametrize("left", LEFT)
def test_the_unsorted_folder_is_changed_between_kill_and_restart(scenario: Scenario, left: str) -> None:
    for number in range(5):
        scenario.add(f"Unknown {number}.png", number)
    scenario.site.make_folder(ELSEWHERE)
    _stopped_at(scenario, LEFT[left])
    scenario.recover(_elsewhere(scenario))
    complaints = scenario.complaints()
    tally.add("unsorted folder changed between kill and restart", lost=len(complaints))
    assert not complaints
    assert not scenario.visible(RAW)


def _elsewhere(scenario: Scenario) -> ScalerConfig:
    return config(scenario.through_proxy.account, unsorted=ELSEWHERE)


@pytest.mark.parametrize(
    ("folder", "name", "after"),
    [
        *((UNSORTED, name, after) for name in ("download", "upload", "claim") for after in (False, True)),
        *((RAW, name, after) for name in ("download", "upload") for after in (False, True)),
        # After the claim the original lies there.
        (RAW, "claim", False),
    ],
)
def test_a_hidden_folder_is_removed(scenario: Scenario, folder: str, name: str, after: bool) -> None:
    """By somebody who tidies up, while nothing but copies lies there."""
    scenario.add("Unknown.png", 1)
    once = Meanwhile(name, lambda: scenario.site.remove(f"{folder}/{HIDDEN}"), after=after)
    with scenario.scaler() as scaler, faulty(scenario.proxy, once):
        scenario.poll(scaler)
    assert once.done
    scenario.recover()
    complaints = scenario.complaints()
    tally.add("hidden folder removed while an image is upscaled", lost=len(complaints))
    assert not complaints
    assert not scenario.visible(RAW)
