"""`./run.sh settings` without a file: what it asks, tries on the server, and writes."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault, VaultError
from shared.config.write_settings import main
from tests.mover.tls import tls_front
from tests.servers.apache import Apache

PREFIX = "asked"
NAMES = ("webdav", "scaler_constants", "mover_constants")


@pytest.fixture
def nextcloud() -> Iterator[Nextcloud]:
    with Nextcloud() as server:
        yield server


@pytest.fixture
def vault(the_vault: Vault) -> Iterator[Vault]:
    """The Vault, without the secrets that other tests here have written."""
    yield the_vault
    for name in NAMES:
        the_vault.call("DELETE", f"secret/metadata/{PREFIX}/{name}")


def settings(vault: Vault, answers: list[str], *options: str, env: Mapping[str, str] | None = None) -> Result:
    """Run the command in this process, with the answers on its standard input."""
    named = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token, "VAULT_KV_PREFIX": PREFIX, **(env or {})}
    piped = "".join(f"{answer}\n" for answer in answers)
    return CliRunner().invoke(main, list(options), input=piped, env=named, catch_exceptions=False)


def written(vault: Vault) -> dict[str, dict[str, object]]:
    """What lies in Vault, by name."""
    found = {}
    for name in NAMES:
        with contextlib.suppress(VaultError):
            found[name] = vault.call("GET", f"secret/data/{PREFIX}/{name}")["data"]["data"]
    return found


def login(nextcloud: Nextcloud) -> list[str]:
    return [nextcloud.url, nextcloud.user, nextcloud.password]


def test_everything_is_asked_tried_and_written(vault: Vault, nextcloud: Nextcloud) -> None:
    nextcloud.mkdir("Photos/raw")
    answers = [*login(nextcloud), "Photos/raw", "Unknown, IMG_", "Photos/new", "y", "", "", "ai"]
    done = settings(vault, answers)
    assert (done.exit_code, done.stderr) == (0, "")
    assert written(vault) == {
        "webdav": {
            "host_url": f"{nextcloud.url}/",
            "url": nextcloud.webdav_url,
            "username": nextcloud.user,
            "password": nextcloud.password,
        },
        "scaler_constants": {
            "RAW_NAMES_PREFIXES": ["Unknown", "IMG_"],
            "RAW_REMOTE_DIR": "Photos/raw",
            "UNSORTED_REMOTE_DIR": "Photos/new",
        },
        "mover_constants": {
            "IMAGES_ROOT_DIR": "data/AI/organized",
            "UNSORTED_REMOTE_DIR": "Photos/new",
            "PARENT_TAG_VALUE": "ai",
        },
    }
    assert (nextcloud.folder / "Photos" / "new").is_dir()
    assert (nextcloud.folder / "data" / "AI" / "organized").is_dir()
    assert "A Nextcloud; its files are at" in done.stdout
    assert "Settings → Security → Devices & sessions" in done.stdout
    assert "Folders in the account: Photos" in done.stdout
    assert nextcloud.password not in done.output
    assert "DEBUG" not in done.output


def test_as_a_process_it_takes_answers_from_a_pipe_and_names_run_sh(vault: Vault, nextcloud: Nextcloud) -> None:
    answers = [*login(nextcloud), "raw", "y", "Unknown", "new", "y", "sorted", "y", "ai"]
    command = [sys.executable, "-m", "shared.commands", "settings"]
    env = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token, "VAULT_KV_PREFIX": PREFIX, "RUN_SH": "yes"}
    done = subprocess.run(command, env=env, input="\n".join(answers), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert nextcloud.password not in done.stdout
    assert "./run.sh scaler --check" in done.stdout
    assert sorted(written(vault)) == sorted(NAMES)
    usage = subprocess.run([*command, "--sohw"], env=env, capture_output=True, text=True, check=False)
    assert "Usage: ./run.sh settings" in usage.stderr


def test_the_next_time_the_answers_are_the_defaults(vault: Vault, nextcloud: Nextcloud) -> None:
    nextcloud.mkdir("Photos/raw")
    assert settings(vault, [*login(nextcloud), "Photos/raw", "Unknown, IMG_", "b", "", "c", "", "ai"]).exit_code == 0
    before = written(vault)
    done = settings(vault, [""] * 8)
    assert (done.exit_code, done.stderr) == (0, "")
    assert written(vault) == before


@pytest.mark.parametrize(
    ("place", "wrong", "reason"),
    [
        pytest.param(0, [""], "must be an address", id="no address"),
        pytest.param(0, ["http://127.0.0.1:1"], "refuses connections", id="nobody there"),
        pytest.param(1, ["nobody", "wrong"], "rejected the user name or password", id="user"),
        pytest.param(1, ["", "wrong"], "must not be empty", id="no user"),
        pytest.param(2, ["wrong", "alice"], "rejected the user name or password", id="password"),
        pytest.param(3, [""], "must name a folder", id="no folder"),
        pytest.param(3, ["../x"], "must not contain", id="outside"),
        pytest.param(3, ["missing", "n"], "Name another folder", id="missing folder"),
        pytest.param(3, ["file.txt"], "file.txt is not a folder", id="a file"),
        pytest.param(3, ["shared"], "may not create files (right C) in shared", id="no right"),
        pytest.param(3, ["shared/new", "y"], "status 403", id="no right to create"),
        pytest.param(4, [","], "At least one prefix", id="empty list"),
        pytest.param(4, ["[]"], "At least one prefix", id="empty JSON list"),
        pytest.param(4, ["[1"], "must be a list", id="broken JSON list"),
        pytest.param(4, ["data/raw"], "without a slash", id="a folder for a prefix"),
        pytest.param(5, ["raw"], "must differ", id="the raw folder again"),
        pytest.param(
            6, ["shared"], "create files (right C) or create folders (right K) in shared", id="no right for the mover"
        ),
        pytest.param(7, [":"], "must not be empty", id="no parent tag"),
        pytest.param(7, ["a:i"], "must not contain a colon", id="a parent tag with a colon"),
        pytest.param(3, ["missing/"], "missing does not exist", id="a listing of a missing folder"),
    ],
)
def test_a_wrong_answer_is_asked_for_again_with_the_reason(
    vault: Vault, nextcloud: Nextcloud, place: int, wrong: list[str], reason: str
) -> None:
    for folder in ("raw", "unsorted", "sorted", "shared"):
        nextcloud.mkdir(folder)
    nextcloud.set_rights("shared", create=False)
    nextcloud.write("file.txt", b"x")
    right = [*login(nextcloud), "raw", "Unknown", "unsorted", "sorted", "ai"]
    # There is no default that an empty answer would take.
    if wrong == [""]:
        wrong = [" "]
    without = settings(vault, [*right[:place], *wrong])
    assert reason in without.stdout
    assert without.exit_code == 1
    assert "no settings were written" in without.stderr
    assert written(vault) == {}
    done = settings(vault, [*right[:place], *wrong, *right[place:]])
    assert (done.exit_code, done.stderr) == (0, "")
    assert sorted(written(vault)) == sorted(NAMES)


def test_http_for_https_is_told_and_no_password_is_sent(vault: Vault, nextcloud: Nextcloud, tmp_path: Path) -> None:
    with tls_front(nextcloud, tmp_path / "tls") as (url, certificate):
        plain = url.replace("https:", "http:")
        answers = [plain, url, nextcloud.user, nextcloud.password, *["", "y"], "", *["", "y"], *["", "y"], ""]
        done = settings(vault, answers, env={"WEBDAV_CACERT": str(certificate)})
        assert (done.exit_code, done.stderr) == (0, "")
        assert "Does that port expect https://?" in done.stdout
        assert written(vault)["webdav"]["url"] == f"{url}remote.php/webdav/"


def test_https_for_http_is_told(vault: Vault, nextcloud: Nextcloud) -> None:
    typed = nextcloud.url.replace("http:", "https:")
    done = settings(vault, [typed])
    assert f"{typed} does not speak TLS on that port" in done.stdout
    assert "use http:// instead of https://" in done.stdout
    assert written(vault) == {}


@pytest.mark.parametrize(
    "pasted", ["/index.php/apps/files/?dir=/Photos", "/login", "/apps/photos#x", "/remote.php/webdav", "/"]
)
def test_an_address_from_a_browser_leads_to_the_files(vault: Vault, pasted: str) -> None:
    with Nextcloud(base_path="/cloud") as nextcloud:
        done = settings(vault, [nextcloud.url + pasted])
    assert f"A Nextcloud; its files are at {nextcloud.webdav_url}" in done.stdout


@pytest.mark.server
def test_on_another_server_only_the_scaler_is_asked_for(vault: Vault, the_apache: Apache) -> None:
    answers = [
        the_apache.url,
        the_apache.username,
        the_apache.password,
        "raw here",
        "y",
        "Unknown",
        "unsorted here",
        "",
    ]
    done = settings(vault, answers)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "The mover needs a Nextcloud" in done.stdout
    assert sorted(written(vault)) == ["scaler_constants", "webdav"]
    assert list((the_apache.folder / "raw here").iterdir()) == []


@pytest.mark.server
def test_an_address_without_a_folder_is_asked_for_again(vault: Vault, the_apache: Apache) -> None:
    login = [the_apache.username, the_apache.password]
    done = settings(vault, [f"{the_apache.url}nowhere", *login, the_apache.url, *login])
    assert f"There is no folder at {the_apache.url}nowhere/" in done.stdout
    assert done.stdout.count("The server accepts this login.") == 2
    assert written(vault) == {}


def test_what_is_set_is_shown_without_the_password(vault: Vault) -> None:
    assert "secret/asked/webdav is missing" in settings(vault, [], "--show").stdout
    vault.write(f"{PREFIX}/webdav", {"url": "https://host/", "username": "alice", "password": "s3cret"})
    shown = settings(vault, [], "--show")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert '"https://host/"' in shown.stdout
    assert '"alice"' in shown.stdout
    assert "s3cret" not in shown.stdout


def test_without_a_vault_a_private_one_is_offered(nextcloud: Nextcloud, vault: Vault, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "VAULT_ADDR": "", "VAULT_TOKEN": ""}
    declined = settings(vault, ["n"], env=home)
    assert declined.exit_code == 2
    assert "Set VAULT_ADDR and a login" in declined.stderr
    assert not (tmp_path / ".local").exists()
    answers = ["y", *login(nextcloud), *["", "y"], "", *["", "y"], *["", "y"], ""]
    done = settings(vault, answers, env=home)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "as safe as your account's own files, and no safer" in done.stdout
    assert "Written to the private Vault in" in done.stdout
    shown = settings(vault, [], "--show", env=home)
    assert nextcloud.user in shown.stdout
    assert nextcloud.password not in shown.stdout
