"""Messages to systemd, if it started this process and waits for them: sd_notify(3)."""

import os
import socket
import threading

from shared.shutdown import StopToken


def notify(state: str) -> None:
    """Send a message such as READY=1; without systemd nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        # An @ means the zero byte of an abstract address.
        sender.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)


def start_watchdog(stop: StopToken) -> None:
    """Report at regular intervals that this process runs, until it is asked to stop.

    A long poll is not a reason for a restart, so only a process that is completely stuck falls silent.
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal():
        return

    def ping() -> None:
        while not stop.pause(int(microseconds) / 2e6):
            notify("WATCHDOG=1")

    threading.Thread(target=ping, name="watchdog", daemon=True).start()
