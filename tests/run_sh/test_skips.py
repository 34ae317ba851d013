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
