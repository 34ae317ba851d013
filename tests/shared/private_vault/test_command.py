"""`./run.sh vault`: what it says and does."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.private_vault.layout import Layout, lock
from shared.private_vault.secrets import PrivateVault
from tests.shared.private_vault.processes import wait_for_end


def run(home: Path, *options: str, answer: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("VAULT_", "XDG_"))}
    return subprocess.run(
        [sys.executable, "-m", "shared.commands", "vault", *options],
        env={**clean, "HOME": str(home), "RUN_SH": "yes", **env},
        input=answer,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_makes_one_and_says_how_safe_it_is(tmp_path: Path) -> None:
    made = run(tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    folder = Layout.of({"HOME": str(tmp_path)}).folder
    assert f"Created in {folder}" in made.stdout
    assert "as safe as your account's own files, and no safer" in made.stdout
    assert "./run.sh settings" in made.stdout
    assert [path.name for path in folder.parent.iterdir() if path.name != "vault.lock"] == ["vault"]
    before = (folder / "root-token").read_text()
    again = run(tmp_path)
    assert f"There is a private Vault in {folder}" in again.stdout
    assert (folder / "root-token").read_text() == before
    assert before not in made.stdout


def test_the_status_of_none(tmp_path: Path) -> None:
    assert run(tmp_path, "--status").stdout == "There is no private Vault. Create one with ./run.sh vault.\n"


def test_the_status_and_the_end_of_one_that_is_used(layout: Layout, tmp_path: Path) -> None:
    assert "Not running" in run(tmp_path, "--status").stdout
    assert run(tmp_path, "--stop").stdout == "It is not running.\n"
    vault = PrivateVault(layout)
    vault.read("webdav")
    assert f"Running at {layout.holds('address')}" in run(tmp_path, "--status").stdout
    rejected = run(tmp_path, "--remove", answer="y\n")
    assert rejected.returncode == 2
    assert "It is in use: stop the scaler and the mover first." in rejected.stderr
    assert run(tmp_path, "--stop").stdout == "Stopped. A daemon uses it, and starts it again when it needs it.\n"
    assert vault.read("webdav") is None
    vault.close()
    wait_for_end(layout)


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_it_is_not_removed_without_a_yes(layout: Layout, tmp_path: Path, answer: str) -> None:
    assert run(tmp_path, "--remove", answer=answer).returncode == 1
    assert layout.exists


def test_it_is_removed(layout: Layout, tmp_path: Path) -> None:
    assert run(tmp_path, "--remove", answer="y\n").stdout.endswith("Removed.\n")
    assert not layout.folder.exists()
    assert run(tmp_path, "--remove", answer="y\n").stdout == "There is no private Vault.\n"


def test_a_vault_in_the_environment_is_named_as_the_one_in_use(layout: Layout, tmp_path: Path) -> None:
    assert layout.exists
    said = run(tmp_path, "--status", VAULT_ADDR="https://vault.example.com").stdout
    assert "It is not used here, since the environment sets VAULT_ADDR" in said


def test_usage_errors_name_run_sh(tmp_path: Path) -> None:
    wrong = run(tmp_path, "--stauts")
    assert wrong.returncode == 2
    assert "Usage: ./run.sh vault" in wrong.stderr
    assert "python" not in wrong.stderr


def test_one_whose_server_is_stopping_can_be_removed(layout: Layout, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as other, lock(layout.use_lock):
        removing = other.submit(run, tmp_path, "--remove", answer="y\n")
        with pytest.raises(TimeoutError):
            removing.result(3)
        assert layout.exists
    assert "Removed." in removing.result().stdout
    assert not layout.folder.exists()
