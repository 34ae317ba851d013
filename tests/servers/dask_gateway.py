"""A Dask gateway on loopback with its local backend; its clusters run this Python."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask.config
from dask_gateway import Gateway

from tests.faults.daemon_env import until
from tests.servers import venv
from tests.servers.program import answers, free_port

PACKAGES = ("dask-gateway-server[local]>=2026.3",)
CONFIG = """
c = get_config()
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.DaskGateway.address = "127.0.0.1:{private}"
c.Proxy.address = "127.0.0.1:{public}"
c.UnsafeLocalBackend.clusters_directory = {folder!r}
c.ClusterConfig.scheduler_cmd = [{python!r}, "-m", "distributed.cli.dask_scheduler"]
c.ClusterConfig.worker_cmd = [{python!r}, "-m", "distributed.cli.dask_worker"]
"""


class GatewayCluster:
    """The only cluster of a gateway.

    Attributes:
        address: as --dask takes it.
    """

    address = "gateway"

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    @property
    def said(self) -> str:
        """All that the gateway, the scheduler and the workers logged."""
        files = [self._folder / "gateway.log", *(self._folder / self._name / "logs").glob("*.log")]
        return "".join(file.read_text() for file in files)

    def kill_worker(self, number: int) -> None:
        """Kill a worker at once, with the nanny that would start it again."""
        for process in sorted(self._workers())[number]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _workers(self) -> Iterator[list[int]]:
        """The processes of each worker: they are in a session of its own."""
        sessions: dict[int, list[int]] = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (process / "environ").read_bytes()
                if f"DASK_GATEWAY_CLUSTER_NAME={self._name}\0".encode() in environment:
                    sessions.setdefault(os.getsid(int(process.name)), []).append(int(process.name))
        for session, processes in sessions.items():
            if b"dask_worker" in Path(f"/proc/{session}/cmdline").read_bytes():
                yield processes


@contextlib.contextmanager
def dask_gateway(folder: Path, workers: int) -> Iterator[GatewayCluster]:
    """A gateway with one cluster of so many workers; they may still be starting."""
    folder.mkdir()
    public = free_port()
    config = folder / "config.py"
    config.write_text(CONFIG.format(private=free_port(), public=public, folder=str(folder), python=str(sys.executable)))
    address = f"http://127.0.0.1:{public}"
    program = venv.environment("dask-gateway", PACKAGES) / "venv/bin/dask-gateway-server"
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "gateway.log").open("w"))
        server = subprocess.Popen([program, "-f", config], cwd=folder, stdout=log, stderr=log)
        stack.callback(server.wait, 60)
        stack.callback(server.terminate)
        until(lambda: answers(f"{address}/api/health"), 60)
        # Where `Gateway()` looks for it.
        stack.enter_context(dask.config.set({"gateway.address": address, "gateway.proxy-address": None}))
        name = asyncio.run(_start(workers))
        stack.callback(lambda: asyncio.run(_stop(name)))
        yield GatewayCluster(folder, name)


async def _start(workers: int) -> str:
    async with Gateway(asynchronous=True) as gateway:
        name: str = await gateway.submit()
        async with gateway.connect(name, shutdown_on_close=False) as cluster:
            await cluster.scale(workers)
        return name


async def _stop(name: str) -> None:
    async with Gateway(asynchronous=True) as gateway:
        await gateway.stop_cluster(name)
