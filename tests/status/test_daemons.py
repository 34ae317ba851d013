"""What real daemons record, from the first line of their log to the page."""

import contextlib
import errno
import fcntl
import os
import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM
from typing import IO

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from shared.events.history import read
from shared.events.presence import running
from shared.events.thumbnails import read_thumbnail
from status.summary import load
from status.terminal import plain
from tests.faults.daemon_env import DaemonEnv, until
from tests.mover.cli import CONSTANTS as MOVER_CONSTANTS
from tests.mover.cli import mover_says
from tests.mover.harness import IMAGES
from tests.scaler.cli import CONSTANTS, Home
from tests.scaler.harness import RAW, UNSORTED, image
from tests.servers.program import free_port

NAME = "Unknown 100%.jpg"


@pytest.fixture
def cloud() -> Iterator[Nextcloud]:
    """A Nextcloud with an image that is tagged already, and one that is damaged."""
    with Nextcloud() as server:
        for folder in (RAW, UNSORTED, IMAGES):
            server.mkdir(folder)
        (server.folder / RAW / NAME).write_bytes(image(1, 400, 300, ".jpg"))
        (server.folder / RAW / "Unknown bad.png").write_bytes(b"no image")
        server.create_tag("ai:cats")
        server.tag(f"{RAW}/{NAME}", "ai:cats")
        yield server


def secrets(cloud: Nextcloud) -> dict[str, dict[str, object]]:
    login = {"url": cloud.files_url, "username": cloud.user, "password": cloud.password}
    return {
        "webdav": {"host_url": cloud.url, **login},
        "scaler_constants": {**CONSTANTS},
        "mover_constants": {**MOVER_CONSTANTS},
    }


@pytest.fixture
def home(the_vault: Vault, cloud: Nextcloud, tmp_path: Path) -> Home:
    """Settings for both daemons."""
    made = Home(the_vault, tmp_path)
    for name, values in secrets(cloud).items():
        made.write(name, values)
    return made


def test_an_image_is_followed_from_the_raw_folder_to_its_category(home: Home, cloud: Nextcloud, tmp_path: Path) -> None:
    file_id = cloud.file_id(f"{RAW}/{NAME}")
    said = home.scaler("--once").said.splitlines()
    assert mover_says(home, "--once").status == 0
    assert re.search(rf" INFO    scaler Watching {RAW} → {UNSORTED} on .* as .*'Unknown'; images are replaced", said[0])
    (line,) = [line for line in said if NAME in line]
    assert re.fullmatch(rf".{{20}}SUCCESS scaler {NAME} 400x300 → 800x600, \d+\.\d s", line)
    assert len(line) <= 80
    state = tmp_path / "state" / "jupyterhub-images"
    found = load(state)
    (done,) = found.images
    assert (done.name, done.link) == (NAME, f"{cloud.url}/index.php/f/{file_id}")
    assert set(done.seconds) == {"download", "compute", "upload", "publish"}
    assert 0 < done.bytes_before < done.bytes_after
    thumbnail = read_thumbnail(state / "events" / "thumbnails", done.thumbnail)
    assert thumbnail is not None
    assert thumbnail.startswith(b"\xff\xd8\xff")
    assert [event.target for event in found.filed] == [f"cats/{done.target}"]
    assert [event.name for event in found.skipped] == ["Unknown bad.png"]
    assert found.today == {"upscaled": 1, "filed": 1, "finished after an interruption": 0, "skipped": 1, "failed": 0}
    assert plain(found)[0].startswith("scaler: not running, last seen ")


def test_nothing_to_do_is_said_and_no_thumbnail_kept_unless_wanted(home: Home, tmp_path: Path) -> None:
    home.scaler("--once", "--no-thumbnails")
    assert not (tmp_path / "state" / "jupyterhub-images" / "events" / "thumbnails").exists()
    assert "nothing to do" in home.scaler("--once").said.splitlines()[-1]


