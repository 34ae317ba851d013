"""The page: who may see it, what it shows, and that no name breaks out of it."""

import html.parser
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import uvicorn

from shared.events.thumbnails import Thumbnails
from status.web import application
from tests.status.recorded import HOSTILE, JPEG, record, run_daemon, some, upscaled


class Parsed(html.parser.HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


class Client(requests.Session):
    """A browser of one page, served from a thread."""

    def __init__(self, state: Path, token: str | None) -> None:
        super().__init__()
        config = uvicorn.Config(application(state, token), log_level="warning", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def ask(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        """One request to the page; redirects are not followed."""
        return self.request(method, self.url.rstrip("/") + path, headers=headers, allow_redirects=False, timeout=60)

    def close(self) -> None:
        """Stop the server."""
        super().close()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """The page of `tmp_path`, on a socket that keeps others out."""
    with Client(tmp_path, None) as made:
        yield made


def page(client: Client, **headers: str) -> str:
    answer = client.ask("/", **headers)
    assert answer.status_code == 200
    return answer.text


def test_names_are_shown_harmlessly(tmp_path: Path, client: Client) -> None:
    record(tmp_path, [*some(), upscaled("elsewhere.jpg", worker="tcp://w\x1b:1")])
    text = page(client)
    parsed = Parsed(text)
    assert ", took 2.4 s on tcp://w\\x1b:1," in parsed.text
    assert "1 by tcp://w\\x1b:1" in parsed.text
    assert HOSTILE in parsed.text
    assert "<script>alert(2)</script>" in parsed.text
    assert "\\x1b[31mred\\x07\\u202egpj.exe.jpg" in parsed.text
    assert not set(text) & set("\x1b\x07\u202e")
    scripts = [attributes for tag, attributes in parsed.tags if tag == "script"]
    assert [script["src"] for script in scripts] == ["./static/live.js"]
    assert not [
        name for _, attributes in parsed.tags for name in attributes if name.startswith("on") or name == "style"
    ]
    assert sum(tag == "svg" for tag, _ in parsed.tags) == 1


def test_a_link_leads_into_the_nextcloud_and_nowhere_else(tmp_path: Path, client: Client) -> None:
    record(tmp_path, [*some(), upscaled("evil.jpg").model_copy(update={"link": "javascript:alert(1)"})])
    links = [attributes["href"] for tag, attributes in Parsed(page(client)).tags if tag == "a"]
    assert "https://cloud.example.com/index.php/f/2" in links
    assert not [link for link in links if link and link.startswith("javascript")]


def test_a_strict_policy_is_on_everything(tmp_path: Path, client: Client) -> None:
    record(tmp_path, some())
    for path in ("/", "/static/style.css", "/static/live.js", "/missing", "/thumbnails/missing"):
        headers = client.ask(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "*" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_nothing_comes_from_elsewhere(tmp_path: Path, client: Client) -> None:
    record(tmp_path, some())
    loaded = [
        attributes.get("src") or attributes.get("href")
        for tag, attributes in Parsed(page(client)).tags
        if tag in ("script", "link", "img", "iframe")
    ]
    assert loaded
    assert all(address and address.startswith("./") for address in loaded)
    static = Path(__file__).parents[2] / "status" / "static"
    for file in static.glob("*.*s"):
        assert "//" not in re.sub(r"^\s*//.*$", "", file.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("header", ["X-Forwarded-Prefix", "X-Forwarded-Context"])
def test_behind_a_proxy_links_are_below_its_path(client: Client, header: str) -> None:
    text = page(client, **{header: "/user/alice%40b/jupyterhub-images"})
    assert 'href="/user/alice%40b/jupyterhub-images/static/style.css"' in text
    assert 'data-live="/user/alice%40b/jupyterhub-images/live"' in text


@pytest.mark.parametrize("prefix", ["//evil.example.com", 'x"><script>', "https://evil.example.com/", "/a/../b c", ""])
def test_a_forwarded_prefix_that_is_none_is_passed_over(client: Client, prefix: str) -> None:
    assert 'href="./static/style.css"' in page(client, **{"X-Forwarded-Prefix": prefix})


def test_the_token_is_shown_once(tmp_path: Path) -> None:
    with Client(tmp_path, "s3cret") as guarded:
        for path in ("/", "/live", "/static/style.css", "/?token=wrong", "/?token=%C3%A4"):
            assert guarded.ask(path).status_code == 403
        answer = guarded.ask("/?token=s3cret")
        assert (answer.status_code, answer.headers["location"]) == (303, "./")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert guarded.ask("/").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_is_read_only(client: Client, method: str) -> None:
    assert client.ask("/", method).status_code == 405


def test_thumbnails_and_nothing_beside_them(tmp_path: Path, client: Client) -> None:
    name = Thumbnails(tmp_path / "events" / "thumbnails").add(JPEG)
    record(tmp_path, [upscaled("a.jpg", thumbnail=name)])
    assert f'src="./thumbnails/{name}"' in page(client)
    answer = client.ask(f"/thumbnails/{name}")
    assert (answer.content, answer.headers["content-type"]) == (JPEG, "image/jpeg")
    events = next((tmp_path / "events").glob("*.jsonl")).name
    for path in (f"../{events}", f"..%2F{events}", f"%2e%2e%2f{events}", "%2Fetc%2Fpasswd"):
        assert client.ask(f"/thumbnails/{path}").status_code == 404


def test_ten_thousand_events_stay_a_small_page(tmp_path: Path, client: Client) -> None:
    record(tmp_path, (upscaled(f"Unknown {number} {'x' * 80}.jpg", number, number) for number in range(10_000)))
    text = page(client)
    assert len(text.encode()) < 1_000_000
    assert "and 9976 more" in text


def test_what_a_screen_reader_needs(tmp_path: Path, client: Client) -> None:
    record(tmp_path, some())
    parsed = Parsed(page(client))
    tags = [tag for tag, _ in parsed.tags]
    assert next(attributes for tag, attributes in parsed.tags if tag == "html")["lang"] == "en"
    assert (tags.count("h1"), tags.count("main")) == (1, 1)
    identifiers = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    for tag, attributes in parsed.tags:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in identifiers
        if tag == "img":
            assert "alt" in attributes
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
    assert any(tag == "meta" and attributes.get("http-equiv") == "refresh" for tag, attributes in parsed.tags)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """The socket of the page, served by the real command from a state folder in `tmp_path`."""
    file = tmp_path / "socket"
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "shared.commands", "status", "--web", "--socket", str(file)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            while not file.exists():
                assert process.poll() is None, process.communicate()[1]
            yield file
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=30)[1]
    assert said == b""


class UnixConnection(http.client.HTTPConnection):
    """HTTP through a Unix socket."""

    def __init__(self, file: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._file = file

    def connect(self) -> None:
        """Connect, as soon as it listens."""
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(60)
            try:
                self.sock.connect(str(self._file))
            except ConnectionRefusedError:
                self.sock.close()
            else:
                return


def test_the_page_follows_live_on_a_socket_of_ones_own(served: Path) -> None:
    assert stat.S_IMODE(served.stat().st_mode) == 0o600
    connection = UnixConnection(served)
    connection.request("GET", "/live")
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.readline() == b"retry: 5000\n"
    state = served.parent / "jupyterhub-images"
    record(state, some())
    run_daemon(state, "scaler", os.getpid(), socket.gethostname())
    while not (line := answer.readline()).startswith(b"data: "):
        assert line in (b"\n", b":\n")
    changed = json.loads(line.removeprefix(b"data: "))
    assert "Unknown cat.jpg" in changed["images"]
    connection.close()


def test_loopback_needs_the_token_that_is_printed(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "shared.commands", "status", "--web"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = urllib.parse.urlsplit(process.stdout.readline().split()[1])
            assert url.hostname == "127.0.0.1"
            for path, status in (("/", 403), (f"/?{url.query}", 303)):
                connection = http.client.HTTPConnection("127.0.0.1", url.port or 0, timeout=60)
                connection.request("GET", path)
                assert connection.getresponse().status == status
                connection.close()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
