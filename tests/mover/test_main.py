"""The mover from its command line to filed images."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.resources import FileResource
from sandbox.sabre import clark
from shared.scheduler import AFTER_UNAUTHORIZED
from tests.mover.cli import CONSTANTS, Script, mover_says, point_to
from tests.mover.harness import IMAGES, UNSORTED, asked, files, put, state
from tests.mover.tls import tls_front
from tests.scaler.cli import Home
from tests.servers.apache import Apache


@pytest.mark.parametrize("base_path", ["", "/cloud"])
@pytest.mark.parametrize("below", ["", "my files/100% ü"])
@pytest.mark.parametrize("kind", ["files", "webdav", "host_url", "bare url"])
def test_whatever_the_address_the_same_folders_are_meant(home: Home, base_path: str, below: str, kind: str) -> None:
    with Nextcloud(user="alice@example.org", user_id="u 1", base_path=base_path) as nextcloud:
        nextcloud.create_tag("ai:cats")
        account_folder = f"{below}/" if below else ""
        put(nextcloud, "a.jpg", "ai:cats", folder=f"{account_folder}{UNSORTED}")
        url = {
            "files": nextcloud.files_url,
            "webdav": nextcloud.webdav_url,
            "host_url": "",
            "bare url": nextcloud.url,
        }[kind]
        if kind in ("host_url", "bare url"):
            folders = {"UNSORTED_REMOTE_DIR": account_folder + UNSORTED, "IMAGES_ROOT_DIR": account_folder + IMAGES}
            point_to(home, nextcloud, url, **folders)
        else:
            point_to(home, nextcloud, url + quote(below))
        outcome = mover_says(home, "--once")
        assert (outcome.status, outcome.errors) == (0, []), outcome.said
        assert set(files(nextcloud)) == {f"{account_folder}{IMAGES}/cats/a.jpg"}


def test_one_line_an_image_and_one_a_poll(home: Home, nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    for name in ("a.jpg", "b {0} <red>.jpg"):
        put(nextcloud, name, "ai:cats")
    point_to(home, nextcloud)
    said = mover_says(home, "--once").said
    assert said.count("a.jpg → cats/a.jpg") == 1
    assert said.count("b {0} <red>.jpg → cats/b {0} <red>.jpg") == 1
    assert said.count("Poll finished in") == 1
    assert "2 filed" in said
    assert len(said.splitlines()) == 5  # and what is watched, and the folder that was made
    assert nextcloud.password not in said


@pytest.mark.parametrize("kind", ["files", "host_url"])
def test_a_whole_run_takes_two_requests_an_image_and_twelve(home: Home, nextcloud: Nextcloud, kind: str) -> None:
    for number in range(100):
        tag = f"ai:category {number % 4}"
        if number < 4:
            nextcloud.create_tag(tag)
        put(nextcloud, f"{number}.jpg", tag)
    point_to(home, nextcloud, "" if kind == "host_url" else None)
    assert mover_says(home, "--once").status == 0
    assert sum(name.startswith(IMAGES) for name in files(nextcloud)) == 100
    assert asked(nextcloud)["MOVE"] == asked(nextcloud)["DELETE"] == 100
    assert asked(nextcloud).total() <= 2 * 100 + 12


def test_a_tag_may_not_lead_to_the_scalers_folder(home: Home, nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:_raw")
    put(nextcloud, "a.jpg", "ai:_raw", folder=f"below/{UNSORTED}")
    point_to(home, nextcloud, nextcloud.webdav_url + "below")
    home.write("scaler_constants", {"RAW_REMOTE_DIR": f"/{IMAGES}/_raw/"})
    outcome = mover_says(home, "--once")
    assert outcome.status == 0
    assert f"it leads to {IMAGES}/_raw," in outcome.said
    assert set(files(nextcloud)) == {f"below/{UNSORTED}/a.jpg"}


def test_the_scalers_settings_need_not_be_readable(home: Home, nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    put(nextcloud, "a.jpg", "ai:cats")
    point_to(home, nextcloud)
    home.write("scaler_constants", {"RAW_REMOTE_DIR": 7})
    own = "".join(
        f'path "secret/data/{home.prefix}/{name}" {{ capabilities = ["read"] }}\n'
        for name in ("webdav", "mover_constants")
    )
    role_id, secret_id = home.vault.approle(own)
    outcome = mover_says(home, "--once", VAULT_TOKEN=None, VAULT_ROLE_ID=role_id, VAULT_SECRET_ID=secret_id)
    assert outcome.status == 0, outcome.said
    assert set(files(nextcloud)) == {f"{IMAGES}/cats/a.jpg"}
    assert mover_says(home, "--once").status == 0


def test_dry_run_changes_nothing(home: Home, nextcloud: Nextcloud) -> None:
    for tag in ("ai:cats", "ai:.."):
        nextcloud.create_tag(tag)
    put(nextcloud, "a.jpg", "ai:cats")
    put(nextcloud, "b.jpg", "ai:..")
    put(nextcloud, "c.jpg", "ai:cats", folder=f"{IMAGES}/cats")
    point_to(home, nextcloud)
    before = state(nextcloud)
    outcome = mover_says(home, "--dry-run")
    assert outcome.status == 0
    assert f"would move {UNSORTED}/a.jpg to {IMAGES}/cats/a.jpg and remove the tag 'ai:cats'" in outcome.said
    assert f"would remove the tag 'ai:cats' from {IMAGES}/cats/c.jpg" in outcome.said
    assert "'ai:..' stay where they are" in outcome.said
    assert state(nextcloud) == before
    assert asked(nextcloud).keys() == {"PROPFIND"}


def test_dry_run_says_that_there_is_nothing_to_do(home: Home, nextcloud: Nextcloud) -> None:
    point_to(home, nextcloud)
    assert "nothing to do" in mover_says(home, "--dry-run").said


def test_once_says_by_its_status_that_something_failed(home: Home, nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    for name in ("a.jpg", "b.jpg"):
        put(nextcloud, name, "ai:cats")
    nextcloud.lock(f"{UNSORTED}/a.jpg")
    point_to(home, nextcloud)
    outcome = mover_says(home, "--once")
    assert outcome.status == 1
    assert len(outcome.errors) == 1
    assert "a.jpg" in outcome.errors[0]
    assert set(files(nextcloud)) == {f"{UNSORTED}/a.jpg", f"{IMAGES}/cats/b.jpg"}


# --- what keeps it from starting ------------------------------------------------------------------------------------


def test_all_settings_that_are_missing_or_wrong_are_named_at_once(home: Home) -> None:
    home.write("mover_constants", {"UNSORTED_REMOTE_DIR": "a/../b", "PARENT_TAG_VALUE": ""})
    outcome = mover_says(home)
    assert outcome.status == 2
    for part in ("webdav is missing", "IMAGES_ROOT_DIR: is missing", "UNSORTED_REMOTE_DIR:", "PARENT_TAG_VALUE:"):
        assert part in outcome.said
    assert "Traceback" not in outcome.said


def test_a_wrong_password_is_asked_once(home: Home, nextcloud: Nextcloud) -> None:
    point_to(home, nextcloud)
    nextcloud.set_password("another")
    outcome = mover_says(home)
    assert outcome.status == 2
    assert "webdav/password" in outcome.said
    assert [record.status for record in nextcloud.requests] == [401]


def test_a_missing_folder_is_named(home: Home, nextcloud: Nextcloud) -> None:
    point_to(home, nextcloud, UNSORTED_REMOTE_DIR="not/there")
    outcome = mover_says(home)
    assert outcome.status == 2
    assert "The folder not/there does not exist" in outcome.said


def test_a_missing_certificate_file_is_named_whatever_else_is_set(home: Home, tmp_path: Path) -> None:
    (tmp_path / "others.pem").touch()
    home.write("webdav", {"url": "https://127.0.0.1:1/", "username": "alice", "password": "s3cret"})
    home.write("mover_constants", CONSTANTS)
    outcome = mover_says(
        home, "--once", WEBDAV_CACERT="/nowhere/ca.pem", REQUESTS_CA_BUNDLE=str(tmp_path / "others.pem")
    )
    assert outcome.status == 2
    assert "/nowhere/ca.pem" in outcome.said
    assert "Check WEBDAV_CACERT" in outcome.said


@pytest.mark.parametrize(
    ("url", "how"),
    [
        ("http://127.0.0.1:1/", "refuses connections"),
        ("http://no-such-host.invalid/", "cannot be resolved"),
    ],
)
def test_a_server_that_is_not_there(home: Home, url: str, how: str) -> None:
    home.write("webdav", {"url": url, "username": "alice", "password": "s3cret"})
    home.write("mover_constants", CONSTANTS)
    outcome = mover_says(home, "--once")
    assert outcome.status == 1
    assert how in outcome.errors[0]
    assert len(outcome.errors) == 1


class _LoginPage(http.server.BaseHTTPRequestHandler):
    """Answers everything with a page, or with a redirect to one."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(302 if self.path.startswith("/redirect") else 200)
        self.send_header("Location", "/login?token=secret")
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"page")

    do_PROPFIND = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def login_page() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _LoginPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("path", "what"), [("", "does not answer like a Nextcloud"), ("redirect/", "redirect to")])
