"""One request goes wrong, in every way there is, at every step; the scaler goes on, and a fresh one finishes."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from loguru import logger

from shared import webdav
from tests.faults.proxy import Answer, Exchange, Fault, Proxy, Request, Rule, faulty
from tests.faults.spoilers import ALL, TYPICAL, Spoiler
from tests.faults.stage import Stage
from tests.faults.steps import step
from tests.faults.tally import tally
from tests.scaler.harness import HIDDEN, RAW, UNSORTED, claims, prepare
from tests.servers.fixtures import REAL_KINDS, site_on
from tests.servers.site import DiskSite

_numbers = itertools.count(1)
type MakeStage = Callable[[], Stage]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logger.remove()


def _stages(request: pytest.FixtureRequest, kind: str, state: Path) -> Iterator[MakeStage]:
    first = site_on(request, kind)
    assert isinstance(first, DiskSite)
    with Proxy(first.url) as proxy:

        def make() -> Stage:
            site = site_on(request, kind)
            assert isinstance(site, DiskSite)
            prepare(site)
            stage = Stage(site, proxy, state / f"{next(_numbers)}")
            stage.surround()
            return stage

        yield make


@pytest.fixture(params=[REAL_KINDS[0], REAL_KINDS[1], REAL_KINDS[3]])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStage]:
    """Fresh sites on one server behind one proxy: a Nextcloud, an Apache, and one that ignores If-Match."""
    yield from _stages(request, request.param, tmp_path)


@pytest.fixture
def on_nextcloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeStage]:
    """Fresh sites on the sandbox's Nextcloud behind one proxy."""
    yield from _stages(request, "nextcloud", tmp_path)


def _name(number: int) -> str:
    return f"Unknown-{number:03}.png"


class OnePerPicture:
    """Spoils one step of every picture in another way: the n-th picture gets the n-th spoiler, once.

    There is one hand, so a request that names no picture is about the one that was named last; claims are deleted
    beside it.
    """

    def __init__(self, name: str, spoilers: list[Spoiler]) -> None:
        self._name = name
        self._left = dict(enumerate(spoilers))
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


def _check(stage: Stage, spoilers: list[Spoiler], struck: set[int]) -> None:
    """Nothing was lost or doubled; says which spoiler did it."""
    stage.recover()
    complaints = stage.complaints()
    for number in struck:
        lost = any(f"{_name(number)} " in complaint for complaint in complaints)
        tally.add(str(spoilers[number]), lost=lost)
    named = [f"{spoilers[int(c[8:11])]}: {c}" if c.startswith("Unknown-") else c for c in complaints]
    assert not named


def _fitting(spoilers: list[Spoiler], method: str) -> list[Spoiler]:
    example = Request(0, method, "/", {})
    return [spoiler for spoiler in spoilers if spoiler.fits(example)]


PICTURE_STEPS = {
    "download": "GET",
    "upload": "PUT",
    "look at uploads": "PROPFIND",
    "claim": "MOVE",
    "look at claims": "PROPFIND",
    "publish": "MOVE",
    "delete claim": "DELETE",
}


@pytest.mark.parametrize("name", PICTURE_STEPS)
def test_a_step_of_a_picture_goes_wrong(anywhere: MakeStage, name: str) -> None:
    stage = anywhere()
    spoilers = _fitting(ALL if stage.site.kind == "nextcloud" else TYPICAL, PICTURE_STEPS[name])
    for number in range(len(spoilers)):
        stage.add(_name(number), number)
    rule = OnePerPicture(name, spoilers)
    with stage.scaler(impatient=True) as scaler:
        for _ in range(len(spoilers)):
            with faulty(stage.proxy, rule):
                stage.one_pass(scaler)
            webdav._refused.clear()
            if not stage.visible(RAW):
                break
    # A claim is looked at only where the server ignores conditions.
    assert bool(rule.struck) == (name != "look at claims" or stage.site.kind == "rclone")
    _check(stage, spoilers, rule.struck)


def test_an_upload_that_never_arrives_whole_is_removed_at_once(on_nextcloud: MakeStage) -> None:
    stage = on_nextcloud()
    stage.add(_name(1), 1)
    (wrong,) = (spoiler for spoiler in ALL if spoiler.name == "wrong hash")
    with (
        stage.scaler() as scaler,
        faulty(stage.proxy, lambda request: wrong if step(request) == "upload" else None),
    ):
        stage.one_pass(scaler)
    assert not stage.visible(f"{UNSORTED}/{HIDDEN}")
    assert list(stage.visible(RAW)) == [_name(1)]


def test_a_claim_that_cannot_be_deleted_is_named_and_deleted_later(on_nextcloud: MakeStage) -> None:
    stage = on_nextcloud()
    stage.add(_name(1), 1)
    (refusal,) = (spoiler for spoiler in ALL if str(spoiler) == "403, instead")
    with stage.scaler() as scaler, faulty(stage.proxy, Once("delete claim", refusal)):
        (failure,) = stage.one_pass(scaler)
        assert "DELETE" in str(failure)
        assert len(stage.visible(UNSORTED)) == 1
        assert not stage.one_pass(scaler)
    assert not stage.complaints()


