"""Two scalers at once, originals replaced meanwhile, and settings that change between kill and restart."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.vault import Vault
from scaler.config import ScalerConfig
from scaler.selection import SETTLED_AFTER
from tests.faults.conftest import KINDS, scenario_on, steps_of_each_kind
from tests.faults.preloaded import Nursery
from tests.faults.proxy import Answer, Exchange, Fault, Request, faulty
from tests.faults.scalers import Scalers
from tests.faults.scenario import Scenario
from tests.faults.steps import step
from tests.faults.tally import tally
from tests.scaler.harness import HIDDEN, RAW, UNSORTED, config

IMAGES = 100
ELSEWHERE = "data/elsewhere"
IN_PLACE = ("download", "make upload", "upload chunk", "assemble", "move on")
BY_CLAIMS = ("download", "upload", "probe", "claim", "look at claims", "publish", "delete claim")
DECISIVE = ("download", "claim", "publish")


@pytest.fixture(params=KINDS[1:])
def by_claims(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """A site where copies are published by claims."""
    yield from scenario_on(request, request.param, tmp_path)


@pytest.fixture
def in_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """A site where files are replaced in place."""
    yield from scenario_on(request, "nextcloud", tmp_path)


@pytest.mark.parametrize(
    "unsorted",
    [[UNSORTED] * 2, [UNSORTED, ELSEWHERE], [UNSORTED] * 4],
    ids=["two", "different unsorted folders", "four"],
)
def test_several_scalers_on_the_same_images(
    scenario: Scenario, the_nursery: Nursery, the_vault: Vault, tmp_path: Path, unsorted: Sequence[str]
) -> None:
    for number in range(IMAGES):
        scenario.add(f"Unknown-{number:03}.png", number)
    scenario.site.make_folder(ELSEWHERE)
    several = [
        Scalers(the_nursery, the_vault, scenario, tmp_path / f"{number}", unsorted=folder)
        for number, folder in enumerate(unsorted)
    ]
    children = [scalers.start("--once", "--threads", "5") for scalers in several]
    for child in children:
        # A lost race is no error.
        assert child.wait() == 0, "".join(scalers.daemon_env.said for scalers in several)
    for scalers in several:
        scalers.finish()
    complaints = scenario.complaints()
    tally.add(f"{'four' if len(several) > 2 else 'two'} scalers on the same 100 images", lost=len(complaints))
    assert not complaints
    assert not scenario.visible(RAW)


class BothReplace:
    """Lets two scalers replace one file with the same `If`: a Nextcloud looks at it before it locks the file."""

    def __init__(self, other: Callable[[], object]) -> None:
        self._other = other
        self._first: Exchange | None = None
        self.answer: Answer | None = None

    def __call__(self, request: Request) -> Fault | None:
        if step(request) == "assemble" and self._first is None:
            return self._let_other_replace
        return self._replace_too if step(request) == "move on" and self.answer is None else None

    def _let_other_replace(self, exchange: Exchange) -> None:
        self._first = exchange
        self._other()
        assert self.answer
        exchange.answer(self.answer)

    def _replace_too(self, exchange: Exchange) -> None:
        assert self._first
        request = self._first.request
        unconditional = {name: value for name, value in request.headers.items() if name != "if"}
        self.answer = exchange.proxy.ask(replace(request, headers=unconditional), b"")
        exchange.answer(exchange.forward())


def test_two_scalers_replace_one_image_at_the_same_moment(in_place: Scenario) -> None:
    in_place.add("Unknown.png", 1)
    second = replace(in_place, state=in_place.state / "second")
    with in_place.scaler() as one, second.scaler() as other:
        rule = BothReplace(lambda: second.poll(other))
        with faulty(in_place.proxy, rule):
            assert in_place.poll(one) == []
    assert rule.answer
    assert rule.answer.status == 204
    complaints = in_place.complaints()
    tally.add("two scalers replace one image at the same moment", lost=len(complaints))
    assert not complaints
    assert not in_place.visible(RAW)


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
@pytest.mark.parametrize(("scenario", "name"), steps_of_each_kind(IN_PLACE, BY_CLAIMS), indirect=["scenario"])
def test_an_original_is_replaced(scenario: Scenario, name: str, after: bool) -> None:
    scenario.add_or_replace("Unknown.png", 1)
    rule = Meanwhile(name, lambda: scenario.add_or_replace("Unknown.png", 2), after=after)
    _disturbed(scenario, rule, "replaced")
    assert not scenario.visible(RAW)
    if not rule.done:
        assert name == "look at claims"
        assert scenario.site.conditional


def _disturbed(scenario: Scenario, rule: Meanwhile, what: str) -> None:
    """A poll is disturbed, and a fresh scaler finishes."""
    with scenario.scaler() as scaler, faulty(scenario.proxy, rule):
        scenario.poll(scaler)
        scenario.time.now += SETTLED_AFTER
        scenario.poll(scaler)
    scenario.recover()
    complaints = scenario.complaints()
    if rule.done:
        tally.add(f"original {what} while it is upscaled", lost=len(complaints))
    assert not complaints


def _now_in_raw(scenario: Scenario) -> str | None:
    """The path of the image, if it has not been moved on."""
    return next((f"{RAW}/{name}" for name in scenario.visible(RAW)), None)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("target", [f"{RAW}/Unknown other.png", f"{RAW}/mine.png"], ids=["ours", "a person's"])
@pytest.mark.parametrize(("scenario", "name"), steps_of_each_kind(IN_PLACE, DECISIVE), indirect=["scenario"])
def test_an_original_is_renamed(scenario: Scenario, name: str, target: str, after: bool) -> None:
    """Under a name that is not upscaled it stays as it is; what is upscaled already is moved on under any."""
    scenario.add("Unknown.png", 1)

    def rename() -> None:
        there = _now_in_raw(scenario)
        if there:
            scenario.rename(there, target)

    rule = Meanwhile(name, rename, after=after)
    _disturbed(scenario, rule, "renamed")
    assert rule.done
    assert set(scenario.visible(RAW)) <= {"mine.png"} & {target.rpartition("/")[2]}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("scenario", "name"), steps_of_each_kind(IN_PLACE, DECISIVE), indirect=["scenario"])
def test_an_original_is_deleted(scenario: Scenario, name: str, after: bool) -> None:
    """It does not come back, and comes once where it was moved on before."""
    scenario.add_or_replace("Unknown.png", 1)

    def delete() -> None:
        there = _now_in_raw(scenario)
        if there:
            scenario.give_up("Unknown.png")
            scenario.delete(there)

    rule = Meanwhile(name, delete, after=after)
    _disturbed(scenario, rule, "deleted")
    assert rule.done
    assert not scenario.visible(RAW)
    if scenario.given_up:
        assert not scenario.visible(UNSORTED)


@pytest.mark.parametrize(("name", "after"), [*itertools.product(IN_PLACE, [False, True])][:-1])
def test_an_old_version_is_restored(in_place: Scenario, name: str, after: bool) -> None:
    """A person who restores one wants that one: in the raw folder it is upscaled, after that it stays."""
    in_place.add("Unknown.png", 1)
    in_place.overwrite("Unknown.png", 2)

    rule = Meanwhile(name, lambda: in_place.restore("Unknown.png", 1), after=after)
    _disturbed(in_place, rule, "restored")
    assert rule.done
    assert not in_place.visible(RAW)


@pytest.mark.parametrize(("name", "after"), [("assemble", True), ("move on", False)])
def test_what_was_replaced_is_undone(in_place: Scenario, name: str, after: bool) -> None:
    """The version that the scaler itself has made is restored at once, and is an original again."""
    in_place.add("Unknown.png", 1)

    rule = Meanwhile(name, lambda: in_place.restore("Unknown.png", 1), after=after)
    _disturbed(in_place, rule, "restored")
    assert rule.done
    assert not in_place.visible(RAW)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("scenario", "name"), steps_of_each_kind(IN_PLACE, DECISIVE), indirect=["scenario"])
def test_an_upscaled_image_is_put_back(scenario: Scenario, name: str, after: bool) -> None:
    """While the next image is in flight: in the raw folder it is an original again, and is upscaled once more."""
    scenario.add("Unknown 1.png", 1)
    scenario.recover()
    scenario.add("Unknown 2.png", 2)
    scenario.again = {1}

    def move_back() -> None:
        (published,) = (there for there in scenario.visible(UNSORTED) if there.startswith("Unknown 1_"))
        scenario.rename(f"{UNSORTED}/{published}", f"{RAW}/{published}")

    rule = Meanwhile(name, move_back, after=after)
    _disturbed(scenario, rule, "put back after publication")
    assert rule.done
    assert not scenario.visible(RAW)


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
def test_the_unsorted_folder_is_changed_between_kill_and_restart(by_claims: Scenario, left: str) -> None:
    for number in range(5):
        by_claims.add(f"Unknown {number}.png", number)
    by_claims.site.make_folder(ELSEWHERE)
    _stopped_at(by_claims, LEFT[left])
    by_claims.recover(_elsewhere(by_claims))
    complaints = by_claims.complaints()
    tally.add("unsorted folder changed between kill and restart", lost=len(complaints))
    assert not complaints
    assert not by_claims.visible(RAW)


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
def test_a_hidden_folder_is_removed(by_claims: Scenario, folder: str, name: str, after: bool) -> None:
    """By somebody who tidies up, while nothing but copies lies there."""
    by_claims.add("Unknown.png", 1)
    once = Meanwhile(name, lambda: by_claims.site.remove(f"{folder}/{HIDDEN}"), after=after)
    with by_claims.scaler() as scaler, faulty(by_claims.proxy, once):
        by_claims.poll(scaler)
    assert once.done
    by_claims.recover()
    complaints = by_claims.complaints()
    tally.add("hidden folder removed while an image is upscaled", lost=len(complaints))
    assert not complaints
    assert not by_claims.visible(RAW)
