"""Scalers for a stage, started as processes."""

from collections.abc import Mapping
from pathlib import Path

from sandbox.vault import Vault
from tests.faults.daemon_env import DaemonEnv
from tests.faults.preloaded import Child, Nursery
from tests.faults.scenario import Scenario
from tests.scaler.cli import CONSTANTS, webdav_secret
from tests.scaler.harness import UNSORTED


class Scalers:
    """Starts scalers for a stage."""

    def __init__(
        self, nursery: Nursery, vault: Vault, scenario: Scenario, folder: Path, *, unsorted: str = UNSORTED
    ) -> None:
        self._nursery = nursery
        secrets: Mapping[str, Mapping[str, object]] = {
            "webdav": webdav_secret(scenario.through_proxy),
            "scaler_constants": CONSTANTS | {"UNSORTED_REMOTE_DIR": unsorted},
        }
        folder.mkdir(exist_ok=True)
        self.daemon_env = DaemonEnv(vault, folder, secrets)

    def start(self, *arguments: str) -> Child:
        """Start a scaler."""
        arguments = ("--log-level", "DEBUG", *arguments)
        return self._nursery.start("scaler", arguments, self.daemon_env.environment, self.daemon_env.log)

    def finish(self) -> None:
        """Let one scaler do everything that is left."""
        assert self.start("--once").wait() == 0, self.daemon_env.said[-3000:]
        assert list(self.daemon_env.temporary.iterdir()) == []
