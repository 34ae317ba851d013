"""The tile and the report of activity in a real JupyterHub, with a real browser."""

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from shared.activity import HubActivity
from shared.events.thumbnails import Thumbnails
from status.jupyter import NAME
from status.jupyter import main as jupyter
from tests.bench.samples import scene
from tests.faults.daemon_env import DaemonEnv, until
from tests.faults.proxy import Exchange, Fault, Proxy, Request
from tests.faults.steps import step
from tests.scaler.cli import CONSTANTS
from tests.scaler.harness import RAW, UNSORTED, image
from tests.servers.program import need
from tests.status import hub
from tests.status.recorded import HOSTILE, record, run_daemon, some, upscaled

# Not marked as `server`: its packages come from the registries of Python and Node, which not every network reaches.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_the_tile_opens_the_page_in_jupyterlab(tmp_path: Path) -> None:
    chromium = need("chromium")
    state = tmp_path / "state" / "jupyterhub-images"
    scene(200, 150).save(tmp_path / "thumbnail.jpg")
    thumbnail = Thumbnails(state / "events" / "thumbnails").add((tmp_path / "thumbnail.jpg").read_bytes())
    record(state, [*some(), *(upscaled(f"Unknown {number}.jpg", number, number, thumbnail) for number in range(40))])
    run_daemon(state, "scaler", os.getpid(), socket.gethostname())
    home = tmp_path / "alice"
    home.mkdir()
    made = hub.environment()
    env = {"JUPYTER_CONFIG_DIR": str(home / ".jupyter"), "PATH": str(made / "venv/bin")}
    installed = CliRunner(env=env).invoke(jupyter, [], catch_exceptions=False)
    assert installed.exit_code == 0, installed.output
    # run.sh would install everything into this home first.
    settings = home / ".jupyter" / "jupyter_server_config.json"
    config = json.loads(settings.read_text())
    config["ServerProxy"]["servers"][NAME]["command"][:1] = [sys.executable, "-P", "-m", "shared.commands"]
    settings.write_text(json.dumps(config))
    screenshots = Path(os.environ.get("SCREENSHOTS", tmp_path))
    with hub.running(tmp_path, timeout=3600) as address:
        done = subprocess.run(
            [made / "venv/bin/python", Path(__file__).with_name("hub_browser.py"), address, chromium, screenshots],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr + (tmp_path / "hub.log").read_text()[-4000:]
    found = json.loads(done.stdout)
    assert found.pop("url") == f"{address}/user/alice/{NAME}/"
    assert HOSTILE in found.pop("images")
    assert found.pop("loaded") is True
    assert {name: value for name, value in found.items() if value} == {}


def ask(address: str, path: str, method: str = "GET", body: object = None) -> object:
    """The hub's REST API, as its administrator."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{address}/hub/api/{path}", data, {"Authorization": f"token {hub.TOKEN}"}, method=method
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def alice(address: str) -> dict[str, object]:
    """What the hub knows of her and her server."""
    user = ask(address, "users/alice")
    assert isinstance(user, dict)
    return user


def runs(address: str) -> bool:
    """Whether alice's server runs."""
    return bool(alice(address)["server"])


def start(address: str, folder: Path) -> dict[str, str]:
    """Start alice's server; the environment that its terminals have."""
    # A server that ends is there until it has ended.
    until(lambda: not alice(address)["pending"], 60)
    ask(address, "users/alice/server", "POST", {})
    until(lambda: runs(address), 120)
    (server,) = [
        pid
        for pid in Path("/proc").glob("[0-9]*")
        if b"jupyterhub.singleuser" in command_of(pid) and is_of(pid, folder)
    ]
    return dict(entry.split("=", 1) for entry in (server / "environ").read_text().split("\0") if "=" in entry)


def test_a_server_is_culled_unless_activity_is_reported(tmp_path: Path) -> None:
    with hub.running(tmp_path, timeout=8) as address:
        ask(address, "users/alice", "POST", {})
        activity = HubActivity(start(address, tmp_path), every=1.0)
        with activity.reported():
            # Three times as long as an idle server may live.
            with pytest.raises(AssertionError):
                until(lambda: not runs(address), 24)
            assert runs(address)
        until(lambda: not runs(address), 120)


@pytest.fixture
def daemon_env(the_vault: Vault, tmp_path: Path) -> Iterator[DaemonEnv]:
    """What a scaler needs whose only image stays in flight: nobody answers its download."""
    done = threading.Event()

    def hold(_exchange: Exchange) -> None:
        done.wait(600)

    def rule(request: Request) -> Fault | None:
        return hold if step(request) == "download" else None

    with Nextcloud() as cloud, Proxy(cloud.files_url) as proxy:
        for folder in (RAW, UNSORTED):
            cloud.mkdir(folder)
        (cloud.folder / RAW / "Unknown.png").write_bytes(image(1))
        proxy.rule = rule
        login = {"url": proxy.url, "username": cloud.user, "password": cloud.password}
        (tmp_path / "daemon").mkdir()
        try:
            yield DaemonEnv(the_vault, tmp_path / "daemon", {"webdav": login, "scaler_constants": CONSTANTS})
        finally:
            done.set()


@pytest.mark.long
def test_a_daemon_with_images_in_flight_keeps_its_server_alive_if_asked_to(
    daemon_env: DaemonEnv, tmp_path: Path
) -> None:
    # Longer than the minute between two reports. No page is open, whose requests would count as activity.
    timeout = 75
    with hub.running(tmp_path, timeout=timeout) as address:
        ask(address, "users/alice", "POST", {})
        for options in ([], ["--report-activity"]):
            environment = start(address, tmp_path)
            daemon_env.environment |= {
                name: environment[name] for name in environment if name.startswith("JUPYTERHUB_")
            }
            with daemon_env.running("scaler", *options):
                if options:
                    with pytest.raises(AssertionError):
                        until(lambda: not runs(address), 2 * timeout)
                else:
                    until(lambda: not runs(address), 2 * timeout)
        until(lambda: not runs(address), 2 * timeout)


def command_of(pid: Path) -> bytes:
    try:
        return (pid / "cmdline").read_bytes()
    except OSError:
        return b""


def is_of(pid: Path, folder: Path) -> bool:
    """Whether a process has its home in a folder."""
    try:
        return f"HOME={folder}".encode() in (pid / "environ").read_bytes()
    except OSError:
        return False
