"""What run.sh has Poetry install, and when."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.run_sh.machine import Machine


def start_once(machine: Machine, word: str = "scaler", **env: str) -> str:
    """Start a daemon that exits at once, and return what run.sh printed."""
    result = machine.run(word, FAILS=word, **env)
    assert result.returncode == 2
    return result.stderr


def test_only_what_the_daemons_need_is_installed_and_only_once(machine: Machine) -> None:
    start_once(machine)
    start_once(machine)
    start_once(machine, "mover")
    assert machine.installs() == ["main"]


def test_the_tests_install_their_groups_and_keep_the_daemons(machine: Machine) -> None:
    machine.run("test", "--version")
    start_once(machine)
    assert machine.installs() == ["main,sandbox,status,dask,dev"]


def test_the_demo_after_a_daemon_installs_the_sandbox(machine: Machine) -> None:
    start_once(machine)
    machine.run("demo")
    assert machine.installs() == ["main", "main,sandbox"]


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["scaler", "--dask", "local"], {}),
        (["scaler", "--once", "--dask=local"], {}),
        (["scaler"], {"SCALER_DASK": "local"}),
        ([], {"SCALER_DASK": "local"}),
    ],
)
def test_dask_is_installed_when_it_is_first_asked_for(machine: Machine, words: list[str], env: dict[str, str]) -> None:
    start_once(machine)
    machine.run("mover", FAILS="mover", **env)
    assert machine.installs() == ["main"]
    for _ in range(2):
        machine.run(*words, FAILS="scaler", **env)
    start_once(machine)
    assert machine.installs() == ["main", "main,dask"]


def test_a_group_stays_recorded_when_another_is_added(machine: Machine) -> None:
    for word in ("status", "demo", "status", "demo", "jupyter"):
        machine.run(word)
    start_once(machine)
    assert machine.installs() == ["main,status", "main,sandbox,status"]


def test_after_an_update_only_what_is_asked_for_is_installed(machine: Machine) -> None:
    machine.run("status")
    with (machine.clone / "poetry.lock").open("a") as lock:
        lock.write("# changed\n")
    start_once(machine)
    assert machine.installs() == ["main,status", "main"]


def test_a_private_vault_is_installed_where_it_is_used(machine: Machine) -> None:
    machine.run("vault", "--status")
    start_once(machine)
    assert machine.installs() == ["main,vault"]
    start_once(machine, VAULT_ADDR="")
    machine.run("demo")
    start_once(machine, VAULT_ADDR="")
    machine.run("vault", "--status")
    assert machine.installs() == ["main,vault", "main,sandbox"], "the sandbox includes it"


@pytest.mark.parametrize("named", ["VAULT_ADDR", "VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_K8S_ROLE"])
def test_daemons_with_a_vault_in_the_environment_do_not_need_a_private_one(machine: Machine, named: str) -> None:
    private = machine.home / ".local/share/jupyterhub-images/vault"
    private.mkdir(parents=True)
    (private / "secret-id").touch()
    start_once(machine, **{"VAULT_ADDR": "", named: "x"})
    assert machine.installs() == ["main"]
    start_once(machine, VAULT_ADDR="")
    assert machine.installs() == ["main", "main,vault"]


def test_settings_can_make_a_private_vault_unless_there_is_another(machine: Machine) -> None:
    machine.run("settings")
    assert machine.installs() == ["main"]
    machine.run("settings", VAULT_ADDR="")
    assert machine.installs() == ["main", "main,vault"]


def test_a_changed_lock_file_is_installed(machine: Machine) -> None:
    start_once(machine)
    with (machine.clone / "poetry.lock").open("a") as lock:
        lock.write("# changed\n")
    start_once(machine)
    assert machine.installs() == ["main", "main"]


def test_a_missing_environment_is_recreated(machine: Machine) -> None:
    start_once(machine)
    (machine.home / "environment" / "bin" / "python").unlink()
    start_once(machine)
    assert machine.installs() == ["main", "main"]


def test_poetry_makes_its_own_environment_and_leaves_urllib3_alone(machine: Machine) -> None:
    start_once(
        machine, VIRTUAL_ENV="/active", CONDA_PREFIX="/conda", PYTHONPATH="/more", POETRY_VIRTUALENVS_CREATE="false"
    )
    env = machine.poetry_calls()[-1][1]
    assert not {"VIRTUAL_ENV", "CONDA_PREFIX"} & env.keys()
    assert "/more" not in env["PYTHONPATH"]  # the stand-in Poetry's interpreter sets one
    assert env["POETRY_VIRTUALENVS_CREATE"] == "true"
    assert env["PYTHON_KEYRING_BACKEND"] == "keyring.backends.null.Keyring"
    assert env["URLLIB3_NO_OVERRIDE"] == "1"


def test_poetry_installs_from_pips_index_whose_password_is_never_shown(machine: Machine) -> None:
    url = "https://user:p%40ss%2Fw0rd@mirror.invalid/simple/"
    output = start_once(machine, PIP_INDEX_URL=url, TELLS=f"401 for {url} and https://u:raw@pass@mirror.invalid/")
    env = machine.poetry_calls()[-1][1]
    assert env["POETRY_PYPI_MIRROR_URL"] == "https://mirror.invalid/simple/"
    assert env["POETRY_HTTP_BASIC_PYPI_USERNAME"] == "user"
    assert env["POETRY_HTTP_BASIC_PYPI_PASSWORD"] == "p@ss/w0rd"
    assert "401 for https://***@mirror.invalid/simple/ and https://***@mirror.invalid/" in output
    assert "p%40ss" not in output
    assert "raw" not in output


def test_a_mirror_set_for_poetry_takes_precedence_over_pips_index(machine: Machine) -> None:
    start_once(
        machine, PIP_INDEX_URL="https://pips.invalid/simple", POETRY_PYPI_MIRROR_URL="https://poetrys.invalid/simple"
    )
    assert machine.poetry_calls()[-1][1]["POETRY_PYPI_MIRROR_URL"] == "https://poetrys.invalid/simple"


def test_without_any_setting_the_index_is_the_one_built_into_pip(machine: Machine) -> None:
    start_once(machine)
    assert machine.poetry_calls()[-1][1]["POETRY_PYPI_MIRROR_URL"].endswith("/simple")


@pytest.mark.parametrize(
    ("file", "variable"),
    [("my own.conf", "PIP_CONFIG_FILE"), (".config/pip/pip.conf", None), (".pip/pip.conf", None)],
)
def test_pips_index_password_and_certificate_may_come_from_its_files(
    machine: Machine, file: str, variable: str | None
) -> None:
    path = machine.home / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "[global]\nindex-url = https://global.invalid/simple\ncert = /certificates of ours.pem\n"
        "[install]\nindex_url = https://user:it's%20s3cret@install.invalid/simple\n"
    )
    # pip ignores an empty variable.
    output = start_once(machine, PIP_INDEX_URL="", **({variable: str(path)} if variable else {}))
    env = machine.poetry_calls()[-1][1]
    assert env["POETRY_PYPI_MIRROR_URL"] == "https://install.invalid/simple"
    assert env["POETRY_HTTP_BASIC_PYPI_USERNAME"] == "user"
    assert env["POETRY_HTTP_BASIC_PYPI_PASSWORD"] == "it's s3cret"
    assert env["REQUESTS_CA_BUNDLE"] == "/certificates of ours.pem"
    assert "s3cret" not in output


def test_pips_variables_take_precedence_over_its_files(machine: Machine) -> None:
    (machine.home / ".pip").mkdir()
    (machine.home / ".pip" / "pip.conf").write_text(
        "[global]\ncert = /file.pem\n[install]\nindex-url = https://file.invalid/simple\n"
    )
    start_once(machine, PIP_INDEX_URL="https://variable.invalid/simple", PIP_CERT="/variable.pem")
    env = machine.poetry_calls()[-1][1]
    assert env["POETRY_PYPI_MIRROR_URL"] == "https://variable.invalid/simple"
    assert env["REQUESTS_CA_BUNDLE"] == "/variable.pem"


def test_a_certificate_set_for_requests_takes_precedence_over_pips(machine: Machine) -> None:
    start_once(machine, PIP_CERT="/pip.pem", REQUESTS_CA_BUNDLE="/requests.pem")
    assert machine.poetry_calls()[-1][1]["REQUESTS_CA_BUNDLE"] == "/requests.pem"


def test_an_index_that_pip_cannot_tell_is_an_error(machine: Machine) -> None:
    (machine.home / ".pip").mkdir()
    (machine.home / ".pip" / "pip.conf").write_text("not a configuration: https://user:s3cret@mirror.invalid\n")
    output = start_once(machine)
    assert "pip could not say which index it uses" in output
    assert "pip config list" in output
    assert "s3cret" not in output
    assert machine.installs() == []


DROPPED = [
    "PIP_ABI",
    "PIP_CONSTRAINT",
    "PIP_DRY_RUN",
    "PIP_EDITABLE",
    "PIP_IGNORE_INSTALLED",
    "PIP_IMPLEMENTATION",
    "PIP_LOG",
    "PIP_NO_BINARY",
    "PIP_NO_DEPS",
    "PIP_ONLY_BINARY",
    "PIP_PLATFORM",
    "PIP_PREFIX",
    "PIP_PYTHON",
    "PIP_PYTHON_VERSION",
    "PIP_REPORT",
    "PIP_REQUIRE_HASHES",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_REQUIREMENT",
    "PIP_ROOT",
    "PIP_TARGET",
    "PIP_UPGRADE",
    "POETRY_INSTALLER_NO_BINARY",
    "POETRY_INSTALLER_ONLY_BINARY",
    "POETRY_INSTALLER_RE_RESOLVE",
    "POETRY_VIRTUALENVS_IN_PROJECT",
    "POETRY_VIRTUALENVS_OPTIONS_ALWAYS_COPY",
    "POETRY_VIRTUALENVS_OPTIONS_NO_PIP",
    "POETRY_VIRTUALENVS_OPTIONS_SYSTEM_SITE_PACKAGES",
    "POETRY_VIRTUALENVS_PREFER_ACTIVE_PYTHON",
    "POETRY_VIRTUALENVS_USE_POETRY_PYTHON",
]
KEPT = [
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_PROXY",
    "PIP_RETRIES",
    "PIP_TIMEOUT",
    "PIP_TRUSTED_HOST",
    "POETRY_CACHE_DIR",
    "POETRY_CERTIFICATES_PYPI_CERT",
    "POETRY_REQUESTS_MAX_RETRIES",
    "POETRY_VIRTUALENVS_PATH",
]


def test_a_sites_variables_tell_where_packages_come_from_and_nothing_else(machine: Machine) -> None:
    start_once(machine, **dict.fromkeys(DROPPED + KEPT, "1"))
    env = machine.poetry_calls()[-1][1]
    assert not set(DROPPED) & env.keys()
    assert set(KEPT) <= env.keys()
    assert env["PIP_USER"] == "0"


def test_what_lies_in_the_current_folder_is_not_imported(machine: Machine) -> None:
    machine.folder = machine.home / "work"
    for name in ("shared", "shared/config", "scaler", "importlib", "ssl", "sysconfig", "venv", "pip", "cv2", "ast"):
        module = machine.folder / name / "__init__.py"
        module.parent.mkdir(parents=True)
        module.write_text("raise SystemExit('of the current folder')")
    start_once(machine)
    packages = next((machine.home / "environment").glob("lib/python3.*/site-packages"))
    (packages / "shared").mkdir()
    (packages / "shared" / "commands.py").write_text("print('ours')")
    result = machine.run("settings", "file.json")
    assert (result.stdout, result.stderr) == ("ours\n", "")
    assert machine.installs() == ["main"]


def test_a_failed_installation_is_reported_and_repeated_from_scratch(machine: Machine) -> None:
    assert "Poetry could not install the dependencies" in start_once(machine, TELLS="no network")
    start_once(machine)
    words = [words for words, _ in machine.poetry_calls()]
    assert words.index(["env", "remove", "--all"]) > words.index(["install", "--only", "main"])
    assert machine.installs() == ["main", "main"]


def test_an_interrupted_installation_is_repeated_from_scratch(machine: Machine) -> None:
    process = machine.start("scaler", TAKES="60")
    assert process.stdout is not None
    while "installing \n" not in process.stdout.readline():
        pass
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    start_once(machine)
    assert ["env", "remove", "--all"] in [words for words, _ in machine.poetry_calls()]
    assert machine.installs() == ["main", "main"]


def test_two_first_starts_at_once_install_once(machine: Machine) -> None:
    starts = [machine.start(word, FAILS=word, TAKES="0.5") for word in ("scaler", "mover")]
    for process in starts:
        process.communicate()
        assert process.returncode == 2
    assert machine.installs() == ["main"]


def test_a_poetry_without_the_mirror_plugin_is_not_used(bare: Machine) -> None:
    bare.add_python()
    bare.add_poetry()
    shutil.rmtree(bare.home / "poetry" / "poetry_plugin_pypi_mirror-0.6.5.dist-info")
    result = bare.run("scaler", PIP_INDEX_URL="http://user:s3cret@127.0.0.1:1/simple", PIP_RETRIES="0")
    assert result.returncode == 2
    assert "installing Poetry in" in result.stderr
    assert "s3cret" not in result.stderr
    assert bare.poetry_calls() == []


def test_nothing_is_written_outside_the_home(machine: Machine, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if machine.home not in path.parents}
    start_once(machine)
    assert {path for path in tmp_path.rglob("*") if machine.home not in path.parents} == before
