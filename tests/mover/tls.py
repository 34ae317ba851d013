"""A server behind a proxy that ends TLS and passes on what it gets, with a certificate authority of its own."""

import contextlib
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest


class HasUrl(Protocol):
    """A server that speaks plain http."""

    @property
    def url(self) -> str: ...


@contextlib.contextmanager
def tls_front(server: HasUrl, folder: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server before another, and the file with the authority that vouches for it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    folder.mkdir()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    new = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, *new.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    behind = urlsplit(server.url)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # A client that does not trust the certificate hangs up.
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection((behind.hostname or "", behind.port or 0)) as plain,
            ):
                back = threading.Thread(target=_pass_on, args=(plain, client))
                back.start()
                _pass_on(client, plain)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as front:
        thread = threading.Thread(target=front.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{front.server_address[1]}/", certificate
        front.shutdown()
        thread.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(2**16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