def test_a_login_page_is_no_nextcloud(home: Home, nextcloud: Nextcloud, login_page: str, path: str, what: str) -> None:
    point_to(home, nextcloud, login_page + path)
    outcome = mover_says(home)
    assert outcome.status == 2
    assert what in outcome.said
    assert "secret" not in outcome.said.replace("secret/", "")


@pytest.mark.server
def test_a_server_that_is_no_nextcloud(home: Home, the_apache: Apache) -> None:
    login = {"username": the_apache.username, "password": the_apache.password}
    home.write("webdav", {"url": the_apache.url} | login)
    home.write("mover_constants", CONSTANTS)
    outcome = mover_says(home)
    assert outcome.status == 2
    assert "does not answer like a Nextcloud. The mover needs one" in outcome.said
    # Beside a scaler that is nothing bad.
    outcome = mover_says(home, JUPYTERHUB_IMAGES_BOTH="yes")
    assert outcome.status == 0
    assert outcome.errors == []
    assert "nothing for the mover to do, so the scaler runs alone" in outcome.said


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "login page"])
def test_beside_a_scaler_too_an_address_that_is_no_webdav_folder_is_an_error(
    home: Home, login_page: str, url: str
) -> None:
    """It may be that of a Nextcloud that is misspelled, or does not answer."""
    login = {"username": "alice", "password": "s3cret"}
    home.write("webdav", {"url": login_page if url == "login page" else url} | login)
    home.write("mover_constants", CONSTANTS)
    outcome = mover_says(home, "--once", JUPYTERHUB_IMAGES_BOTH="yes")
    assert outcome.status in (1, 2)
    assert "runs alone" not in outcome.said


