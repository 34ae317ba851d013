"""A web server that answers whatever a test wants."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What it gets.

    Attributes:
        length: what Content-Length says; the body's if None. More than that, and the connection breaks off.
        drips: after the body one byte follows another, slowly, until the client hangs up.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    drips: bool = False


@dataclass
class Canned:
    """A running server.

    Attributes:
        answer: gives the answer to each request; may be exchanged.
        asked: the requests so far.
        connected: how many connections are open.
    """

    url: str
    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    connected: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    canned: ClassVar[Canned]

    def handle(self) -> None:
        self.canned.connected += 1
        try:
            super().handle()
        finally:
            self.canned.connected -= 1

    def handle_one_request(self) -> None:
        with contextlib.suppress(OSError):
            super().handle_one_request()

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._reply
        raise AttributeError(name)

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path, dict(self.headers.items()), body)
        self.canned.asked.append(asked)
        answer = self.canned.answer(asked)
        # The other one sends a date of its own.
        send = self.send_response_only if "Date" in answer.headers else self.send_response
        send(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        self.wfile.write(answer.body)
        while answer.drips:
            time.sleep(0.05)
            self.wfile.write(b" ")
        if answer.length is not None and answer.length > len(answer.body):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Else the end waits for connections that clients keep.
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextlib.contextmanager
def canned(answer: Callable[[Asked], Answer], tls: ssl.SSLContext | None = None) -> Iterator[Canned]:
    """Answer every request as the function says.

    Args:
        tls: the certificate to show; None for plain http.
    """
    handler: Any = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls:
            # The handshake is made by the first read, in the thread of the connection.
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https" if tls else "http"
        running = handler.canned = Canned(f"{scheme}://127.0.0.1:{server.server_address[1]}/", answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
