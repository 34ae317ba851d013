"""The mover as people start it: a command line, an environment, a status and what it says."""

import threading
from collections.abc import Callable, Mapping
from unittest import mock

from click.testing import CliRunner

import mover.main
import shared.app
from sandbox.nextcloud import Nextcloud
from shared.shutdown import StopToken
from tests.fake_time import FakeTime
from tests.mover.harness import IMAGES, PARENT, UNSORTED
from tests.scaler.cli import Home, Outcome

CONSTANTS = {"IMAGES_ROOT_DIR": IMAGES, "UNSORTED_REMOTE_DIR": UNSORTED, "PARENT_TAG_VALUE": PARENT}


class Script(FakeTime):
    """Time in which things happen: before each pause a step is taken; after the last the daemon is asked to stop.

    Attributes:
        at: for each step when it was taken, seconds.
    """

    def __init__(self, *steps: Callable[[], object]) -> None:
        super().__init__(0.0)
        self.at: list[float] = []
        self._steps = list(steps)
        self._stop: StopToken | None = None

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.at.append(self.now)
        if self._steps:
            self._steps.pop(0)()
        elif self._stop:
            self._stop.request()
        return super().wait(event, seconds)

    def stop(self) -> StopToken:
        self._stop = super().stop()
        return self._stop


def mover_says(home: Home, *arguments: str, time: FakeTime | None = None, **environment: str | None) -> Outcome:
    """Run the mover in this process; pauses take no time."""
    variables: Mapping[str, str | None] = home.environment | environment
    with mock.patch.object(shared.app, "StopToken", (time or FakeTime()).stop):
        result = CliRunner().invoke(mover.main.main, list(arguments), env=dict(variables), catch_exceptions=False)
    return Outcome(result.exit_code, result.output)


def point_to(home: Home, nextcloud: Nextcloud, url: str | None = None, **constants: str) -> None:
    """Write the settings for a server."""
    login = {"username": nextcloud.user, "password": nextcloud.password}
    home.write("webdav", {"host_url": nextcloud.url, "url": nextcloud.files_url if url is None else url} | login)
    home.write("mover_constants", CONSTANTS | constants)
