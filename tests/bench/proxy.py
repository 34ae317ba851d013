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


class Link:
    """One direction of a connection: what comes in goes out `delay` seconds later, in order."""

    def __init__(self, delay: float, not_before: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay = delay
        self._not_before = not_before
        self._under_way: deque[Callable[[], None]] = deque()

    def deliver(self, act: Callable[[], None]) -> None:
        """Let something happen at the other end when it has travelled there."""
        self._under_way.append(act)
        arrives = max(self._loop.time(), self._not_before) + self._delay
        self._loop.call_at(arrives, lambda: self._under_way.popleft()())


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(2**18):
            link.deliver(lambda data=data: writer.write(data))  # type: ignore[misc]
    link.deliver(writer.close)


async def _serve(port: int, delay: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = asyncio.get_running_loop().time() + 2 * delay
        there_reader, there_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(
            _pump(reader, there_writer, Link(delay, ready)), _pump(there_reader, writer, Link(delay, ready))
        )

    server = await asyncio.start_server(connected, HOST, 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


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
