"""A proxy that makes a server on loopback as far away as one across a network; it limits no throughput.

Every byte arrives a given time later, each way. A TCP handshake takes one round trip before the first byte may be sent:
that time is added to the first bytes of a connection, since on loopback the handshake itself takes none.

python -m tests.bench.proxy PORT SECONDS  (each way; prints its own port, ends with its standard input)
"""

import asyncio
import contextlib
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator

HOST = "127.0.0.1"
# The loop wakes up at whole milliseconds, rounded up: half of one too late on average.
_TOO_LATE = 0.0005


class End(asyncio.Protocol):
    """One end of a connection: what comes in here goes out at the `other` end `delay` seconds later, in order.

    Args:
        not_before: when the first bytes may set out, by the loop's clock.
    """

    def __init__(self, delay: float, not_before: float = 0.0) -> None:
        self.other: End | None = None
        self._loop = asyncio.get_running_loop()
        self._delay = delay - _TOO_LATE
        self._not_before = not_before
        self._under_way: deque[Callable[[End], None]] = deque()
        self._waiting: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        for data in self._waiting:
            transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._set_out(lambda end: end.put(data))

    def connection_lost(self, _error: Exception | None) -> None:
        self._set_out(End.close)

    def _set_out(self, arrive: Callable[["End"], None]) -> None:
        self._under_way.append(arrive)
        self._loop.call_at(max(self._loop.time(), self._not_before) + self._delay, self._arrive)

    def _arrive(self) -> None:
        assert self.other is not None
        self._under_way.popleft()(self.other)

    def put(self, data: bytes) -> None:
        """Send out here what has arrived; kept while this end is not connected yet."""
        if self._transport is None:
            self._waiting.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """The other end has hung up."""
        if self._transport is not None:
            self._transport.close()


async def _serve(port: int, delay: float) -> None:
    loop = asyncio.get_running_loop()
    under_way = set()

    def connected() -> End:
        near, far = End(delay, loop.time() + 2 * delay), End(delay)
        near.other, far.other = far, near
        connecting = loop.create_task(loop.create_connection(lambda: far, HOST, port))
        under_way.add(connecting)
        connecting.add_done_callback(under_way.discard)
        return near

    server = await loop.create_server(connected, HOST, 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - read by its caller
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def delayed(port: int, delay: float) -> Iterator[int]:
    """Run the proxy in a process of its own; gives its port."""
    command = [sys.executable, "-m", "tests.bench.proxy", str(port), str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