@pytest.mark.server
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_of_ones_own_counts_more_than_one_for_all_servers(
    home: Home, nextcloud: Nextcloud, tmp_path: Path, variable: str
) -> None:
    nextcloud.create_tag("ai:cats")
    put(nextcloud, "a.jpg", "ai:cats")
    with (
        tls_front(nextcloud, tmp_path / "ours") as (url, ours),
        tls_front(nextcloud, tmp_path / "others") as (_, others),
    ):
        point_to(home, nextcloud, f"{url}remote.php/dav/files/alice/")
        home.environment[variable] = str(ours)
        outcome = mover_says(home, "--once", WEBDAV_CACERT=str(others))
        assert outcome.status == 2
        assert "is not trusted" in outcome.said
        home.environment[variable] = str(others)
        outcome = mover_says(home, "--once", WEBDAV_CACERT=str(ours))
        assert outcome.status == 0, outcome.said
    assert {name: tags for name, (_, _, tags) in state(nextcloud).items()} == {f"{IMAGES}/cats/a.jpg": set()}


# --- while it runs --------------------------------------------------------------------------------------------------


def test_a_password_that_is_rejected_while_it_runs(home: Home, nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    point_to(home, nextcloud)
    rejected: list[tuple[float, int]] = []

    def change() -> None:
        nextcloud.set_password("a new one")
        put(nextcloud, "a.jpg", "ai:cats")

    def count() -> None:
        rejected.append((script.now, sum(record.status == 401 for record in nextcloud.requests)))

    steps = [change, *[count] * 20, lambda: point_to(home, nextcloud)]
    script = Script(*steps)
    outcome = mover_says(home, time=script)
    assert outcome.status == 0
    assert rejected[0][1] == 1
    asked_again = [now for now, number in rejected if number > 1]
    assert all(now - rejected[0][0] >= AFTER_UNAUTHORIZED for now in asked_again)
    assert rejected[-1][0] - rejected[0][0] > 60
    assert len(outcome.errors) == 1
    assert "can be reached again" in outcome.said
    assert set(files(nextcloud)) == {f"{IMAGES}/cats/a.jpg"}


def test_maintenance_is_waited_out_with_one_line(home: Home, nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    point_to(home, nextcloud)

    def begin() -> None:
        put(nextcloud, "a.jpg", "ai:cats")
        nextcloud.maintenance = True

    def end() -> None:
        nextcloud.maintenance = False

    outcome = mover_says(home, time=Script(begin, *[lambda: None] * 30, end))
    assert outcome.status == 0
    assert len(outcome.errors) == 1
    assert "503" in outcome.errors[0]
    assert outcome.said.count("can be reached again") == 1
    assert set(files(nextcloud)) == {f"{IMAGES}/cats/a.jpg"}


def test_a_server_that_is_away_for_a_while(home: Home, nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    point_to(home, nextcloud)
    put(nextcloud, "a.jpg", "ai:cats")
    outcome = mover_says(home, time=Script(nextcloud.stop, *[lambda: None] * 12, nextcloud.start))
    assert outcome.status == 0
    assert len(outcome.errors) == 1
    put(nextcloud, "b.jpg", "ai:cats")
    assert mover_says(home, "--once").status == 0
    assert set(files(nextcloud)) == {f"{IMAGES}/cats/a.jpg", f"{IMAGES}/cats/b.jpg"}


# --- --check --------------------------------------------------------------------------------------------------------


def test_check_says_what_it_found_and_changes_nothing(home: Home, nextcloud: Nextcloud) -> None:
    for tag in ("ai:cats", "ai:..", "holiday"):
        nextcloud.create_tag(tag)
    put(nextcloud, "a.jpg", "ai:cats")
    point_to(home, nextcloud)
    before = state(nextcloud)
    outcome = mover_says(home, "--check")
    assert outcome.status == 0, outcome.said
    assert "FAILED" not in outcome.said
    for part in (
        "login by VAULT_TOKEN",
        "id is alice",
        "images: 1",
        "tags come with the listing",
        "categories: 1",
    ):
        assert part in outcome.said
    assert "'ai:..' stay where they are" in outcome.said
    assert state(nextcloud) == before
    assert asked(nextcloud).keys() == {"PROPFIND"}


def test_check_names_an_older_server(home: Home, nextcloud: Nextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FileResource.table, clark("nc:system-tags"))
    point_to(home, nextcloud)
    assert "tag by tag" in mover_says(home, "--check").said


@pytest.mark.parametrize(("right", "letters"), [("to delete", "RGNVW"), ("to create", "RGDNV")])
def test_check_finds_rights_missing(
    home: Home, nextcloud: Nextcloud, monkeypatch: pytest.MonkeyPatch, right: str, letters: str
) -> None:
    monkeypatch.setitem(FileResource.table, clark("oc:permissions"), lambda _: letters)
    put(nextcloud, "a.jpg")
    point_to(home, nextcloud)
    outcome = mover_says(home, "--check")
    assert outcome.status == 1
    assert right in outcome.said


def test_check_goes_on_after_a_missing_folder_but_not_after_a_wrong_password(home: Home, nextcloud: Nextcloud) -> None:
    point_to(home, nextcloud, UNSORTED_REMOTE_DIR="not/there", IMAGES_ROOT_DIR="not/there/either")
    outcome = mover_says(home, "--check")
    assert outcome.status == 1
    assert "FAILED  UNSORTED_REMOTE_DIR not/there: it does not exist" in outcome.said
    assert "created for the first image" in outcome.said
    nextcloud.clear_log()
    nextcloud.set_password("another")
    outcome = mover_says(home, "--check")
    assert outcome.status == 1
    assert outcome.said.count("FAILED") == 1
    assert len(nextcloud.requests) == 1


# --- as a process ---------------------------------------------------------------------------------------------------


def start(home: Home, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    variables = {name: value for name, value in (os.environ | home.environment | environment).items() if value}
    return subprocess.Popen(
        [sys.executable, "-c", "from mover.main import main; main()", *arguments],
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_help_needs_nothing_of_what_takes_time(home: Home) -> None:
    check = "assert not {'nc_py_api', 'hvac'} & set(sys.modules)"
    command = f"import sys; from mover.main import main\ntry: main()\nfinally: {check}"
    done = subprocess.run([sys.executable, "-c", command, "--help"], capture_output=True, text=True, check=True)
    assert "--frequency" in done.stdout


def test_it_stops_within_its_time_when_asked_to(home: Home, nextcloud: Nextcloud) -> None:
    nextcloud.create_tag("ai:cats")
    for number in range(60):
        put(nextcloud, f"{number}.jpg", "ai:cats")
    point_to(home, nextcloud)
    process = start(home, "--frequency", "0.1", MOVER_LOG_LEVEL="info")
    deadline = time.monotonic() + 60
    while asked(nextcloud)["MOVE"] < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    nextcloud.latency = 0.3
    process.send_signal(signal.SIGTERM)
    asked_at = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert time.monotonic() - asked_at < 9
    assert said.rstrip().endswith("Stopped")
    assert "Traceback" not in said
    assert nextcloud.password not in said
    # What was in flight was finished.
    assert all(not tags for name, (_, _, tags) in state(nextcloud).items() if name.startswith(IMAGES))
    assert len(files(nextcloud)) == 60
    assert any(name.startswith(UNSORTED) for name in files(nextcloud))


@pytest.mark.slow
def test_a_server_that_does_not_answer_does_not_keep_it_from_stopping(home: Home, nextcloud: Nextcloud) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        point_to(home, nextcloud, url)
        process = start(home)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            asked_at = time.monotonic()
            _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert time.monotonic() - asked_at < 10
    assert "Traceback" not in said
