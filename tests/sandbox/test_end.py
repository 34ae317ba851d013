"""However the program that started the servers ends, nothing of them is left."""

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from sandbox.vault import Vault

SECONDS_TO_END = 10


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for the temporary folders of everything that is started."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def running(temporary: Path) -> Iterator["subprocess.Popen[str]"]:
    """`python -m sandbox`, not yet ready."""
    del temporary
    with subprocess.Popen([sys.executable, "-m", "sandbox"], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def _exports(process: "subprocess.Popen[str]") -> dict[str, str]:
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    return dict(re.fullmatch(r"export (\w+)=(.+)\n", line).groups() for line in lines)  # type: ignore[union-attr, misc]


def _processes_in(folder: Path) -> list[int]:
    """The ids of the processes that have a folder in their environment."""
    found = []
    for status in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (status / "environ").read_text(errors="replace"):
                found.append(int(status.name))
        except OSError:
            continue
    return found


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_END
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_prints_how_to_reach_both_servers_and_has_written_the_settings(running: "subprocess.Popen[str]") -> None:
    exports = _exports(running)
    token = {"X-Vault-Token": exports["VAULT_TOKEN"]}
    address = exports["VAULT_ADDR"]
    secrets = {
        name: requests.get(f"{address}/v1/secret/data/{name}", headers=token, timeout=20).json()["data"]["data"]
        for name in ("webdav", "scaler_constants", "mover_constants")
    }
    login = (exports["NEXTCLOUD_USER"], exports["NEXTCLOUD_PASSWORD"])
    assert (secrets["webdav"]["username"], secrets["webdav"]["password"]) == login
    assert secrets["webdav"]["host_url"] == exports["NEXTCLOUD_URL"]
    folders = [secrets["scaler_constants"]["RAW_REMOTE_DIR"], *_folders(secrets["mover_constants"])]
    for folder in folders:
        url = secrets["webdav"]["url"] + folder
        assert requests.request("PROPFIND", url, auth=login, headers={"Depth": "0"}, timeout=20).status_code == 207
    assert secrets["scaler_constants"]["UNSORTED_REMOTE_DIR"] == secrets["mover_constants"]["UNSORTED_REMOTE_DIR"]


def _folders(constants: dict[str, str]) -> list[str]:
    return [constants["IMAGES_ROOT_DIR"], constants["UNSORTED_REMOTE_DIR"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_all_it_started(
    running: "subprocess.Popen[str]", temporary: Path, number: signal.Signals
) -> None:
    _exports(running)
    running.send_signal(number)
    assert running.wait(SECONDS_TO_END) == 0
    assert list(temporary.iterdir()) == []
    assert _processes_in(temporary) == []


def test_the_vault_ends_when_the_program_is_killed(running: "subprocess.Popen[str]", temporary: Path) -> None:
    _exports(running)
    assert len(_processes_in(temporary)) == 3
    running.kill()
    running.wait()
    _until(lambda: _processes_in(temporary) == [])
    assert not list(temporary.glob("sandbox-vault-*"))


def test_an_exception_ends_both(temporary: Path) -> None:
    program = (
        "from sandbox.nextcloud import Nextcloud\nfrom sandbox.vault import Vault\n"
        "with Vault(), Nextcloud():\n    raise SystemExit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7
    assert list(temporary.iterdir()) == []
    assert _processes_in(temporary) == []


def test_ctrl_c_in_the_middle_of_a_start_leaves_nothing(temporary: Path) -> None:
    program = (
        "import os, signal, threading\nfrom sandbox.vault import Vault\n"
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n    with Vault():\n        threading.Event().wait(5)\n"
        "except KeyboardInterrupt:\n    raise SystemExit(3)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 3
    assert list(temporary.iterdir()) == []
    assert _processes_in(temporary) == []


def test_a_vault_outlives_the_thread_that_started_it(temporary: Path) -> None:
    program = (
        "import threading\nfrom sandbox.vault import Vault\nvault = Vault()\n"
        "thread = threading.Thread(target=vault.__enter__)\nthread.start()\nthread.join()\n"
        "threading.Event().wait(0.5)\nvault.write('a', {'b': 'c'})\nvault.__exit__(None, None, None)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert list(temporary.iterdir()) == []


def test_a_vault_still_answers_while_its_parent_cleans_up_after_ctrl_c(temporary: Path) -> None:
    program = (
        "import os, signal, threading\nfrom sandbox.vault import Vault\nwith Vault() as vault:\n"
        "    try:\n        os.killpg(0, signal.SIGINT)\n        threading.Event().wait(5)\n"
        "    except KeyboardInterrupt:\n"
        "        threading.Event().wait(0.3)\n        vault.write('a', {'b': 'c'})\n        os._exit(3)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, start_new_session=True)
    assert ended.returncode == 3
    _until(lambda: not list(temporary.iterdir()) and not _processes_in(temporary))


def test_a_vault_ends_when_its_supervisor_is_killed(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with Vault() as vault:
        assert vault._supervisor is not None
        vault._supervisor.kill()
        _until(lambda: _processes_in(temporary) == [])
