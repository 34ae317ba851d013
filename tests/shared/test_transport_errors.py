"""What a failed connection means: real ones on loopback, through both libraries."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import niquests
import pytest
import requests

from shared.transport_errors import Peer, TransportProblem, explain, proxy_rejected
from tests.servers.program import free_port, silent

ALERT = bytes.fromhex("15030300020232")
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
LIBRARIES = pytest.mark.parametrize("library", [requests, niquests])


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextlib.contextmanager
def replying(reply: bytes) -> Iterator[str]:
    """A server that sends the same bytes to everybody; host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as client, contextlib.suppress(OSError):
                        client.recv(2**16)
                        client.sendall(reply)

        threading.Thread(target=run, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def problem(
    library: ModuleType, url: str, *, cacert: Path | None = None, reached: bool = False, proxy: str = ""
) -> TransportProblem:
    """What comes of a request."""
    # niquests reads the environment only once in a process.
    proxies = {"all": proxy} if proxy else None
    with pytest.raises(OSError) as caught:  # noqa: PT011 - whatever it is
        library.get(url, timeout=2, verify=str(cacert) if cacert else True, proxies=proxies)
    return explain(caught.value, Peer(url, "webdav/url in Vault", "WEBDAV_CACERT", cacert), reached=reached)


@LIBRARIES
def test_https_to_a_plain_port_and_http_to_a_tls_port(library: ModuleType) -> None:
    with replying(BAD_REQUEST) as plain, replying(ALERT) as tls:
        found = problem(library, f"https://{plain}/dav/")
        assert "does not speak TLS" in found.message
        assert "http://" in found.hint
        assert found.permanent
        # Where it worked before, garbage is a broken connection, and its last request may have been executed.
        assert not problem(library, f"https://{plain}/dav/", reached=True).permanent
        found = problem(library, f"http://{tls}/dav/")
        assert "does not speak plain HTTP" in found.message
        assert "https://" in found.hint
        assert found.permanent
        assert not problem(library, f"http://{tls}/dav/", reached=True).permanent


@LIBRARIES
def test_what_hangs_up_may_expect_tls_or_speak_none(library: ModuleType) -> None:
    with replying(b"") as server:
        found = problem(library, f"https://{server}/")
        assert "broke off a TLS connection" in found.message
        assert not found.permanent
        found = problem(library, f"http://{server}/")
        assert "closed the connection" in found.message
        assert "https://" in found.hint
        assert not found.permanent


@LIBRARIES
def test_nobody_there(library: ModuleType) -> None:
    found = problem(library, f"http://alice:s3cret@127.0.0.1:{free_port()}/dav/")
    assert "refuses connections" in found.message
    assert "s3cret" not in found.message
    found = problem(library, "https://no-such-host.invalid:8443/dav/")
    assert found.message == "https://no-such-host.invalid:8443 cannot be resolved"
    assert "DNS" in found.hint
    with silent() as port:
        assert "does not answer in time" in problem(library, f"http://127.0.0.1:{port}/").message


@LIBRARIES
def test_an_authority_that_cannot_be_read(library: ModuleType, tmp_path: Path) -> None:
    with replying(b"") as server:
        missing = tmp_path / "missing.pem"
        found = problem(library, f"https://{server}/", cacert=missing)
        assert "does not exist" in found.message
        assert str(missing) in found.message
        assert "WEBDAV_CACERT" in found.hint
        (tmp_path / "bad.pem").write_text("no certificate")
        assert "contains no certificate" in problem(library, f"https://{server}/", cacert=tmp_path / "bad.pem").message


@LIBRARIES
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_proxies(library: ModuleType, scheme: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = variable.replace("HTTP_", f"{scheme.upper()}_")

    def through(proxy: str) -> TransportProblem:
        monkeypatch.setenv(variable, proxy)
        return problem(library, f"{scheme}://images.invalid/dav/", proxy=proxy)

    port = free_port()
    found = through(f"http://alice:s3cret@127.0.0.1:{port}")
    assert found.message == f"The proxy http://127.0.0.1:{port} does not answer"
    assert found.hint.startswith(f"Correct {variable}, or name images.invalid in NO_PROXY")
    assert "cannot be resolved" in through("http://no-such-proxy.invalid:3128").message
    assert "cannot be used" in through("socks5://127.0.0.1:1080").message
    if scheme == "https":
        with replying(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as server:
            found = through(f"http://{server}")
            assert found == proxy_rejected(Peer("https://images.invalid/", "", ""))
            assert "requires a user name and password" in found.message
            assert f"{variable} (http://USER" in found.hint
            assert found.permanent
        with replying(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n") as server:
            found = through(f"http://{server}")
            assert "does not connect to https://images.invalid (503 Service Unavailable)" in found.message
            assert not found.permanent
        with replying(BAD_REQUEST) as server:
            assert "does not speak TLS" in through(f"https://{server}").message


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "not valid yet"),
        (10, "expired"),
        (18, "is not trusted"),
        (19, "is not trusted"),
        (20, "is not trusted"),
        (21, "is not trusted"),
        (23, "is not accepted (its words)"),
        (62, "another host name"),
        (64, "another host name"),
    ],
)
def test_every_verdict_on_a_certificate_has_its_own_words(code: int, words: str) -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = code, "its words"
    found = explain(requests.exceptions.SSLError(error), Peer("https://host/", "VAULT_ADDR", "VAULT_CACERT"))
    assert words in found.message
    assert found.permanent
    # Only an unknown authority is mended by naming it.
    assert ("VAULT_CACERT" in found.hint) == ("is not trusted" in words)


def test_a_wrong_authority_is_named() -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = 20, "unable to get local issuer certificate"
    found = explain(error, Peer("https://host/", "VAULT_ADDR", "VAULT_CACERT", Path("/other.pem")))
    assert "is not trusted: /other.pem does not contain its certificate authority" in found.message
