"""Metrics for Prometheus, and the health of a daemon; imported only if an option asks for them.

Names and units follow https://prometheus.io/docs/practices/naming/; no label holds a name or an address.
"""

import platform
import socket
import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, override

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    MetricsHandler,
    ProcessCollector,
    write_to_textfile,
)

from shared.errors import ErrorPolicy, Failure
from shared.events.event import Event, Kind
from shared.retry import RequestObserver

_PREFIX = "jupyterhub_images"
_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_OUTCOMES = (Kind.UPSCALED, Kind.FILED, Kind.RECOVERED, Kind.SKIPPED, Kind.CHANGED, Kind.FAILED)
# Seconds, in addition to three periods: the longest pause after failed polls, and a large image or a slow request.
_PATIENCE = 600.0


class PortTaken(Failure):
    """The daemon cannot listen on the address for the metrics."""

    policy = ErrorPolicy.FATAL


class Metrics(RequestObserver):
    """The metrics of one daemon; a sink for its events.

    Args:
        frequency: seconds from the start of one poll to the start of the next.
        file: also written after each poll, for node_exporter's textfile collector.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        daemon: str,
        version: str,
        frequency: float,
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = CollectorRegistry()
        self._file = file
        self._clock = clock
        self._alive_at = clock()
        self._longest_silence = 3 * frequency + _PATIENCE
        ProcessCollector(registry=self.registry)

        # Two daemons may write into one folder of node_exporter, so every series names its own.
        def made[T: (Counter, Gauge, Histogram)](kind: type[T], name: str, text: str, *labels: str, **more: Any) -> T:
            return kind(f"{_PREFIX}_{name}", text, ("daemon", *labels), registry=self.registry, **more)

        self._images = made(Counter, "images_total", "Images by what happened to them.", "outcome")
        self._stages = made(
            Histogram, "stage_duration_seconds", "Time that one image took, by stage.", "stage", buckets=_BUCKETS
        )
        self._bytes = made(Counter, "transferred_bytes_total", "Bytes of images, by direction.", "direction")
        self._requests = made(
            Counter, "requests_total", "Requests to the image server, by method and status.", "method", "status"
        )
        self._retries = made(Counter, "retries_total", "Requests that were sent again after a pause.")
        self._polls = made(Counter, "polls_total", "Polls by outcome.", "outcome")
        self._skipped = made(Gauge, "skipped_images", "Images that are skipped until they change.")
        self._in_flight = made(Gauge, "images_in_flight", "Images that are being processed.")
        self._workers = made(Gauge, "dask_workers", "Workers of the Dask cluster at the last poll.")
        self._last_poll = made(Gauge, "last_poll_timestamp_seconds", "When the last poll ended.")
        self._last_success = made(Gauge, "last_success_timestamp_seconds", "When the last poll ended without an error.")
        self._interval = made(Gauge, "poll_interval_seconds", "Time from the start of one poll to the next.")
        self._token = made(
            Gauge, "vault_token_expiry_timestamp_seconds", "When the Vault token expires; absent if it does not."
        )
        build = made(Gauge, "build_info", "Version of the program and of Python.", "version", "python")
        build.labels(daemon, version, platform.python_version()).set(1)
        self._daemon = daemon
        self._interval.labels(daemon).set(frequency)
        for outcome in _OUTCOMES:
            self._images.labels(daemon, outcome)
        for series in (self._retries, self._skipped, self._in_flight):
            series.labels(daemon)
        for ending in ("success", "failure"):
            self._polls.labels(daemon, ending)

    @override
    def __str__(self) -> str:
        return f"The file of metrics {self._file}"

    def add(self, event: Event) -> None:
        """Count an event.

        Raises:
            OSError: the file of metrics could not be written.
        """
        self._progress()
        if event.kind in _OUTCOMES:
            self._images.labels(self._daemon, event.kind).inc()
        if event.kind is Kind.UPSCALED:
            for stage, seconds in event.seconds.items():
                self._stages.labels(self._daemon, stage).observe(seconds)
            self._bytes.labels(self._daemon, "downloaded").inc(event.bytes_before)
            self._bytes.labels(self._daemon, "uploaded").inc(event.bytes_after)
        if event.kind is Kind.POLLED:
            self._polled(event)
        if event.watch is not None and event.watch.workers is not None:
            self._workers.labels(self._daemon).set(event.watch.workers)
        if self._file is not None and event.kind in (Kind.STARTED, Kind.POLLED, Kind.STOPPED):
            write_to_textfile(str(self._file), self.registry)

    def _polled(self, event: Event) -> None:
        now = event.time.timestamp()
        self._last_poll.labels(self._daemon).set(now)
        self._polls.labels(self._daemon, "failure" if event.reason else "success").inc()
        if not event.reason:
            self._last_success.labels(self._daemon).set(now)
            self._skipped.labels(self._daemon).set(event.skipped)

    @override
    def answered(self, method: str, status: int) -> None:
        self._progress()
        self._requests.labels(self._daemon, method, str(status)).inc()

    @override
    def repeated(self) -> None:
        self._progress()
        self._retries.labels(self._daemon).inc()

    @override
    def in_flight(self, images: int) -> None:
        self._in_flight.labels(self._daemon).inc(images)

    @override
    def token_expires(self, timestamp: float | None) -> None:
        if timestamp is not None:
            self._token.labels(self._daemon).set(timestamp)

    def _progress(self) -> None:
        """Note progress: a poll ended, an image was done, a request was answered or is about to be repeated."""
        self._alive_at = self._clock()

    @property
    def healthy(self) -> bool:
        """Whether polls end or make progress; an unreachable server does not count against it."""
        return self.silent_for <= self._longest_silence

    @property
    def silent_for(self) -> float:
        """Seconds since the last progress."""
        return self._clock() - self._alive_at


class _Handler(MetricsHandler):
    """Serves /metrics and /healthz."""

    metrics: Metrics

    @override
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            super().do_GET()
        elif path == "/healthz":
            healthy, silent = self.metrics.healthy, self.metrics.silent_for
            text = f"{'ok' if healthy else 'no poll has ended'}: last progress {silent:.0f} s ago\n"
            self._answer(200 if healthy else 503, text)
        else:
            self._answer(404, "/metrics or /healthz\n")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(metrics: Metrics, host: str, port: int) -> tuple[str, int]:
    """Serve the metrics from a thread that ends with the process; return address and port.

    Raises:
        PortTaken: something else listens there already, or the address does not belong to this machine.
    """
    handler = type("Handler", (_Handler,), {"registry": metrics.registry, "metrics": metrics})
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = type("Server", (ThreadingHTTPServer,), {"address_family": family, "daemon_threads": True})
    try:
        server: ThreadingHTTPServer = kind((host, port), handler)
    except OSError as error:
        raise PortTaken(
            f"Metrics cannot be served on {host}:{port} ({error.strerror})",
            "Another daemon may use this port: give each its own with --metrics-port.",
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    bound = server.server_address
    return str(bound[0]), int(bound[1])
