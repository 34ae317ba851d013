"""A proxy on loopback in front of any server, which lets each request through, holds it, or injects a fault."""

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"
# Nothing in the tests takes so long; what does is a bug in them.
TIMEOUT = 30.0
_BETWEEN_TWO = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Gone(Exception):
    """The connection to the client is over."""


@dataclass(frozen=True)
class Request:
    """What a client asks, without its body.

    Attributes:
        number: from 1 on, in the order of arrival.
        path: decoded, as the server's own.
        destination: of a MOVE, the same way; empty for others.
        headers: by name in lower case.
    """

    number: int
    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return unquote(self.target)

    @property
    def destination(self) -> str:
        return unquote(urlsplit(self.headers.get("destination", "")).path)


@dataclass
class Answer:
    """What the server says, or what is said in its place."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def head(self, length: int | None = None) -> bytes:
        """Status line and headers; `length` in the place of the body's own."""
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.status not in (204, 304):
            lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Wire:
    """The connection to one client."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def receive_head(self) -> bytes:
        """Everything up to the empty line."""
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return head

    def receive(self, size: int) -> bytes:
        """So many bytes."""
        while len(self._received) < size:
            self._receive()
        data, self._received = self._received[:size], self._received[size:]
        return data

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        self._received += data

    def send(self, data: bytes) -> None:
        """Send; the client may have gone away meanwhile."""
        try:
            self._socket.sendall(data)
        except OSError:
            raise Gone from None

    def silence(self) -> None:
        """Say nothing until the client gives up."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(TIMEOUT)
            while self._socket.recv(1 << 16):
                pass
        raise Gone

    def close(self) -> None:
        """End the connection as usual."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def reset(self) -> None:
        """End the connection by a reset, which drops what is still on its way."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Wakes whoever waits for data, which closing alone does not.
            self._socket.shutdown(socket.SHUT_RD)
        self._socket.close()


class Exchange:
    """One request on its way: a fault decides what becomes of it."""

    def __init__(self, proxy: "Proxy", wire: Wire, request: Request) -> None:
        self.proxy = proxy
        self.wire = wire
        self.request = request
        self._unread = int(request.headers.get("content-length", "0"))
        self._body = b""

    def forward(self, change: Callable[[bytes], bytes] = bytes) -> Answer:
        """Let the request take effect; what the server answers. Its body may be changed on the way."""
        self._body += self.wire.receive(self._unread)
        self._unread = 0
        return self.proxy.ask(self.request, change(self._body))

    def postpone(self) -> Callable[[], Answer]:
        """Keep the request, as a network may; what is returned lets it take effect."""
        self._body += self.wire.receive(self._unread)
        self._unread = 0
        return lambda: self.proxy.ask(self.request, self._body)

    def forward_half(self) -> socket.socket:
        """Send the server half of the body; the connection, on which it waits for the rest."""
        half = self._unread // 2
        self._body = self.wire.receive(half)
        self._unread -= half
        upstream = self.proxy.connect_upstream()
        upstream.sendall(self.proxy.head(self.request) + self._body)
        return upstream

    def answer(self, answer: Answer) -> None:
        """Answer the client, whose body was read."""
        self.wire.receive(self._unread)
        self._unread = 0
        self.wire.send(answer.head() + answer.body)


type Fault = Callable[[Exchange], None]
"""Does with an exchange what it likes, and ends it by an answer or by raising Gone."""

type Rule = Callable[[Request], Fault | None]
"""What happens to a request; None where it is let through."""


class Proxy:
    """Stands before the server at `url`, from `with` to its end.

    Attributes:
        url: the same address, through the proxy.
        rule: says what happens to each request.
        requests: all so far.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._upstream = (parts.hostname, parts.port)
        self._path = parts.path
        self.rule: Rule | None = None
        self.requests: list[Request] = []
        self._wires: set[Wire] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}{self._path}"

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()
        for thread in self._threads:
            thread.join(TIMEOUT)

    def up(self) -> None:
        """Listen, on the port of the last time if there was one."""
        if self._listener is not None:
            return
        self._listener = socket.create_server((HOST, self._port), backlog=64)
        self._port = self._listener.getsockname()[1]
        self._run(self._accept, self._listener)

    def down(self) -> None:
        """Reject connections, and break off those that there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.break_off()

    def break_off(self) -> None:
        """Break off every connection that there is."""
        with self._lock:
            wires = list(self._wires)
        for wire in wires:
            wire.reset()

    def ask(self, request: Request, body: bytes) -> Answer:
        """Ask the server itself."""
        with self.connect_upstream() as upstream:
            upstream.sendall(self.head(request, len(body)) + body)
            response = http.client.HTTPResponse(upstream, method=request.method)
            response.begin()
            data = response.read()
            headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _BETWEEN_TWO]
            return Answer(response.status, headers, data)

    def connect_upstream(self) -> socket.socket:
        """A connection to the server."""
        return socket.create_connection(self._upstream, timeout=TIMEOUT)

    def head(self, request: Request, length: int | None = None) -> bytes:
        """What the server is sent before the body: the same, as if it had been asked itself; or of another length."""
        there = f"{self._upstream[0]}:{self._upstream[1]}"
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
        if "destination" in headers:
            headers["destination"] = headers["destination"].replace(f"{HOST}:{self._port}", there)
        if length is not None and "content-length" in headers:
            headers["content-length"] = str(length)
        lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {there}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _run(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="proxy", daemon=True)
        self._threads = [known for known in self._threads if known.is_alive()] + [thread]
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._run(self._serve, Wire(connection))

    def _serve(self, wire: Wire) -> None:
        with self._lock:
            self._wires.add(wire)
        try:
            while self._listener is not None:
                exchange = Exchange(self, wire, self._next(wire.receive_head()))
                fault = self.rule(exchange.request) if self.rule else None
                if fault is None:
                    exchange.answer(exchange.forward())
                else:
                    fault(exchange)
        except (Gone, OSError, http.client.HTTPException):
            pass
        finally:
            wire.close()
            with self._lock:
                self._wires.discard(wire)

    def _next(self, head: bytes) -> Request:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        with self._lock:
            request = Request(len(self.requests) + 1, method, target, headers)
            self.requests.append(request)
        return request


class Hold:
    """A fault that holds one request, before or after it took effect, until the test decides.

    Attributes:
        request: what is held.
    """

    def __init__(self, *, after: bool) -> None:
        self._after = after
        self._held = threading.Event()
        self._go = threading.Event()
        self._dropped = False
        self.request: Request | None = None

    def __call__(self, exchange: Exchange) -> None:
        self.request = exchange.request
        answer = exchange.forward() if self._after else None
        self._held.set()
        assert self._go.wait(TIMEOUT), "a held request was forgotten"
        if self._dropped:
            raise Gone
        exchange.answer(answer or exchange.forward())

    def wait(self, seconds: float = TIMEOUT) -> bool:
        """Wait until the request is there; False if it does not come."""
        return self._held.wait(seconds)

    def let_go(self) -> None:
        """Let it take effect, if it has not, and answer."""
        self._go.set()

    def drop(self) -> None:
        """Let it vanish; what took effect stays."""
        self._dropped = True
        self._go.set()


@contextlib.contextmanager
def faulty(proxy: Proxy, rule: Rule) -> Iterator[None]:
    """Inject faults by a rule for as long as the block lasts."""
    proxy.rule = rule
    try:
        yield
    finally:
        proxy.rule = None
        proxy.up()
