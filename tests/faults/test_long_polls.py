"""Weeks of work in a minute: nothing grows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from tests.faults import long_child
from tests.scaler.harness import RAW, UNSORTED

POLLS = 2000
MIB = 2**20


@pytest.mark.slow
def test_nothing_grows_in_two_thousand_passes(the_vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    with Nextcloud() as nextcloud:
        for folder in (RAW, UNSORTED):
            (nextcloud.folder / folder).mkdir(parents=True)
        login = {"username": nextcloud.user, "password": nextcloud.password}
        the_vault.write("long/webdav", {"url": nextcloud.files_url} | login)
        constants = {"RAW_NAMES_PREFIXES": ["Unknown"], "RAW_REMOTE_DIR": RAW, "UNSORTED_REMOTE_DIR": UNSORTED}
        the_vault.write("long/scaler_constants", constants)
        child = subprocess.run(
            [sys.executable, "-m", long_child.__name__, str(nextcloud.folder), str(POLLS)],
            cwd=Path(__file__).parents[2],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "TMPDIR": str(tmp_path / "temporary"),
                "VAULT_ADDR": the_vault.address,
                "VAULT_TOKEN": the_vault.token,
                "VAULT_KV_PREFIX": "long",
            },
            capture_output=True,
            check=False,
            timeout=280,
        )
    said = child.stderr.decode()
    assert child.returncode == 0, said[-4000:]
    assert said.count("SUCCESS") == POLLS // 10 * 3 // 4, said[-4000:]
    # Each once, and none again at any of the polls that saw it.
    assert said.count("is skipped") == POLLS // 40
    first, *_, last = json.loads(child.stdout)
    for what in ("threads", "descriptors", "sockets", "temporary"):
        assert last[what] <= first[what], (what, first, last)
    assert last["objects"] - first["objects"] < POLLS // 10, (first, last)
    assert last["resident"] - first["resident"] < 4 * MIB, (first, last)
