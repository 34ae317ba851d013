"""One request goes wrong, in every way there is, at every step; the scaler goes on, and a fresh one finishes."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from loguru import logger

from shared.retry import PAUSE_AFTER_UNAUTHORIZED
from tests.faults.conftest import nextcloud_of
from tests.faults.injections import ALL, TYPICAL, Injection
from tests.faults.proxy import Answer, Exchange, Fault, Proxy, Request, Rule, faulty
from tests.faults.scenario import Scenario
from tests.faults.steps import LOOKS, step
from tests.faults.tally import tally
from tests.scaler.harness import HIDDEN, RAW, UNSORTED, claims, prepare
from tests.servers.fixtures import REAL_KINDS, site_on
from tests.servers.site import DiskSite

_numbers = itertools.count(1)
type MakeScenario = Callable[[], Scenario]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logger.remove()


def _scenarios(request: pytest.FixtureRequest, kind: str, state: Path) -> Iterator[MakeScenario]:
    first = site_on(request, kind)
    assert isinstance(first, DiskSite)
    with Proxy(first.url) as proxy:

        def make() -> Scenario:
            site = site_on(request, kind)
            assert isinstance(site, DiskSite)
            prepare(site)
            scenario = Scenario(site, proxy, state / f"{next(_numbers)}", nextcloud=nextcloud_of(request, kind))
            scenario.surround()
            return scenario

        yield make


@pytest.fixture(params=[REAL_KINDS[1], REAL_KINDS[2], REAL_KINDS[4]])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeScenario]:
    """Fresh sites on one server behind one proxy, of each kind that takes claims differently."""
    yield from _scenarios(request, request.param, tmp_path)


@pytest.fixture
def in_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeScenario]:
    """Fresh sites where files are replaced in place, on the sandbox's Nextcloud behind one proxy."""
    yield from _scenarios(request, "nextcloud", tmp_path)


@pytest.fixture
def on_nextcloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeScenario]:
    """Fresh sites on the sandbox's Nextcloud without versions behind one proxy."""
    yield from _scenarios(request, "nextcloud without versions", tmp_path)


def _name(number: int) -> str:
    return f"Unknown-{number:03}.png"


class OnePerImage:
    """Injects another fault into one step of every image: the n-th image gets the n-th fault, once.

    There is one thread, so a request that names no image is about the one that was named last; claims are deleted
    beside it.
    """

    def __init__(self, name: str, injections: list[Injection]) -> None:
        self._name = name
        self._left = dict(enumerate(injections))
        self._current = -1
        self.struck: set[int] = set()

    def __call__(self, request: Request) -> Fault | None:
        number = _number_in(request.path + request.destination, self._current)
        if step(request) != "delete claim":
            self._current = number
        if step(request) != self._name or number not in self._left:
            return None
        self.struck.add(number)
        return self._left.pop(number)


def _number_in(path: str, otherwise: int) -> int:
    found = re.search(r"Unknown-(\d{3})", path)
    return int(found[1]) if found else otherwise


def _check(scenario: Scenario, injections: list[Injection], struck: set[int]) -> None:
    """Nothing was lost or duplicated; says which fault did it."""
    scenario.recover()
    complaints = scenario.complaints()
    for number in struck:
        lost = any(f"{_name(number)} " in complaint for complaint in complaints)
        tally.add(str(injections[number]), lost=lost)
    named = [f"{injections[int(c[8:11])]}: {c}" if c.startswith("Unknown-") else c for c in complaints]
    assert not named


def _fitting(injections: list[Injection], method: str) -> list[Injection]:
    example = Request(0, method, "/", {})
    return [injection for injection in injections if injection.fits(example)]


IMAGE_STEPS = {
    "download": "GET",
    "upload": "PUT",
    "look at uploads": "PROPFIND",
    "claim": "MOVE",
    "look at claims": "PROPFIND",
    "publish": "MOVE",
    "delete claim": "DELETE",
}


@pytest.mark.parametrize("name", IMAGE_STEPS)
def test_a_step_of_an_image_goes_wrong(anywhere: MakeScenario, name: str) -> None:
    scenario = anywhere()
    injections = _fitting(ALL if scenario.site.kind.startswith("nextcloud") else TYPICAL, IMAGE_STEPS[name])
    rule = OnePerImage(name, injections)
    _go_wrong(scenario, injections, rule)
    assert bool(rule.struck) == (not name.startswith("look at") or name in LOOKS[scenario.site.kind])
    _check(scenario, injections, rule.struck)


IN_PLACE_STEPS = {
    "download": "GET",
    "make upload": "MKCOL",
    "upload chunk": "PUT",
    "assemble": "MOVE",
    "look at originals": "PROPFIND",
    "move on": "MOVE",
}


