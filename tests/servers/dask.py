"""A Dask cluster of processes on loopback: a scheduler, and workers that nobody restarts."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import trustme

from tests.servers.program import free_port

_WHO = ("scheduler", "worker", "client")


class DaskCluster:
    """A scheduler and its workers.

    Args:
        folder: for logs and temporary files.
        tls: Dask's settings for TLS; None for a cluster without.

    Attributes:
        workers: those that were started, in order.
    """

    def __init__(self, folder: Path, tls: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._tls = {f"DASK_{name.upper().replace('.', '__')}": value for name, value in (tls or {}).items()}
        self.address = f"{'tls' if tls else 'tcp'}://127.0.0.1:{free_port()}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._scheduler: subprocess.Popen[bytes] | None = None

    def start_scheduler(self) -> None:
        """Start the scheduler, also again at its address."""
        port = self.address.rpartition(":")[2]
        protocol = self.address.partition(":")[0]
        self._scheduler = self._start("scheduler", "--protocol", protocol, "--host", "127.0.0.1", "--port", port)

    def kill_scheduler(self) -> None:
        """Kill the scheduler; workers end with it."""
        assert self._scheduler
        _kill(self._scheduler)

    def add_worker(self, threads: int = 1) -> None:
        """Start a worker."""
        options = ["--nthreads", str(threads), "--no-nanny", "--memory-limit", "2GiB", "--death-timeout", "200"]
        self.workers.append(self._start("worker", self.address, *options, "--local-directory", str(self._folder)))

    def kill_worker(self, number: int) -> None:
        """Kill a worker at once."""
        _kill(self.workers[number])

    def freeze_worker(self, number: int) -> None:
        """Let a worker hang."""
        self.workers[number].send_signal(signal.SIGSTOP)

    @property
    def said(self) -> str:
        """All that scheduler and workers logged."""
        return (self._folder / "dask.log").read_text()

    @property
    def registered(self) -> int:
        """How many workers have been there so far."""
        return self.said.count("Register worker addr")

    def close(self) -> None:
        """Kill everything."""
        for process in [*self.workers, *filter(None, [self._scheduler])]:
            _kill(process)

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        with (self._folder / "dask.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *options, "--no-dashboard"],
                env={
                    **os.environ,
                    **self._tls,
                    "TMPDIR": str(self._folder),
                    "DASK_LOGGING__DISTRIBUTED": "debug",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def tls_settings(folder: Path) -> dict[str, str]:
    """Dask's settings for TLS, with certificates of an authority of the tests' own."""
    authority, certificate = trustme.CA(), folder / "certificate.pem"
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    at = "distributed.comm.tls"
    files = {f"{at}.{who}.{what}": str(certificate) for who in _WHO for what in ("cert", "key")}
    return {f"{at}.ca-file": str(folder / "authority.pem"), **files}


@contextlib.contextmanager
def dask_cluster(folder: Path, workers: int, tls: Mapping[str, str] | None = None) -> Iterator[DaskCluster]:
    """A cluster with so many workers; they may still be starting."""
    folder.mkdir()
    cluster = DaskCluster(folder, tls)
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.close()
