"""The command line that both daemons have."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from shared.cli import LONGEST_PERIOD, Command, Options, Size, cacert, common_options, state_folder

SEEN: list[Options] = []


@click.command(cls=Command, context_settings={"auto_envvar_prefix": "SCALER"})
@click.option("--size", type=Size())
@common_options
def command(options: Options, size: int | None) -> None:
    SEEN.append(options)
    click.echo(size)


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(command, list(arguments), env=environment)


def test_what_holds_without_options() -> None:
    assert invoke().exit_code == 0
    assert SEEN[-1] == Options(30, once=False, dry_run=False, check=False, log_level="INFO", log_file=None)


def test_every_option_can_come_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "log"
    invoke(SCALER_FREQUENCY="5", SCALER_ONCE="1", SCALER_CHECK="1", SCALER_LOG_LEVEL="debug", SCALER_LOG_FILE=str(file))
    assert SEEN[-1] == Options(5, once=True, dry_run=False, check=True, log_level="DEBUG", log_file=file)
    assert invoke("--frequency", "7", SCALER_FREQUENCY="5").exit_code == 0
    assert SEEN[-1].frequency == 7


@pytest.mark.parametrize("number", ["nan", "-nan", "inf", "-inf", "1e308", "1e999", "-1", "0.05", "604801", "1_0_", ""])
def test_a_frequency_is_a_finite_number_within_bounds(number: str) -> None:
    result = invoke("--frequency", number)
    assert result.exit_code == 2
    assert "--frequency" in result.output
    if number:
        assert invoke(SCALER_FREQUENCY=number).exit_code == 2


@pytest.mark.parametrize("number", ["0.1", "1e3", str(LONGEST_PERIOD)])
def test_bounds_of_the_frequency(number: str) -> None:
    assert invoke("--frequency", number).exit_code == 0
    assert SEEN[-1].frequency == float(number)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--{0}"],
        ["{0}"],
        ["--frequency", "{0}"],
        ["--log-level", "{0}"],
        ["--log-file", "/dev/{0}/x/../../shm"],
        ["--size", "{0}"],
    ],
)
def test_a_usage_error_repeats_no_control_character(arguments: list[str]) -> None:
    bad = "\x1b[2J\r\x07\x9b\u202e\u2028\nforged"
    result = invoke(*(argument.format(bad) for argument in arguments))
    assert not set(result.output) & set(bad) - set("[2J\nforged")
    assert not [line for line in result.output.splitlines() if line.startswith("forged")]


def test_a_dry_run_is_one_poll() -> None:
    invoke("--dry-run")
    assert SEEN[-1].once


@pytest.mark.parametrize("arguments", [["--frequency", "0"], ["--frequency", "x"], ["--log-level", "loud"], ["extra"]])
def test_what_makes_no_sense_is_a_usage_error(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.output


@pytest.mark.parametrize(
    ("text", "size"),
    [("16M", 2**24), ("1GiB", 2**30), ("1.5g", 3 * 2**29), ("800MB", 800 * 2**20), ("33554432", 2**25), ("1T", 2**40)],
)
def test_sizes(text: str, size: int) -> None:
    assert invoke("--size", text).output.strip() == str(size)


@pytest.mark.parametrize("text", ["", "M", "-1G", "1X", "1GG", "many", "15M", "0", "infG", "nan", "1e999"])
def test_what_is_no_size(text: str) -> None:
    result = invoke("--size", text)
    assert result.exit_code == 2
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder("scaler") == tmp_path / "jupyterhub-images" / "scaler"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder("scaler") == tmp_path / ".local/state/jupyterhub-images/scaler"
    monkeypatch.delenv("WEBDAV_CACERT", raising=False)
    assert cacert() is None
    monkeypatch.setenv("WEBDAV_CACERT", "/a/ca.pem")
    assert cacert() == Path("/a/ca.pem")
