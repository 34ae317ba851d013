"""The scaler as people start it: a command line, an environment, a status and what it says."""

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner

import scaler.main
import shared.app
from sandbox.vault import Vault
from tests.fake_time import FakeTime
from tests.scaler.harness import RAW, UNSORTED
from tests.servers.site import DiskSite

MANY = 100
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        said: on standard error and output.
    """

    status: int
    said: str

    @property
    def errors(self) -> list[str]:
        """The lines that tell of something wrong, each from its text on."""
        return [line for line in self.said.splitlines() if any(f" {level} " in line for level in ("ERROR", "CRITICAL"))]


class _Patient(FakeTime):
    """Stops a daemon that went on for long where it should have ended."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if len(self.waited) > MANY:
            event.set()
        return super().wait(event, seconds)


def scaler_says(environment: Mapping[str, str | None], *arguments: str) -> Outcome:
    """Run the scaler in this process; pauses take no time."""
    with mock.patch.object(shared.app, "StopToken", _Patient().stop):
        result = CliRunner().invoke(scaler.main.main, list(arguments), env=dict(environment), catch_exceptions=False)
    return Outcome(result.exit_code, result.output)


def webdav_secret(site: DiskSite) -> dict[str, str]:
    return {"url": site.url, "username": site.username, "password": site.password}


CONSTANTS = {"RAW_NAMES_PREFIXES": ["Unknown"], "RAW_REMOTE_DIR": RAW, "UNSORTED_REMOTE_DIR": UNSORTED}


class Home:
    """A home folder and a place in Vault of one's own."""

    def __init__(self, vault: Vault, folder: Path) -> None:
        self.vault = vault
        self.prefix = f"home-{next(_numbers)}"
        self.environment: dict[str, str | None] = {
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "VAULT_ADDR": vault.address,
            "VAULT_TOKEN": vault.token,
            "VAULT_KV_PREFIX": self.prefix,
            **dict.fromkeys(("VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_NAMESPACE", "VAULT_KV_MOUNT", "WEBDAV_CACERT")),
        }

    def write(self, name: str, values: Mapping[str, Any], mount: str = "secret") -> None:
        """Write a secret."""
        self.vault.write(f"{self.prefix}/{name}", dict(values), mount)

    def point_to(self, site: DiskSite, **constants: Any) -> None:
        """Write the settings for a site."""
        self.write("webdav", webdav_secret(site))
        self.write("scaler_constants", CONSTANTS | constants)

    def scaler(self, *arguments: str, **environment: str | None) -> Outcome:
        """Run the scaler with these settings."""
        return scaler_says(self.environment | environment, *arguments)
