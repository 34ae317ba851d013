"""Metrics and health of a daemon."""

import re
import subprocess
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.events.event import Event, Kind, Watch
from shared.metrics import Metrics, PortTaken, serve
from tests.fake_time import FakeTime
from tests.servers.program import need


def get(address: tuple[str, int], path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def filled(file: Path | None = None) -> Metrics:
    metrics = Metrics("scaler", "0.1.0", 30, file)
    metrics.add(
        Event(
            kind=Kind.UPSCALED,
            name="Unknown secret name.jpg",
            seconds={"download": 0.3, "compute": 2.0, "upload": 0.4, "publish": 0.1},
            bytes_before=1000,
            bytes_after=3000,
        )
    )
    metrics.add(Event(kind=Kind.SKIPPED, name="b", reason="damaged"))
    metrics.add(Event(kind=Kind.POLLED, skipped=7, time=datetime.fromtimestamp(1_700_000_000, UTC)))
    metrics.add(Event(kind=Kind.POLLED, reason="gone", time=datetime.fromtimestamp(1_700_000_060, UTC)))
    metrics.answered("PUT", 201)
    metrics.repeated()
    metrics.token_expires(1_800_000_000.0)
    for images in (1, 1, 1, -1):
        metrics.in_flight(images)
    metrics.add(Event(kind=Kind.STARTED, watch=Watch(account="alice", folders=("raw",), frequency=30, workers=4)))
    return metrics


def test_what_is_served() -> None:
    status, text = get(serve(filled(), "127.0.0.1", 0), "/metrics")
    assert status == 200
    for line in (
        'jupyterhub_images_images_total{daemon="scaler",outcome="upscaled"} 1.0',
        'jupyterhub_images_images_total{daemon="scaler",outcome="skipped"} 1.0',
        'jupyterhub_images_images_total{daemon="scaler",outcome="failed"} 0.0',
        'jupyterhub_images_stage_duration_seconds_sum{daemon="scaler",stage="compute"} 2.0',
        'jupyterhub_images_stage_duration_seconds_count{daemon="scaler",stage="publish"} 1.0',
        'jupyterhub_images_transferred_bytes_total{daemon="scaler",direction="uploaded"} 3000.0',
        'jupyterhub_images_requests_total{daemon="scaler",method="PUT",status="201"} 1.0',
        'jupyterhub_images_retries_total{daemon="scaler"} 1.0',
        'jupyterhub_images_skipped_images{daemon="scaler"} 7.0',
        'jupyterhub_images_images_in_flight{daemon="scaler"} 2.0',
        'jupyterhub_images_dask_workers{daemon="scaler"} 4.0',
        'jupyterhub_images_last_poll_timestamp_seconds{daemon="scaler"} 1.70000006e+09',
        'jupyterhub_images_last_success_timestamp_seconds{daemon="scaler"} 1.7e+09',
        'jupyterhub_images_vault_token_expiry_timestamp_seconds{daemon="scaler"} 1.8e+09',
        'jupyterhub_images_polls_total{daemon="scaler",outcome="failure"} 1.0',
    ):
        assert line in text.splitlines()
    assert re.search(
        r'^jupyterhub_images_build_info\{daemon="scaler",python="3[.]\d+[.]\d+.*",version="0.1.0"\} 1.0$',
        text,
        re.MULTILINE,
    )
    assert "secret name" not in text


def test_a_daemon_whose_polls_end_is_healthy_and_one_that_hangs_is_not() -> None:
    now = FakeTime(0.0)
    metrics = Metrics("mover", "0.1.0", 30, clock=now.clock)
    address = serve(metrics, "127.0.0.1", 0)
    assert get(address, "/healthz")[0] == 200
    now.now += 600
    metrics.add(Event(kind=Kind.POLLED, reason="No connection"))
    now.now += 600
    assert get(address, "/healthz")[0] == 200
    now.now += 700
    status, text = get(address, "/healthz")
    assert status == 503
    assert text.startswith("no poll has ended")
    metrics.answered("GET", 200)
    assert get(address, "/healthz")[0] == 200


def test_nothing_else_is_served() -> None:
    assert get(serve(filled(), "127.0.0.1", 0), "/")[0] == 404


def test_ipv6_loopback() -> None:
    host, port = serve(filled(), "::1", 0)
    assert get((f"[{host}]", port), "/healthz")[0] == 200


def test_a_port_that_is_taken_is_named() -> None:
    _, port = serve(filled(), "127.0.0.1", 0)
    with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port} .*--metrics-port"):
        serve(filled(), "127.0.0.1", port)


def test_the_file_for_node_exporter(tmp_path: Path) -> None:
    file = tmp_path / "scaler.prom"
    filled(file=file)
    assert 'skipped_images{daemon="scaler"} 7.0' in file.read_text()
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.server
def test_promtool_finds_nothing_to_say() -> None:
    promtool = need("promtool")
    _, text = get(serve(filled(), "127.0.0.1", 0), "/metrics")
    found = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
