"""The files in deploy/, by the tools that can check them here."""

import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.parametrize("daemon", ["scaler", "mover"])
def test_systemd_accepts_the_unit(tmp_path: Path, daemon: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    program = tmp_path / ".local" / "bin" / daemon
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / f"jupyterhub-images@{daemon}.service"
    shutil.copy(DEPLOY / "systemd" / "jupyterhub-images@.service", unit)
    command = ["systemd-analyze", "--user", "verify", str(unit)]
    env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_kustomize_builds_both_deployments() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes")]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert built.count("kind: Deployment") == 2
    assert built.count("path: /healthz") == 4
    assert "image: registry.example.com/jupyterhub-images:" in built


def test_the_container_copies_what_there_is() -> None:
    lines = (DEPLOY / "container" / "Containerfile").read_text().splitlines()
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    assert {"scaler", "mover", "shared", "status", "poetry.lock"} <= set(copied)
    assert [name for name in copied if not (DEPLOY.parent / name).exists()] == []
    kept = (DEPLOY / "container" / "Containerfile.containerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} <= set(kept)
