"""Telling a JupyterHub that its user's server is active."""

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import override

import pytest

from shared import logging as log
from shared import redaction
from shared.activity import HubActivity, NoHub

TOKEN = "a-hubs-token-0123456789"


class Hub:
    """A stand-in for the hub's REST API, on loopback."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[str, str, dict[str, str], dict[str, object]]] = []
        self.heard = threading.Semaphore(0)
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hub.asked.append((self.command, self.path, dict(self.headers), body))
                self.send_response(hub.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()
                hub.heard.release()

            do_GET = do_POST  # noqa: N815 - as the base class has it

            @override
            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environ(self) -> dict[str, str]:
        """What JupyterHub sets in a server and its terminals."""
        url = f"http://127.0.0.1:{self.server.server_address[1]}/hub/api/users/alice/activity"
        return {"JUPYTERHUB_ACTIVITY_URL": url, "JUPYTERHUB_API_TOKEN": TOKEN, "JUPYTERHUB_SERVER_NAME": "second"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    with contextlib.closing(made.server.socket):
        yield made
        made.server.shutdown()


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("scaler", "DEBUG", None, stream)
    return stream


def test_activity_is_reported_at_once_and_again_until_the_work_ends(hub: Hub, said: io.StringIO) -> None:
    with HubActivity(hub.environ, every=0.01).reported():
        for _ in range(3):
            assert hub.heard.acquire(timeout=60)
    method, path, headers, body = hub.asked[0]
    assert (method, path, headers["Authorization"]) == ("POST", "/hub/api/users/alice/activity", f"token {TOKEN}")
    when = str(body["last_activity"])
    assert datetime.fromisoformat(when).tzinfo is not None
    assert body["servers"] == {"second": {"last_activity": when}}
    assert said.getvalue() == ""


def test_a_hub_that_rejects_it_is_said_once_and_the_token_never(hub: Hub, said: io.StringIO) -> None:
    hub.status = 403
    activity = HubActivity(hub.environ, every=0.01)
    with activity.reported():
        for _ in range(4):
            assert hub.heard.acquire(timeout=60)
    assert said.getvalue().count("Cannot report activity") == 1
    redaction.hide(TOKEN)
    assert redaction.redact(f"token {TOKEN}") == f"token {redaction.HIDDEN}"


def test_the_token_follows_no_redirect(hub: Hub, said: io.StringIO) -> None:
    hub.status = 302
    with HubActivity(hub.environ, every=0.01).reported():
        for _ in range(3):
            assert hub.heard.acquire(timeout=60)
    assert {path for _, path, _, _ in hub.asked} == {"/hub/api/users/alice/activity"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"JUPYTERHUB_ACTIVITY_URL": "http://hub/", "JUPYTERHUB_API_TOKEN": ""},
        {"JUPYTERHUB_ACTIVITY_URL": "file:///etc/passwd", "JUPYTERHUB_API_TOKEN": TOKEN},
    ],
)
def test_without_a_hub_there_is_nothing_to_report_to(environ: dict[str, str]) -> None:
    with pytest.raises(NoHub, match="terminal of a JupyterHub"):
        HubActivity(environ)