def test_a_state_folder_that_cannot_be_used_costs_warnings_and_no_work(
    home: Home, cloud: Nextcloud, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("in the way")
    outcome = home.scaler("--once", "--metrics-file", str(tmp_path / "missing" / "file.prom"))
    assert outcome.status == 0
    assert len(list((cloud.folder / UNSORTED).iterdir())) == 1
    warned = [line for line in outcome.said.splitlines() if "the work continues without it" in line]
    assert len(warned) == 2  # the state folder, and the metrics
    assert outcome.errors == []


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system at a folder."""
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("file systems may not be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("trouble", ["read-only", "full"])
def test_a_file_system_that_takes_nothing_costs_one_warning(
    home: Home, cloud: Nextcloud, tmp_path: Path, trouble: str
) -> None:
    state = tmp_path / "state"
    with mounted(state, "ro" if trouble == "read-only" else "size=64k"):
        if trouble == "full":
            with contextlib.suppress(OSError), (state / "all").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        outcome = home.scaler("--once")
        assert mover_says(home, "--once").status == 0
    assert outcome.status == 0
    assert len(list((cloud.folder / IMAGES / "cats").iterdir())) == 1
    warned = [line for line in outcome.said.splitlines() if " WARNING " in line and "Unknown bad.png" not in line]
    (line,) = warned
    assert "The state folder" in line


def test_a_file_system_without_locks_costs_nothing(
    home: Home, cloud: Nextcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def not_there(file: int | IO[bytes], operation: int) -> None:
        number = file if isinstance(file, int) else file.fileno()
        if Path(f"/proc/self/fd/{number}").readlink().is_relative_to(tmp_path / "state"):
            raise OSError(errno.ENOLCK, "No locks available")
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", not_there)
    for number in range(2):
        (cloud.folder / RAW / f"Unknown {number}.png").write_bytes(image(number, 64, 48, ".png"))
        outcome = home.scaler("--once")
        assert outcome.status == 0
        assert [line for line in outcome.said.splitlines() if " WARNING " in line and "bad.png" not in line] == []
    assert len(list((cloud.folder / UNSORTED).iterdir())) == 3


def test_the_way_that_was_found_out_is_recorded(home: Home, cloud: Nextcloud, tmp_path: Path) -> None:
    cloud.versioning = False
    said = [line for line in home.scaler("--once").said.splitlines() if " Watching " in line]
    assert [line.rpartition("; ")[2] for line in said] == ["images are replaced in place", "copies are published"]
    events = read(tmp_path / "state" / "jupyterhub-images" / "events")
    assert [event.watch.way for event in events if event.watch] == [
        "images are replaced in place",
        "copies are published",
    ]


def test_a_failure_to_start_is_in_the_history(home: Home, tmp_path: Path) -> None:
    home.write("webdav", {"url": "http://127.0.0.1:9/", "username": "alice", "password": "s3cret"})
    assert home.scaler("--once").status == 1
    (failure,) = load(tmp_path / "state" / "jupyterhub-images").failures
    assert "127.0.0.1:9" in failure.reason
    assert "s3cret" not in failure.model_dump_json()


def test_a_taken_metrics_port_is_a_clear_error(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = home.scaler("--metrics-port", str(port))
    assert outcome.status == 2
    assert f"127.0.0.1:{port}" in outcome.errors[0]
    assert "--metrics-port" in outcome.errors[0]


def test_reporting_activity_needs_a_hub(home: Home) -> None:
    outcome = home.scaler("--report-activity", JUPYTERHUB_ACTIVITY_URL=None, JUPYTERHUB_API_TOKEN=None)
    assert outcome.status == 2
    assert "JUPYTERHUB_ACTIVITY_URL" in outcome.errors[0]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return 0, ""


def test_two_daemons_know_of_each_other_and_are_watched(the_vault: Vault, cloud: Nextcloud, tmp_path: Path) -> None:
    environment = DaemonEnv(the_vault, tmp_path, secrets(cloud))
    state = tmp_path / "state" / "jupyterhub-images"
    port = free_port()
    with environment.running("mover", "--frequency", "0.2", "--metrics-port", str(port)) as first:
        until(lambda: get(port, "/healthz")[0] == 200)
        until(lambda: 'polls_total{daemon="mover",outcome="success"} 0' not in get(port, "/metrics")[1])
        assert re.search(
            r'requests_total\{daemon="mover",method="PROPFIND",status="207"\} [1-9]', get(port, "/metrics")[1]
        )
        # The root token of the tests' Vault does not expire.
        assert "vault_token_expiry_timestamp_seconds{" not in get(port, "/metrics")[1]
        assert "every 0.2 s; files by tags ai:…" in environment.said
        ((_, found),) = running(state / "running")
        with environment.running("mover", "--frequency", "0.2") as second:
            until(lambda: "Another mover has been watching the same folders since" in environment.said)
            assert f"kill {found.pid}" in environment.said
            assert sum("running as process" in line for line in plain(load(state))) == 2
            second.signal(SIGTERM)
            assert second.ends_within() == 0
        first.signal(SIGTERM)
        assert first.ends_within() == 0
    assert list((state / "running").iterdir()) == []
    assert [line.partition(",")[0] for line in plain(load(state))[:2]] == ["scaler: not running", "mover: not running"]


def test_no_option_costs_no_import(the_vault: Vault, cloud: Nextcloud, tmp_path: Path) -> None:
    import sys

    environment = DaemonEnv(the_vault, tmp_path, secrets(cloud))
    code = (
        "import sys, scaler.main\n"
        "try: scaler.main.main(['--once'])\n"
        "finally: print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **environment.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "upscaled" in done.stderr
    loaded = set(re.findall(r"'(\w+)'", done.stdout))
    assert "click" in loaded
    assert not loaded & {"prometheus_client", "starlette", "uvicorn", "jinja2", "rich", "status"}
