"""Which tests are left out: server tests never in CI, long tests unless --long is given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run_sh.machine import REPOSITORY

SKIPPED = """
import pytest

def test_elsewhere():
    pytest.skip("not on this machine")

@pytest.mark.server
def test_server():
    pytest.skip("no apache2")
"""


@pytest.mark.parametrize(("ci", "status", "counted"), [("", 0, "2 skipped"), ("true", 1, "1 failed, 1 skipped")])
def test_only_ci_counts_a_skipped_server_test_as_failed(tmp_path: Path, ci: str, status: int, counted: str) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPED)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = server\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert counted in done.stdout


WANTING = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_one(number):
    pytest.skip("exiftool is not installed")

@pytest.mark.skipif(True, reason="only root can act as another user")
def test_two():
    pass

def test_three():
    pytest.skip("rclone is not installed")

def test_passes():
    pass
"""


def test_what_was_skipped_and_what_would_run_it_stand_in_one_block(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(WANTING)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    _, _, block = done.stdout.partition("skipped on this machine")
    for line in (
        "    3  exiftool is not installed",
        "    1  only root can act as another user",
        "    1  rclone is not installed",
        "They run after: apt install libimage-exiftool-perl rclone",
    ):
        assert line in block.splitlines()


LONG = """
import pytest

@pytest.mark.long
def test_long():
    pass

def test_short():
    pass
"""


@pytest.mark.parametrize(("options", "counted"), [([], "1 passed, 1 deselected"), (["--long"], "2 passed")])
def test_long_tests_run_only_with_long(tmp_path: Path, options: list[str], counted: str) -> None:
    (tmp_path / "test_it.py").write_text(LONG)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        *options,
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert f"{counted} in" in done.stdout, done.stdout
