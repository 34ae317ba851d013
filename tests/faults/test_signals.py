"""The installed `scaler` command is asked to stop, in every way and at every step."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM

import pytest

from sandbox.vault import Vault
from tests.faults.conftest import scenario_on
from tests.faults.daemon_env import DaemonEnv, Running, until
from tests.faults.proxy import Exchange, Fault, Hold, Request, faulty
from tests.faults.scenario import Scenario
from tests.faults.steps import step
from tests.faults.tally import tally
from tests.scaler.cli import CONSTANTS, webdav_secret
from tests.scaler.harness import RAW, UNSORTED, claims, uploads

# Long enough for whatever would end at once, short enough for a test.
A_MOMENT = 0.4


@pytest.fixture
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """With one image; on a Nextcloud that replaces it in place, if the test names no other kind."""
    for scenario in scenario_on(request, getattr(request, "param", "nextcloud"), tmp_path):
        scenario.add("Unknown.png", 1)
        yield scenario


@pytest.fixture
def daemon_env(the_vault: Vault, scenario: Scenario, tmp_path: Path) -> DaemonEnv:
    """What a scaler needs."""
    return DaemonEnv(
        the_vault, tmp_path, {"webdav": webdav_secret(scenario.through_proxy), "scaler_constants": CONSTANTS}
    )


class HoldStep:
    """Holds the first request of a step."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.hold = Hold(after=False)

    def __call__(self, request: Request) -> Fault | None:
        return self.hold if self.hold.request is None and step(request) == self._name else None


def _assert_tidy(scenario: Scenario, daemon_env: DaemonEnv) -> None:
    """The image lies whole where it was or where it is to be, and nothing else is left."""
    assert scenario.complaints() == []
    assert uploads(scenario.site) == {}
    assert claims(scenario.site) == {}
    assert list(daemon_env.temporary.iterdir()) == []
    assert "Traceback" not in daemon_env.said


def _published(scenario: Scenario) -> list[Path]:
    """The copies that can be seen."""
    return list((scenario.site.folder / UNSORTED).glob("Unknown*_*.png"))


IN_PLACE = [(SIGTERM, "assemble throwaway"), (SIGTERM, "download"), (SIGINT, "upload chunk"), (SIGHUP, "assemble")]
BY_CLAIMS = [(SIGTERM, "download"), (SIGINT, "upload"), (SIGHUP, "claim"), (SIGTERM, "publish")]


@pytest.mark.parametrize(
    ("scenario", "number", "name"),
    [
        *(("nextcloud", *case) for case in [*IN_PLACE, (SIGTERM, "move on")]),
        *(("nextcloud without versions", *case) for case in [*BY_CLAIMS, (SIGINT, "delete claim")]),
    ],
    indirect=["scenario"],
)
def test_work_in_flight_is_finished_or_given_up(
    scenario: Scenario, daemon_env: DaemonEnv, number: signal.Signals, name: str
) -> None:
    rule = HoldStep(name)
    with faulty(scenario.proxy, rule), daemon_env.running("scaler") as scaler:
        assert rule.hold.wait()
        scaler.signal(number)
        assert scaler.runs_for(A_MOMENT)
        rule.hold.let_go()
        assert scaler.ends_within() == 0
    _assert_tidy(scenario, daemon_env)
    tally.add("asked to stop in mid-transfer")


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP])
def test_idle_it_ends_at_once_even_if_the_signal_comes_twice(
    scenario: Scenario, daemon_env: DaemonEnv, number: signal.Signals
) -> None:
    with daemon_env.running("scaler") as scaler:
        until(lambda: _published(scenario))
        until(lambda: not claims(scenario.site))
        scaler.signal(number)
        while scaler.runs_for(0.03):
            scaler.signal(number)
        assert scaler.ends_within() == 0
    _assert_tidy(scenario, daemon_env)
    tally.add("asked to stop while idle")


def _silence(exchange: Exchange) -> None:
    exchange.wire.silence()


@pytest.mark.slow
def test_a_silent_server_does_not_keep_it(scenario: Scenario, daemon_env: DaemonEnv) -> None:
    hold = HoldStep("upload chunk")
    with faulty(scenario.proxy, hold), daemon_env.running("scaler") as scaler:
        assert hold.hold.wait()
        scenario.proxy.rule = lambda _request: _silence
        scaler.signal(SIGTERM)
        assert scaler.ends_within() == 0
        hold.hold.drop()
    assert set(scenario.visible(RAW)) == {"Unknown.png"}
    _assert_tidy(scenario, daemon_env)
    tally.add("asked to stop while the server is silent")


def test_a_second_interrupt_a_second_later_ends_it_at_once(scenario: Scenario, daemon_env: DaemonEnv) -> None:
    rule = HoldStep("upload chunk")
    with faulty(scenario.proxy, rule), daemon_env.running("scaler") as scaler:
        assert rule.hold.wait()
        scaler.signal(SIGINT)
        assert scaler.runs_for(1.1)
        scaler.signal(SIGINT)
        assert scaler.ends_within(2) == 0
        rule.hold.drop()
    assert set(scenario.visible(RAW)) == {"Unknown.png"}
    _assert_tidy(scenario, daemon_env)


def test_one_interrupt_that_arrives_twice_does_not(scenario: Scenario, daemon_env: DaemonEnv) -> None:
    rule = HoldStep("move on")
    with faulty(scenario.proxy, rule), daemon_env.running("scaler") as scaler:
        assert rule.hold.wait()
        scaler.signal(SIGINT)
        time.sleep(0.1)
        scaler.signal(SIGINT)
        assert scaler.runs_for(A_MOMENT)
        rule.hold.let_go()
        assert scaler.ends_within() == 0
    assert len(_published(scenario)) == 1
    _assert_tidy(scenario, daemon_env)


def test_under_nohup_a_hangup_changes_nothing(scenario: Scenario, daemon_env: DaemonEnv) -> None:
    with daemon_env.running("scaler", "--frequency", "0.2", nohup=True) as scaler:
        until(lambda: _published(scenario))
        scaler.signal(SIGHUP)
        assert scaler.runs_for(A_MOMENT)
        scenario.add("Unknown 2.png", 2)
        until(lambda: len(_published(scenario)) == 2)
        _end(scaler)
    _assert_tidy(scenario, daemon_env)


def _end(scaler: Running) -> None:
    scaler.signal(SIGTERM)
    assert scaler.ends_within() == 0
