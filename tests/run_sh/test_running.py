"""How run.sh starts, signals and stops the daemons."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.run_sh.machine import Machine


def read_until(process: subprocess.Popen[str], *texts: str) -> None:
    """Read lines until each text has appeared; pytest's timeout ends a wait in vain."""
    assert process.stdout is not None
    missing = set(texts)
    seen: list[str] = []
    while missing:
        line = process.stdout.readline()
        assert line, f"ended without {missing}; said {seen}"
        seen.append(line)
        missing -= {text for text in missing if text in line}


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=20)
    return process.returncode, output


def test_a_daemon_gets_the_remaining_arguments_and_the_callers_folder(installed: Machine, tmp_path: Path) -> None:
    link = tmp_path / "a link"
    link.symlink_to(installed.clone / "run.sh")
    process = subprocess.Popen(
        [link, "mover", "--name", "a b"], cwd=tmp_path, env=installed.env(), stdout=subprocess.PIPE, text=True
    )
    read_until(process, f"mover runs ['--name', 'a b'] {tmp_path}")
    process.terminate()
    assert end(process) == (0, "mover got SIGTERM\n")


def test_an_installed_daemon_starts_without_asking_poetry_and_quickly(installed: Machine) -> None:
    before = len(installed.poetry_calls())
    began = time.monotonic()
    assert installed.run("scaler", FAILS="scaler").returncode == 2
    assert time.monotonic() - began < 2
    assert len(installed.poetry_calls()) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_both_daemons(installed: Machine, number: signal.Signals) -> None:
    process = installed.start()
    read_until(process, "scaler runs", "mover runs")
    process.send_signal(number)
    status, output = end(process)
    assert status == 0
    assert sorted(output.splitlines()) == [f"mover got {number.name}", f"scaler got {number.name}"]


def test_ctrl_c_reaches_the_whole_group_and_stops_both_daemons(installed: Machine) -> None:
    process = installed.start()
    read_until(process, "scaler runs", "mover runs")
    os.killpg(process.pid, signal.SIGINT)
    status, output = end(process)
    assert status == 0
    assert "mover got SIGINT" in output
    assert "scaler got SIGINT" in output


def test_under_nohup_a_hangup_stops_nothing(installed: Machine) -> None:
    ignored = ["bash", "-c", 'trap "" HUP; exec "$0"', str(installed.clone / "run.sh")]
    process = subprocess.Popen(ignored, env=installed.env(), stdout=subprocess.PIPE, text=True, start_new_session=True)
    read_until(process, "scaler runs", "mover runs")
    os.killpg(process.pid, signal.SIGHUP)
    process.terminate()
    status, output = end(process)
    assert status == 0
    assert sorted(output.splitlines()) == ["mover got SIGTERM", "scaler got SIGTERM"]


@pytest.mark.parametrize(("fails", "other"), [("scaler", "mover"), ("mover", "scaler")])
def test_a_daemon_that_cannot_start_stops_the_other(installed: Machine, fails: str, other: str) -> None:
    began = time.monotonic()
    status, output = end(installed.start(FAILS=fails))
    assert status == 2
    assert f"the {fails} exited with status 2" in output
    assert f"the {other} exited with status 2" not in output
    assert time.monotonic() - began < 10


def test_where_there_is_no_nextcloud_the_scaler_runs_alone(installed: Machine) -> None:
    """The mover exits with 0 only because it is told that a scaler runs beside it."""
    process = installed.start(ALONE="yes")
    read_until(process, "scaler runs")
    time.sleep(0.2)
    assert process.poll() is None
    process.terminate()
    assert end(process) == (0, "scaler got SIGTERM\n")
    assert installed.run("mover", ALONE="yes").returncode == 2


def test_stopping_one_daemon_leaves_the_other_running(installed: Machine) -> None:
    process = installed.start()
    read_until(process, "scaler runs", "mover runs")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
    read_until(process, "got SIGTERM")
    assert process.poll() is None
    process.terminate()
    assert end(process)[0] == 0


def test_a_git_pull_does_not_disturb_running_daemons(machine: Machine) -> None:
    process = machine.start()
    read_until(process, "scaler runs", "mover runs")
    for script in (machine.clone / "run.sh", *(machine.clone / "scripts").iterdir()):
        script.write_text("echo changed; exit 9\n" * 1000)
    process.terminate()
    status, output = end(process)
    assert status == 0
    assert sorted(output.splitlines()) == ["mover got SIGTERM", "scaler got SIGTERM"]


def test_a_failure_while_stopping_sets_the_exit_status(installed: Machine) -> None:
    process = installed.start(LEAVES_WITH="1")
    read_until(process, "scaler runs", "mover runs")
    process.terminate()
    assert end(process)[0] == 1


def test_with_nothing_set_one_line_says_what_to_type(bare: Machine) -> None:
    result = bare.run(VAULT_ADDR="")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "run.sh: there are no settings yet. To enter them, type:  ./run.sh settings\n"
    assert not list(bare.home.glob(".*")), "nothing was installed"


@pytest.mark.parametrize("named", ["VAULT_ADDR", "VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_K8S_ROLE"])
def test_with_a_vault_or_a_login_set_both_start(installed: Machine, named: str) -> None:
    process = installed.start(**{"VAULT_ADDR": "", named: "x"})
    read_until(process, "scaler runs", "mover runs")
    process.terminate()
    assert end(process)[0] == 0


def test_an_unknown_command_is_an_error_that_prints_the_usage(bare: Machine) -> None:
    result = bare.run("scalar")
    assert (result.returncode, result.stdout) == (2, "")
    assert "unknown command: scalar" in result.stderr
    assert "./run.sh scaler" in result.stderr


@pytest.mark.parametrize("word", ["help", "-h", "--help"])
def test_help_needs_nothing(bare: Machine, word: str) -> None:
    result = bare.run(word)
    assert (result.returncode, result.stderr) == (0, "")
    assert "./run.sh settings [FILE]" in result.stdout
