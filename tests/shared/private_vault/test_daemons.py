"""The daemons with a private Vault: they start it, say so, and leave nothing running."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from sandbox.nextcloud import Nextcloud
from sandbox.seed import ORGANIZED, RAW, UNSORTED
from shared.private_vault.layout import Layout
from shared.private_vault.secrets import PrivateVault
from shared.private_vault.server import answers
from tests.shared.private_vault.processes import kill_some, wait_for_end


def seed(layout: Layout, nextcloud: Nextcloud) -> None:
    for folder in (RAW, UNSORTED, ORGANIZED):
        nextcloud.mkdir(folder)
    vault = PrivateVault(layout, as_root=True)
    vault.write("webdav", {"url": nextcloud.files_url, "username": nextcloud.user, "password": nextcloud.password})
    folders = {"RAW_REMOTE_DIR": RAW, "UNSORTED_REMOTE_DIR": UNSORTED}
    vault.write("scaler_constants", {"RAW_NAMES_PREFIXES": ["Unknown"], **folders})
    vault.close()
    wait_for_end(layout)


def start(home: Path, *options: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("VAULT_", "XDG_"))}
    command = [sys.executable, "-c", "from scaler.main import main; main()", *options]
    return subprocess.Popen(
        command, env={**clean, "HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_check_says_that_it_is_used_and_why(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / ".vault-token").write_text("stale")
    with Nextcloud() as nextcloud:
        seed(layout, nextcloud)
        checking = start(tmp_path, "--check")
        said, _ = checking.communicate()
    assert checking.returncode == 0, said
    assert f"the private Vault in {layout.folder}, since neither VAULT_ADDR nor a login is set" in said
    wait_for_end(layout)
    assert not answers(layout)


def test_a_daemon_works_on_when_its_vault_is_killed_and_stops_it_at_its_end(layout: Layout, tmp_path: Path) -> None:
    with Nextcloud() as nextcloud:
        seed(layout, nextcloud)
        daemon = start(tmp_path, "--frequency", "0.2", "--log-level", "DEBUG")
        assert daemon.stdout is not None
        seen = ""
        for killed in range(3):
            # Each login is a new start of the server.
            while "Logged in to Vault" not in seen:
                seen = daemon.stdout.readline()
                assert seen, "the daemon ended"
            seen = ""
            if killed < 2:
                kill_some(layout)
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate()
        assert daemon.returncode == 0
    wait_for_end(layout)
    assert not answers(layout)