@pytest.mark.parametrize("name", IN_PLACE_STEPS)
def test_a_step_of_an_image_goes_wrong_in_place(in_place: MakeScenario, name: str) -> None:
    scenario = in_place()
    injections = _fitting(ALL, IN_PLACE_STEPS[name])
    rule = OnePerImage(name, injections)
    if name == "look at originals":
        # It follows a lost answer only: every assembly takes effect, and says something else.
        _go_wrong(scenario, injections, lambda request: _lost if step(request) == "assemble" else rule(request))
    else:
        _go_wrong(scenario, injections, rule)
    assert rule.struck == set(range(len(injections)))
    _check(scenario, injections, rule.struck)


def _lost(exchange: Exchange) -> None:
    exchange.forward()
    exchange.answer(Answer(423))


def _go_wrong(scenario: Scenario, injections: list[Injection], rule: Rule) -> None:
    """Polls of one scaler over as many images as there are faults."""
    for number in range(len(injections)):
        scenario.add(_name(number), number)
    with scenario.scaler(short_timeout=True) as scaler:
        for _ in range(len(injections)):
            with faulty(scenario.proxy, rule):
                scenario.poll(scaler)
            # Past the silence that follows a rejected password.
            scenario.time.now += PAUSE_AFTER_UNAUTHORIZED
            if not scenario.visible(RAW):
                break


def test_an_upload_that_never_arrives_whole_is_removed_at_once(on_nextcloud: MakeScenario) -> None:
    scenario = on_nextcloud()
    scenario.add(_name(1), 1)
    (wrong,) = (injection for injection in ALL if injection.name == "wrong hash")
    with (
        scenario.scaler() as scaler,
        faulty(scenario.proxy, lambda request: wrong if step(request) == "upload" else None),
    ):
        scenario.poll(scaler)
    assert not scenario.visible(f"{UNSORTED}/{HIDDEN}")
    assert list(scenario.visible(RAW)) == [_name(1)]


def test_a_claim_that_cannot_be_deleted_is_named_and_deleted_later(on_nextcloud: MakeScenario) -> None:
    scenario = on_nextcloud()
    scenario.add(_name(1), 1)
    (forbidden,) = (injection for injection in ALL if str(injection) == "403, instead")
    with scenario.scaler() as scaler, faulty(scenario.proxy, LogOnce("delete claim", forbidden)):
        (failure,) = scenario.poll(scaler)
        assert "DELETE" in str(failure)
        assert len(scenario.visible(UNSORTED)) == 1
        assert not scenario.poll(scaler)
    assert not scenario.complaints()


class LogOnce:
    """Injects a fault into the first request of a step, and tells whether there was one."""

    def __init__(self, name: str, fault: Fault) -> None:
        self._name = name
        self._fault = fault
        self.struck = False

    def __call__(self, request: Request) -> Fault | None:
        if self.struck or step(request) != self._name:
            return None
        self.struck = True
        return self._fault


POLL_STEPS = {"list claims": "PROPFIND", "list uploads": "PROPFIND", "list originals": "PROPFIND", "probe": "MOVE"}


@pytest.mark.parametrize("name", POLL_STEPS)
def test_a_step_of_a_poll_goes_wrong(on_nextcloud: MakeScenario, name: str) -> None:
    scenario = on_nextcloud()
    injections = _fitting(ALL if name == "list originals" else TYPICAL, POLL_STEPS[name])
    # So that the hidden folders are there.
    scenario.add(_name(len(injections)), len(injections))
    scenario.recover()
    for number, injection in enumerate(injections):
        scenario.add(_name(number), number)
        once = LogOnce(name, injection)
        with scenario.scaler(short_timeout=True) as scaler, faulty(scenario.proxy, once):
            scenario.poll(scaler)
        assert once.struck
    _check(scenario, injections, set(range(len(injections))))


IN_PLACE_POLL_STEPS = {
    **dict.fromkeys(("principal", "list originals", "look at throwaway", "look at unsorted folder"), "PROPFIND"),
    "capabilities": "GET",
    "make throwaway": "PUT",
    "make upload": "MKCOL",
    "assemble throwaway": "MOVE",
    "delete throwaway": "DELETE",
}


@pytest.mark.parametrize("name", IN_PLACE_POLL_STEPS)
def test_a_step_of_a_poll_goes_wrong_in_place(in_place: MakeScenario, name: str) -> None:
    """Whatever is concluded from a wrong answer, and even if copies are published by claims then."""
    scenario = in_place()
    injections = _fitting(TYPICAL, IN_PLACE_POLL_STEPS[name])
    for number, injection in enumerate(injections):
        scenario.add(_name(number), number)
        once = LogOnce(name, injection)
        with scenario.scaler(short_timeout=True) as scaler, faulty(scenario.proxy, once):
            scenario.poll(scaler)
        assert once.struck
    # By claims there is no version.
    scenario.nextcloud = None
    _check(scenario, injections, set(range(len(injections))))


UNSURE = [injection for injection in TYPICAL if injection.name in ("503", "423", "reset")]


