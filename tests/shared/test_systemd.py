"""What systemd is told: a real socket, as sd_notify(3) describes it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.scheduler import PollLoop
from shared.shutdown import StopToken
from shared.systemd import notify, start_watchdog


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield receiver


def test_a_daemon_is_ready_once_when_its_settings_were_read(manager: socket.socket) -> None:
    loop = PollLoop(StopToken(), 30, once=False)
    assert loop.auth_allowed("account")
    assert manager.recv(100) == b"READY=1"
    assert loop.auth_allowed("account")
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_the_watchdog_is_fed_until_the_daemon_is_asked_to_stop(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    stop = StopToken()
    start_watchdog(stop)
    assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    stop.request()


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    start_watchdog(StopToken())