class Once:
    """Spoils the first request of a step, and tells whether there was one."""

    def __init__(self, name: str, fault: Fault) -> None:
        self._name = name
        self._fault = fault
        self.struck = False

    def __call__(self, request: Request) -> Fault | None:
        if self.struck or step(request) != self._name:
            return None
        self.struck = True
        return self._fault


PASS_STEPS = {"list claims": "PROPFIND", "list uploads": "PROPFIND", "list originals": "PROPFIND", "probe": "MOVE"}


@pytest.mark.parametrize("name", PASS_STEPS)
def test_a_step_of_a_pass_goes_wrong(on_nextcloud: MakeStage, name: str) -> None:
    stage = on_nextcloud()
    spoilers = _fitting(ALL if name == "list originals" else TYPICAL, PASS_STEPS[name])
    stage.recover()
    for number, spoiler in enumerate(spoilers):
        stage.add(_name(number), number)
        once = Once(name, spoiler)
        with stage.scaler(impatient=True) as scaler, faulty(stage.proxy, once):
            stage.one_pass(scaler)
        assert once.struck
    _check(stage, spoilers, set(range(len(spoilers))))


def _busy(exchange: Exchange) -> None:
    exchange.answer(Answer(503))


def _always(name: str) -> Rule:
    """Requests of this step never get through."""
    return lambda request: _busy if step(request) == name else None


# What a scaler that was killed leaves: a claim with its upload, and a claim whose upload was published.
LEFT_BY = {"claimed": "publish", "published": "delete claim"}


def _leave(stage: Stage, numbers: Iterable[int], left: str) -> None:
    """Pictures that a scaler did not finish."""
    for number in numbers:
        stage.add(_name(number), number)
    with stage.scaler(attempts=1) as scaler, faulty(stage.proxy, _always(LEFT_BY[left])):
        while stage.visible(RAW):
            stage.one_pass(scaler)


@pytest.mark.parametrize(
    ("name", "left"), [("publish", "claimed"), ("delete claim", "claimed"), ("delete claim", "published")]
)
def test_finishing_a_claim_goes_wrong(on_nextcloud: MakeStage, name: str, left: str) -> None:
    stage = on_nextcloud()
    spoilers = _fitting(TYPICAL, "DELETE" if name == "delete claim" else "MOVE")
    _leave(stage, range(len(spoilers)), left)
    rule = OnePerPicture(name, spoilers)
    while len(rule.struck) < len(spoilers):
        before = len(rule.struck)
        with stage.scaler(impatient=True) as scaler, faulty(stage.proxy, rule):
            stage.one_pass(scaler)
        assert len(rule.struck) > before
    _check(stage, spoilers, rule.struck)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("list claims", "claimed"),
        ("list uploads", "claimed"),
        ("list uploads", "published"),
        ("look at uploads", "published"),
    ],
)
def test_finding_a_claim_goes_wrong(on_nextcloud: MakeStage, name: str, left: str) -> None:
    stage = on_nextcloud()
    spoilers = _fitting(TYPICAL, "PROPFIND")
    struck = set()
    for number, spoiler in enumerate(spoilers):
        if not claims(stage.site):
            _leave(stage, [number], left)
        once = Once(name, spoiler)
        with stage.scaler(impatient=True) as scaler, faulty(stage.proxy, once):
            stage.one_pass(scaler)
        if once.struck:
            struck.add(number)
    if not struck:
        pytest.skip(f"no {name} where it was {left}")
    _check(stage, spoilers, struck)


@pytest.mark.parametrize("name", ["make folder", "write signpost"])
def test_making_the_hidden_folders_goes_wrong(on_nextcloud: MakeStage, name: str) -> None:
    stage = on_nextcloud()
    spoilers = _fitting(TYPICAL, "MKCOL" if name == "make folder" else "PUT")
    for number, spoiler in enumerate(spoilers):
        once = Once(name, spoiler)
        with stage.scaler(impatient=True) as scaler, faulty(stage.proxy, once):
            stage.one_pass(scaler)
        assert once.struck
        stage.add(_name(number), number)
        stage.recover()
        stage.site.remove(f"{RAW}/{HIDDEN}")
        stage.site.remove(f"{UNSORTED}/{HIDDEN}")
    _check(stage, spoilers, set(range(len(spoilers))))


@pytest.mark.parametrize("lie", [404, 403, 401, 302])
@pytest.mark.parametrize("answer", [302, 403, 404, 412, 503, 507])
def test_a_claim_and_the_look_after_it_are_both_answered_wrongly(
    on_nextcloud: MakeStage, answer: int, lie: int
) -> None:
    stage = on_nextcloud()
    # So that the look at the signpost is over.
    stage.recover()
    stage.add(_name(1), 1)
    wrong = {"claim": answer, "look at claims": lie}

    def rule(request: Request) -> Fault | None:
        status = wrong.pop(step(request), None)
        return None if status is None else _after(Answer(status, [("Location", "https://login.example.com/")]))

    with stage.scaler(attempts=1) as scaler:
        with faulty(stage.proxy, rule):
            stage.one_pass(scaler)
        assert not wrong
        stage.one_pass(scaler)
    stage.recover()
    complaints = stage.complaints()
    tally.add("claim and the look after it answered wrongly", lost=len(complaints))
    assert not complaints


def _after(answer: Answer) -> Fault:
    def act(exchange: Exchange) -> None:
        exchange.forward()
        exchange.answer(answer)

    return act
