"""The promises of the scaler, kept through whatever happens in whatever order."""

import email.utils
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cheroot.server
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sandbox.nextcloud import Nextcloud
from tests.faults.state_in_place import InPlaceScalers
from tests.faults.state_scalers import Scalers, keep_apart
from tests.servers.site import DiskSite, fresh_site

# The same examples each time. A failing one is printed as it is: to shrink it takes minutes.
SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "100")),
    stateful_step_count=80,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class IgnoresConditions(Scalers):
    """On a server that does not look at If-Match."""

    conditional = False


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_apart(tmp_path, monkeypatch)


def test_on_a_server_that_honours_conditions() -> None:
    run_state_machine_as_test(Scalers, settings=SETTINGS)


def test_on_a_server_that_ignores_conditions() -> None:
    run_state_machine_as_test(IgnoresConditions, settings=SETTINGS)


class OnNextcloud(Scalers):
    """On the sandbox's Nextcloud, by way of the true client."""

    server: Nextcloud

    def make_site(self) -> DiskSite:
        url, folder = self.server.files_url, self.server.folder
        files = DiskSite("nextcloud", url, folder, self.server.user, self.server.password)
        return fresh_site("nextcloud", files, hashes=True)


@pytest.fixture
def nextcloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nextcloud]:
    """A Nextcloud in the time of the machine that runs."""

    def date(*, usegmt: bool) -> str:
        return email.utils.formatdate(Scalers.now(), usegmt=usegmt)

    # The web server beneath dates its answers by itself.
    monkeypatch.setattr(cheroot.server, "email", SimpleNamespace(utils=SimpleNamespace(formatdate=date)))
    with Nextcloud(clock=lambda: Scalers.now()) as server:  # noqa: PLW0108 - every example has a clock of its own
        for machine in (OnNextcloud, InPlaceScalers):
            monkeypatch.setattr(machine, "server", server, raising=False)
        yield server


@pytest.mark.usefixtures("nextcloud")
@pytest.mark.parametrize("machine", [OnNextcloud, InPlaceScalers], ids=["by claims", "in place"])
def test_on_nextcloud(machine: type[Scalers]) -> None:
    run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=SETTINGS.max_examples // 10))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("nextcloud")
def test_in_place_at_length() -> None:
    run_state_machine_as_test(InPlaceScalers, settings=settings(SETTINGS, derandomize=False, max_examples=300))
