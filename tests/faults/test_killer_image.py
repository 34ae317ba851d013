"""An image that gets the scaler's process killed is not tried for ever, and others are not blamed for it."""

import time
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np

from sandbox.vault import Vault
from scaler.flight_notes import _read
from scaler.memory_budget import limits
from scaler.skip_list import DEATHS
from tests.faults.daemon_env import DaemonEnv
from tests.faults.preloaded import Child, Nursery
from tests.scaler.cli import CONSTANTS, webdav_secret
from tests.scaler.harness import RAW, UNSORTED, image, inside, prepare
from tests.servers.site import DiskSite

CULPRIT, INNOCENT, SMALL = "Unknown a.png", "Unknown b.png", "Unknown c.png"
SECONDS = 60.0


def slow_image(seed: int) -> bytes:
    """An image that takes seconds to compute, so that it can be seen in flight."""
    noise = np.random.default_rng(seed).integers(0, 255, (2000, 2000, 3), dtype=np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


class Scaler:
    """Starts scalers of one home, and kills them."""

    def __init__(self, nursery: Nursery, env: DaemonEnv, state: Path) -> None:
        self._nursery = nursery
        self._env = env
        self._state = state
        self._left: set[Path] = set()

    def start(self, *arguments: str) -> Child:
        return self._nursery.start("scaler", arguments, self._env.environment, self._env.log)

    def kill_while_computing(self, *names: str) -> None:
        """Start one, and kill it as soon as it computes these images; it never computes more at once."""
        self._left = self._notes()
        daemon = self.start()
        deadline = time.monotonic() + SECONDS
        while (seen := self._in_flight()) != set(names):
            assert len(seen) <= len(names), seen
            assert time.monotonic() < deadline, f"{names} are not in flight: {self._env.said[-2000:]}"
            time.sleep(0.005)
        daemon.kill()
        assert daemon.wait() < 0

    def _notes(self) -> set[Path]:
        return set(self._state.glob("in-flight-*"))

    def _in_flight(self) -> set[str]:
        hrefs = {href for file in self._notes() - self._left for href in _read(file.read_bytes())}
        return {unquote(href).rpartition("/")[2] for href in hrefs}


def test_it_is_skipped_after_three_deaths_and_the_others_are_upscaled(
    nextcloud_site: DiskSite, the_vault: Vault, the_nursery: Nursery, tmp_path: Path
) -> None:
    prepare(nextcloud_site)
    for number, name in enumerate((CULPRIT, INNOCENT)):
        nextcloud_site.write(f"{RAW}/{name}", slow_image(number))
    env = DaemonEnv(the_vault, tmp_path, {"webdav": webdav_secret(nextcloud_site), "scaler_constants": CONSTANTS})
    scaler = Scaler(the_nursery, env, tmp_path / "state" / "jupyterhub-images" / "scaler")

    scaler.kill_while_computing(*(CULPRIT, INNOCENT)[: limits(None).cores])
    nextcloud_site.write(f"{RAW}/{SMALL}", image())
    for _ in range(1, DEATHS):
        # Alone from now on; whatever else there is to do is done before.
        scaler.kill_while_computing(CULPRIT)
        assert SMALL not in inside(nextcloud_site, RAW)

    assert scaler.start("--once").wait() == 0, env.said

    assert set(inside(nextcloud_site, RAW)) == {CULPRIT}
    assert len(inside(nextcloud_site, UNSORTED)) == 2
    reason = f"the scaler was killed {DEATHS} times while processing this image"
    assert f"1 image is skipped: 1 × {reason} ({CULPRIT})" in env.said
    # And so it stays.
    assert scaler.start("--once").wait() == 0
    assert scaler.start("--dry-run").wait() == 0
    assert f"would skip {RAW}/{CULPRIT}: {reason}" in env.said
    assert env.said.count("retrying these one at a time") == DEATHS