@pytest.mark.parametrize("injection", UNSURE, ids=str)
@pytest.mark.parametrize("name", IN_PLACE_POLL_STEPS)
def test_a_server_that_is_away_for_a_moment_still_replaces_in_place(
    in_place: MakeScenario, name: str, injection: Injection
) -> None:
    """What cannot be found out now is found out in the next poll: until then nothing is done."""
    scenario = in_place()
    scenario.add(_name(1), 1)
    with scenario.scaler(short_timeout=True) as scaler:
        with faulty(scenario.proxy, LogOnce(name, injection)):
            scenario.poll(scaler)
        scenario.poll(scaler)
    scenario.recover()
    assert not scenario.complaints()


def _busy(exchange: Exchange) -> None:
    exchange.answer(Answer(503))


def _always(name: str) -> Rule:
    """Requests of this step never get through."""
    return lambda request: _busy if step(request) == name else None


# What a scaler that was killed leaves: a claim with its upload, and a claim whose upload was published.
LEFT_BY = {"claimed": "publish", "published": "delete claim"}


def _leave(scenario: Scenario, numbers: Iterable[int], left: str) -> None:
    """Images that a scaler did not finish."""
    for number in numbers:
        scenario.add(_name(number), number)
    with scenario.scaler(attempts=1) as scaler, faulty(scenario.proxy, _always(LEFT_BY[left])):
        while scenario.visible(RAW):
            scenario.poll(scaler)


@pytest.mark.parametrize(
    ("name", "left"), [("publish", "claimed"), ("delete claim", "claimed"), ("delete claim", "published")]
)
def test_finishing_a_claim_goes_wrong(on_nextcloud: MakeScenario, name: str, left: str) -> None:
    scenario = on_nextcloud()
    injections = _fitting(TYPICAL, "DELETE" if name == "delete claim" else "MOVE")
    _leave(scenario, range(len(injections)), left)
    rule = OnePerImage(name, injections)
    while len(rule.struck) < len(injections):
        before = len(rule.struck)
        with scenario.scaler(short_timeout=True) as scaler, faulty(scenario.proxy, rule):
            scenario.poll(scaler)
        assert len(rule.struck) > before
    _check(scenario, injections, rule.struck)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("list claims", "claimed"),
        ("list uploads", "claimed"),
        ("list uploads", "published"),
        ("look at uploads", "published"),
    ],
)
def test_finding_a_claim_goes_wrong(on_nextcloud: MakeScenario, name: str, left: str) -> None:
    scenario = on_nextcloud()
    injections = _fitting(TYPICAL, "PROPFIND")
    struck = set()
    for number, injection in enumerate(injections):
        if not claims(scenario.site):
            _leave(scenario, [number], left)
        once = LogOnce(name, injection)
        with scenario.scaler(short_timeout=True) as scaler, faulty(scenario.proxy, once):
            scenario.poll(scaler)
        if once.struck:
            struck.add(number)
    if not struck:
        pytest.skip(f"no {name} where it was {left}")
    _check(scenario, injections, struck)


@pytest.mark.parametrize("name", ["make folder", "write destination record"])
def test_making_the_hidden_folders_goes_wrong(on_nextcloud: MakeScenario, name: str) -> None:
    scenario = on_nextcloud()
    injections = _fitting(TYPICAL, "MKCOL" if name == "make folder" else "PUT")
    for number, injection in enumerate(injections):
        # Only where there is something to do is it found out that copies are to be published by claims.
        scenario.add(_name(number), number)
        once = LogOnce(name, injection)
        with scenario.scaler(short_timeout=True) as scaler, faulty(scenario.proxy, once):
            scenario.poll(scaler)
        assert once.struck
        scenario.recover()
        scenario.site.remove(f"{RAW}/{HIDDEN}")
        scenario.site.remove(f"{UNSORTED}/{HIDDEN}")
    _check(scenario, injections, set(range(len(injections))))


@pytest.mark.parametrize("lie", [404, 403, 401, 302])
@pytest.mark.parametrize("answer", [302, 403, 404, 412, 503, 507])
def test_a_claim_and_the_look_after_it_are_both_answered_wrongly(
    on_nextcloud: MakeScenario, answer: int, lie: int
) -> None:
    scenario = on_nextcloud()
    # So that the hidden folders are made.
    scenario.recover()
    scenario.add(_name(1), 1)
    wrong = {"claim": answer, "look at claims": lie}

    def rule(request: Request) -> Fault | None:
        status = wrong.pop(step(request), None)
        return None if status is None else _after(Answer(status, [("Location", "https://login.example.com/")]))

    with scenario.scaler(attempts=1) as scaler:
        with faulty(scenario.proxy, rule):
            scenario.poll(scaler)
        assert not wrong
        scenario.poll(scaler)
    scenario.recover()
    complaints = scenario.complaints()
    tally.add("wrong answers to the claim and to the check after it", lost=len(complaints))
    assert not complaints


def _after(answer: Answer) -> Fault:
    def act(exchange: Exchange) -> None:
        exchange.forward()
        exchange.answer(answer)

    return act
