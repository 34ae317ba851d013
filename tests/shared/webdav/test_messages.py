"""What people read when the image server cannot be reached: its own words for each reason, the same from both daemons.

Each is said once, in the terminal and in the log file, with what to do.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.vault import Vault
from tests.mover.cli import CONSTANTS as MOVER
from tests.mover.cli import mover_says
from tests.scaler.cli import CONSTANTS as SCALER
from tests.scaler.cli import Home, Outcome
from tests.servers.canned import Answer, canned
from tests.servers.program import free_port
from tests.servers.tls import Authority

type Place = contextlib.AbstractContextManager[tuple[str, dict[str, str]]]
"""An address, and variables of the environment."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture
def home(the_vault: Vault, tmp_path: Path) -> Home:
    """Settings of one's own in a real Vault."""
    return Home(the_vault, tmp_path)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextlib.contextmanager
def _at(url: str, **environment: str) -> Iterator[tuple[str, dict[str, str]]]:
    yield url, environment


@contextlib.contextmanager
def _answering(answer: Answer) -> Iterator[tuple[str, dict[str, str]]]:
    with canned(lambda _: answer) as server:
        yield server.url, {}


@contextlib.contextmanager
def _tls(
    folder: Path, host: str = "127.0.0.1", *, scheme: str = "https", case: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    authority = Authority(folder)
    cacert = Authority(folder).file if case == "wrong authority" else authority.file
    environment = {} if case == "untrusted" else {"WEBDAV_CACERT": str(cacert)}
    with canned(lambda _: Answer(500), authority.certificate(host, expired=case == "expired")) as server:
        yield server.url.replace("https:", f"{scheme}:"), environment


@contextlib.contextmanager
def _through(status: int | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Through a proxy that answers everything so, or that is not there."""
    if status is None:
        yield "http://images.invalid/dav/", {"HTTP_PROXY": f"http://127.0.0.1:{free_port()}", "NO_PROXY": "127.0.0.1"}
        return
    with canned(lambda _: Answer(status)) as proxy:
        yield "http://images.invalid/dav/", {"HTTP_PROXY": proxy.url, "NO_PROXY": "127.0.0.1"}


@contextlib.contextmanager
def _at_plain(scheme: str) -> Iterator[tuple[str, dict[str, str]]]:
    with canned(lambda _: Answer(400)) as server:
        yield server.url.replace("http:", f"{scheme}:"), {}


MAPPED = (
    b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/behind/</d:href><d:propstat><d:prop><d:resourcetype/></d:prop>'
    b"<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"
)
PAGE = Answer(200, b"<!DOCTYPE html><form>Log in</form>", {"Content-Type": "text/html"})

# For each: the place, the words, the words of the remedy.
CASES: dict[str, tuple[Callable[[Path], Place], str, str]] = {
    "https to a port for http": (
        lambda _: _at_plain("https"),
        "does not speak TLS on that port",
        "http:// instead of https://",
    ),
    "http to a port for https": (lambda folder: _tls(folder, scheme="http"), "http", "https://"),
    "unknown host": (lambda _: _at("http://no-such-host.invalid/dav/"), "cannot be resolved", "DNS"),
    "refused": (lambda _: _at(f"http://127.0.0.1:{free_port()}/dav/"), "refuses connections", "Is the server running"),
    "expired": (lambda folder: _tls(folder, case="expired"), "has expired", "renew"),
    "wrong host": (lambda folder: _tls(folder, "images.example.com"), "another host name", "webdav/url"),
    "untrusted": (lambda folder: _tls(folder, case="untrusted"), "is not trusted", "WEBDAV_CACERT"),
    "wrong authority": (
        lambda folder: _tls(folder, case="wrong authority"),
        "does not contain its certificate authority",
        "WEBDAV_CACERT",
    ),
    "no authority": (
        lambda _: _at("https://127.0.0.1:1/dav/", WEBDAV_CACERT="/nowhere/ca.pem"),
        "/nowhere/ca.pem does not exist",
        "WEBDAV_CACERT",
    ),
    "dead proxy": (lambda _: _through(None), "The proxy http://127.0.0.1", "HTTP_PROXY"),
    "proxy that requires a login": (
        lambda _: _through(407),
        "requires a user name and password",
        "HTTP_PROXY (http://USER",
    ),
    "proxy that maps paths": (lambda _: _answering(Answer(207, MAPPED)), "/behind/", "proxy"),
    "maintenance": (
        lambda _: _answering(Answer(503, headers={"X-Nextcloud-Maintenance-Mode": "1", "Retry-After": "120"})),
        "maintenance mode",
        "Wait",
    ),
    "wrong password": (lambda _: _answering(Answer(401)), "rejected the user name or password", "e-mail address"),
    "login page": (lambda _: _answering(PAGE), "status 200 and text/html", "remote.php/dav/files/USER"),
    "redirect to https": (
        lambda _: _answering(Answer(301, headers={"Location": "https://127.0.0.1/dav/"})),
        "redirect to https://127.0.0.1/dav/",
        "https:// instead of http://",
    ),
    "redirect to a login": (
        lambda _: _answering(Answer(302, headers={"Location": "/login?token=s3cret"})),
        "/login",
        "address of the WebDAV folder itself",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_both_daemons_say_the_same_once_with_what_to_do(home: Home, tmp_path: Path, case: str) -> None:
    make, words, remedy = CASES[case]
    home.write("scaler_constants", SCALER)
    home.write("mover_constants", MOVER)
    with make(tmp_path) as (url, environment):
        home.write(
            "webdav", {"url": url.rstrip("/") + "/remote.php/webdav/", "username": "alice", "password": "s3cret"}
        )
        said = {}
        for daemon in ("scaler", "mover"):
            log = tmp_path / f"{daemon}.json"
            arguments = ("--once", "--log-file", str(log))
            outcome: Outcome = (
                home.scaler(*arguments, **environment)
                if daemon == "scaler"
                else mover_says(home, *arguments, time=None, **environment)
            )
            assert outcome.status in (1, 2), outcome.said
            (line,) = outcome.errors
            records = [json.loads(text)["record"] for text in log.read_text().splitlines()]
            (message,) = [record["message"] for record in records if record["level"]["name"] in ("ERROR", "CRITICAL")]
            # The same in the terminal and in the file.
            assert message.partition("\n")[0] in line
            assert words in message
            assert remedy in message
            assert "s3cret" not in outcome.said + log.read_text()
            said[daemon] = message
    # Except for what was asked first.
    assert words in said["scaler"]
    assert said["scaler"].rpartition(". ")[2] == said["mover"].rpartition(". ")[2]
