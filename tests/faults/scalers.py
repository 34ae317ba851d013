"""Scalers for a stage, started as processes."""

from collections.abc import Mapping
from pathlib import Path

from sandbox.vault import Vault
from tests.faults.household import Household
from tests.faults.preloaded import Child, Nursery
from tests.faults.stage import Stage
from tests.scaler.cli import CONSTANTS, webdav_secret
from tests.scaler.harness import UNSORTED


class Scalers:
    """Starts scalers for a stage."""

    def __init__(self, nursery: Nursery, vault: Vault, stage: Stage, folder: Path, *, unsorted: str = UNSORTED) -> None:
        self._nursery = nursery
        secrets: Mapping[str, Mapping[str, object]] = {
            "webdav": webdav_secret(stage.through_proxy),
            "scaler_constants": CONSTANTS | {"UNSORTED_REMOTE_DIR": unsorted},
        }
        folder.mkdir(exist_ok=True)
        self.household = Household(vault, folder, secrets)

    def start(self, *arguments: str) -> Child:
        """Start a scaler."""
        arguments = ("--log-level", "DEBUG", *arguments)
        return self._nursery.start("scaler", arguments, self.household.environment, self.household.log)

    def finish(self) -> None:
        """Let one scaler do everything that is left."""
        assert self.start("--once").wait() == 0, self.household.said[-3000:]
        assert list(self.household.temporary.iterdir()) == []
