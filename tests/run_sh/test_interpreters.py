"""Which Python run.sh chooses."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.run_sh.machine import REPOSITORY, Machine, write_script

without_conda = pytest.mark.skipif(Path("/opt/conda").exists(), reason="this machine has conda")


def chosen(machine: Machine) -> str:
    return next(words[2] for words, _ in machine.poetry_calls() if words[:2] == ["env", "use"])


@without_conda
def test_without_python_it_lists_where_it_looked_and_how_to_get_one(bare: Machine) -> None:
    result = bare.run("scaler")
    assert result.returncode == 2
    for word in (
        "python3.12",
        "pyenv",
        "uv",
        "conda",
        "PYTHON=",
        "To install one without root",
        "With root",
        "none found",
    ):
        assert word in result.stderr


@without_conda
def test_each_rejected_interpreter_is_named_with_the_reason(bare: Machine) -> None:
    write_script(bare.bin / "python3.12", 'echo "pyenv: python3.12: command not found" >&2; exit 127')
    bare.add_odd_python("python3.13", 'sys.modules["ensurepip"] = None')
    bare.add_odd_python("python3", "sys.version_info = (3, 9, 2)")
    bare.add_odd_python("python", 'sys.implementation.name = "pypy"')
    result = bare.run("scaler")
    assert result.returncode == 2
    assert f"{bare.bin}/python3.12 does not run" in result.stderr
    assert f"{bare.bin}/python3.13 lacks the module ensurepip" in result.stderr
    assert f"{bare.bin}/python3 is Python 3.9" in result.stderr
    assert f"{bare.bin}/python is not a standard CPython build" in result.stderr


def test_folders_that_do_not_exist_do_not_stand_for_the_root_folder(bare: Machine) -> None:
    assert "" not in called("python_homes", HOME=str(bare.home)).splitlines()


OLDER = "is older than 3.12, so apt does not help"


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ('ID=debian\nVERSION_ID="13"', "apt install python3-venv"),
        ('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"', f"the Python of Debian 12 {OLDER}"),
        ("ID=debian", "apt install python3-venv"),
        ('ID=ubuntu\nVERSION_ID="26.04"', "apt install python3-venv"),
        ('ID=ubuntu\nVERSION_ID="24.04"', "apt install python3-venv"),
        ('ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04"', f"the Python of Ubuntu 22.04 {OLDER}"),
        ("ID=fedora\nVERSION_ID=43", "your distribution may have"),
        ("", "your distribution may have"),
    ],
)
def test_the_hint_for_root_is_what_the_distribution_has(tmp_path: Path, release: str, said: str) -> None:
    file = tmp_path / "os-release"
    file.write_text(release)
    assert said in called("with_root", OS_RELEASE=str(file))


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ((), "install uv"),
        (("uv", "conda"), "uv python install 3.12"),
        (("mamba",), "mamba create -y -n py312 python=3.12"),
        (("pyenv", "conda"), "conda create"),
        (("pyenv",), "pyenv install 3.12"),
    ],
)
def test_the_hint_without_root_names_a_tool_that_is_there(bare: Machine, tools: tuple[str, ...], said: str) -> None:
    for tool in tools:
        write_script(bare.bin / tool, "")
    assert said in called("without_root", PATH=str(bare.bin))


def called(*words: str, **env: str) -> str:
    """What a function of find_python.sh prints."""
    script = f"source '{REPOSITORY}/scripts/find_python.sh'; \"$@\""
    command = [shutil.which("bash") or "bash", "-c", script, "bash", *words]
    return subprocess.run(command, env={"PATH": os.defpath, **env}, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "place",
    [
        ".pyenv/versions/3.12.9/bin/python3.12",
        ".local/share/uv/python/cpython-3.13.1-linux-x86_64-gnu/bin/python3.13",
        "miniconda3/bin/python3.12",
        "miniforge3/envs/py312/bin/python3.12",
        "anaconda3/bin/python3.13",
        ".conda/envs/new one/bin/python3.14",
    ],
)
def test_it_finds_a_python_that_is_not_on_path(bare: Machine, place: str) -> None:
    bare.add_poetry()
    python = bare.add_python(bare.home / place)
    assert bare.run("scaler", REFUSES="it").returncode == 2
    assert chosen(bare) == str(python)


@pytest.mark.parametrize(
    ("variable", "value", "place"),
    [
        ("PYENV_ROOT", "pyenv", "pyenv/versions/3.12.1/bin/python3.12"),
        ("UV_PYTHON_INSTALL_DIR", "uv", "uv/cpython-3.12/bin/python3.12"),
        ("CONDA_PREFIX", "conda", "conda/bin/python3.12"),
    ],
)
def test_it_looks_where_the_variables_say(bare: Machine, variable: str, value: str, place: str) -> None:
    bare.add_poetry()
    python = bare.add_python(bare.home / place)
    assert bare.run("scaler", REFUSES="it", **{variable: str(bare.home / value)}).returncode == 2
    assert chosen(bare) == str(python)


def test_a_shim_that_only_prints_an_error_leads_to_pyenvs_versions(bare: Machine) -> None:
    bare.add_poetry()
    shims = bare.home / "elsewhere" / "shims"
    shims.mkdir(parents=True)
    write_script(shims / "python3", 'echo "pyenv: python3: command not found" >&2; exit 127')
    python = bare.add_python(bare.home / "elsewhere/versions/3.12.1/bin/python3.12")
    assert bare.run("scaler", REFUSES="it", PATH=f"{shims}:{bare.bin}").returncode == 2
    assert chosen(bare) == str(python)


def test_PYTHON_chooses_and_an_unusable_one_is_reported(machine: Machine) -> None:  # noqa: N802
    mine = machine.add_python(machine.home / "my python")
    assert machine.run("scaler", REFUSES="it", PYTHON=str(mine)).returncode == 2
    assert chosen(machine) == str(mine)
    result = machine.run("scaler", REFUSES="it", PYTHON="/nowhere/python")
    assert "PYTHON=/nowhere/python does not run" in result.stderr
    assert machine.poetry_calls()[-1][0] == ["env", "use", str(machine.bin / "python3")]
