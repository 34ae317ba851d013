"""Bounds on what large amounts may cost, wide enough to hold on a busy machine."""

import subprocess
import sys

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from tests.bench import growth, mover
from tests.bench.servers import scenario

MIB = 2**20
HEAVY = {"pydantic", "hvac", "requests", "loguru", "lxml", "cv2", "numpy", "nc_py_api", "tenacity"}
# Without tornado: tenacity imports it wherever it is installed.
DASK = {"dask", "distributed", "dask_gateway", "scaler.dask_cluster", "scaler.dask_connection", "scaler.dask_worker"}


def test_our_own_share_of_ten_thousand_names_is_small() -> None:
    # On an idle machine it is a third of this.
    assert growth.own_share() < 0.75


def test_an_idle_poll_over_ten_thousand_files_of_a_nextcloud_is_one_request() -> None:
    idle = growth.idle()
    assert idle.requests == 1
    assert idle.cpu < 0.1


def test_the_mover_asks_little_about_a_thousand_images() -> None:
    with Nextcloud() as nextcloud, Vault() as vault:
        cabinet = mover.Cabinet(nextcloud, vault)
        assert cabinet.idle_requests() == 1
        assert cabinet.run("", "mover", mover.TAGGED).requests <= 2 * mover.TAGGED + 12


@pytest.mark.server
def test_max_memory_bounds_the_whole_process() -> None:
    bound = 256
    with (
        scenario() as servers,
        servers.scene(servers.draw(4, 4000, 3000), 0.0, ["--max-memory", f"{bound}MiB"]) as scene,
    ):
        peak = servers.run(growth.ours(), scene).usage.peak
    # What one image needs fits into the bound, and what two at a time need does not.
    assert bound * MIB // 2 < peak < (bound + 110) * MIB


@pytest.mark.parametrize("daemon", ["scaler", "mover"])
def test_help_loads_nothing_heavy(daemon: str) -> None:
    assert not _loaded(f"import {daemon}.main") & HEAVY


def test_a_poll_that_finds_nothing_loads_no_opencv() -> None:
    loaded = _loaded("import scaler.check, scaler.service, scaler.config, shared.app, shared.config.vault")
    assert not loaded & {"cv2", "numpy", "PIL", "nc_py_api", "tqdm", *DASK}


def test_a_scaler_without_dask_loads_nothing_of_it() -> None:
    modules = "scaler.main, scaler.session, scaler.images.codecs, scaler.recovery"
    assert not _loaded(f"import scaler.check, scaler.service, scaler.config, shared.app, {modules}") & DASK


def _loaded(line: str) -> set[str]:
    """The modules that are there after a line of Python."""
    program = f"{line}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return set(done.stdout.split())
