"""What `./run.sh test` runs; stand-ins for the tools note how they are called."""

import json

import pytest

from tests.run_sh.machine import REPOSITORY, Machine, write_script

TOOL = """\
import json, os, sys

name = os.path.basename(sys.argv[0]).removesuffix(".py")
with open(os.environ["HOME"] + "/tools.log", "a") as log:
    log.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
sys.exit(3 if os.environ.get("FAILS") in (name, *sys.argv) else 0)
"""

CHECKS = [
    ["ruff", "format", "--check", "."],
    ["ruff", "check", "."],
    ["mypy"],
    ["lint-imports"],
    ["codespell"],
    ["shellcheck", "run.sh", *sorted(f"scripts/{path.name}" for path in (REPOSITORY / "scripts").iterdir()), ".ci/run"],
]
ON_ALL_CORES = ["-n", "auto", "--dist", "worksteal"]


@pytest.fixture(scope="module")
def machine_with_tools(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine.make(tmp_path_factory.mktemp("tools"))
    machine.add_python()
    machine.add_poetry()
    machine.run("test")
    environment = machine.home / "environment"
    (packages,) = environment.glob("lib/python3.*/site-packages")
    for path in (
        *(packages / f"{name}.py" for name in ("ruff", "mypy", "pytest", "coverage")),
        *(environment / "bin" / name for name in ("lint-imports", "codespell")),
        machine.bin / "shellcheck.py",
    ):
        path.write_text(TOOL)
    write_script(machine.bin / "shellcheck", f"exec python3 '{machine.bin}/shellcheck.py' \"$@\"")
    return machine


@pytest.fixture
def tools(machine_with_tools: Machine) -> Machine:
    """A machine on which stand-ins for the tools are installed and were not called yet."""
    (machine_with_tools.home / "tools.log").unlink(missing_ok=True)
    return machine_with_tools


def calls(machine: Machine) -> list[list[str]]:
    """How the tools were called, in order."""
    return [json.loads(line) for line in (machine.home / "tools.log").read_text().splitlines()]


def test_alone_it_runs_the_checks_and_then_pytest_on_all_cores(tools: Machine) -> None:
    assert tools.run("test").returncode == 0
    assert calls(tools) == [*CHECKS, ["pytest", *ON_ALL_CORES]]


def test_other_options_go_to_pytest_alone(tools: Machine) -> None:
    assert tools.run("test", "tests/a folder", "-k", "a or b").returncode == 0
    assert calls(tools) == [["pytest", "tests/a folder", "-k", "a or b"]]


def test_long_keeps_the_checks(tools: Machine) -> None:
    assert tools.run("test", "--long").returncode == 0
    assert calls(tools) == [*CHECKS, ["pytest", "--long", *ON_ALL_CORES]]


def test_long_goes_with_other_options(tools: Machine) -> None:
    assert tools.run("test", "-x", "--long").returncode == 0
    assert calls(tools) == [["pytest", "--long", "-x"]]


def test_coverage_reports_even_if_a_test_fails_and_keeps_the_status(tools: Machine) -> None:
    assert tools.run("test", "--coverage", "-x", FAILS="pytest").returncode == 3
    assert calls(tools) == [
        ["coverage", "erase"],
        ["coverage", "run", "-m", "pytest", "-x"],
        ["coverage", "combine", "--quiet"],
        ["coverage", "report"],
    ]


@pytest.mark.parametrize("check", [check[0] for check in CHECKS[1:]])
def test_a_check_that_fails_ends_it(tools: Machine, check: str) -> None:
    assert tools.run("test", FAILS=check).returncode == 3
    assert calls(tools)[-1][0] == check


def test_pre_commit_runs_the_same_checks() -> None:
    config = (REPOSITORY / ".pre-commit-config.yaml").read_text()
    entries = [line.split("entry: ")[1] for line in config.splitlines() if "entry: " in line]
    in_environment = ["poetry run " + " ".join(check) for check in CHECKS[:-1]]
    assert entries == [*in_environment, "bash -c 'shellcheck run.sh scripts/*.sh .ci/run'"]
