"""What happened between the recorded requests, by hand or by requests that were not recorded."""

import hashlib
import os
import socket
import struct
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime

import requests

from sandbox.nextcloud import Nextcloud

DAY = "2026-11-22"
SLOW_PUT_SIZE = 200_000


class Scenario:
    """The sandbox, a clock that shows the recorded time, and the request that is in progress."""

    def __init__(self, day: str) -> None:
        self.day = day
        self.now = 0.0
        self.nextcloud = Nextcloud(user="alice", clock=lambda: self.now)
        self._slow: socket.socket | None = None

    def at(self, time: str) -> None:
        """Set the clock, to "16:58:01" of the recording's day."""
        self.now = datetime.fromisoformat(f"{self.day}T{time}").replace(tzinfo=UTC).timestamp()

    def file(self, time: str, path: str, content: bytes | int, *tags: str) -> None:
        """Create a file at a time, with this content or of this size, and with tags."""
        self.at(time)
        target = self.nextcloud.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else bytes(content))
        os.utime(target, (self.now, self.now))
        self.nextcloud.file_id(path)
        for tag in tags:
            self.nextcloud.tag(path, tag)

    def folder(self, time: str, path: str) -> None:
        """Create a folder at a time."""
        self.at(time)
        (self.nextcloud.folder / path).mkdir()
        self.nextcloud.file_id(path)

    def begin_put(self, path: str, size: int) -> socket.socket:
        """Send the head of a PUT and half of its body."""
        connection = socket.create_connection(("127.0.0.1", int(self.nextcloud.url.rpartition(":")[2])), timeout=20)
        login = b64encode(f"{self.nextcloud.user}:{self.nextcloud.password}".encode()).decode()
        lines = (
            f"PUT /remote.php/dav/files/alice/{path} HTTP/1.1",
            "Host: sandbox",
            f"Authorization: Basic {login}",
            f"Content-Length: {size}",
        )
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + b"s" * (size // 2))
        return connection

    def begin_slow_put(self) -> None:
        """Send half of a PUT onto K/l.txt, and wait until the server is in the middle of it."""
        self._slow = self.begin_put("K/l.txt", SLOW_PUT_SIZE)
        while not any(parent.name == "K" for parent, _ in list(self.nextcloud._account.being_written)):
            pass

    def end_slow_put(self) -> None:
        """Send the rest of the slow PUT."""
        assert self._slow
        self._slow.sendall(b"s" * (SLOW_PUT_SIZE - SLOW_PUT_SIZE // 2))
        assert b" 204 " in self._slow.recv(1000)
        self._slow.close()

    def cut_off(self, path: str, *, reset: bool) -> None:
        """Cut a PUT off by closing or resetting the connection, and wait until the server has noticed."""
        seen = len(self.nextcloud.requests)
        connection = self.begin_put(path, 1000)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.shutdown(socket.SHUT_WR)
            assert b" 400 " in connection.recv(1000)
        connection.close()
        while len(self.nextcloud.requests) == seen:
            pass


def _photos(scenario: Scenario) -> None:
    scenario.folder("16:52:34", "Photos")
    for name, size in (("one", 9015), ("two", 8514), ("three", 9288)):
        scenario.file("16:52:34", f"Photos/{name}.png", size)
    scenario.folder("16:52:34", "Photos/sub")


def _tags_of_the_administrator(scenario: Scenario) -> None:
    scenario.nextcloud.create_tag("restricted", user_assignable=False)
    scenario.nextcloud.create_tag("invisible", user_assignable=False, user_visible=False)


def _tagged_images(scenario: Scenario) -> None:
    scenario.at("16:52:53")
    scenario.nextcloud.untag("Photos", "queued")
    scenario.nextcloud.tag("Photos/one.png", "queued")
    scenario.nextcloud.tag("Photos/two.png", "queued")


def _tagged_files(scenario: Scenario) -> None:
    scenario.file("16:58:01", "Other/far.txt", b"far", "queued")
    scenario.file("16:58:02", "Photos/sub/deep.png", 9017, "queued")
    scenario.file("16:58:03", "Photos2/near.txt", b"near", "queued")
    scenario.nextcloud.tag("Photos/one.png", "done")


def _written_in_other_ways(scenario: Scenario) -> None:
    scenario.file("16:58:41", "F/te.txt", 5)
    scenario.file("16:58:41", "F/ct.txt", 12)
    scenario.file("16:58:41", "F/auto/deep/p.txt", 12)
    nextcloud, content = scenario.nextcloud, b"content one\n"
    headers = {"OC-Checksum": f"SHA256:{hashlib.sha256(content).hexdigest()}"}
    login = (nextcloud.user, nextcloud.password)
    requests.put(f"{nextcloud.files_url}F/ckw.txt", content, headers=headers, auth=login, timeout=20).raise_for_status()


def _to_delete(scenario: Scenario) -> None:
    for name in "abc":
        scenario.file("16:58:42", f"G/{name}.txt", name.encode())


def _source_and_target(scenario: Scenario) -> None:
    scenario.file("16:58:23", "Other/src2.png", 10)
    scenario.file("16:58:23", "Other/dst2.png", 20)


def _locked_file(scenario: Scenario) -> None:
    scenario.file("17:04:57", "K/x.txt", b"content one\n")
    scenario.nextcloud.lock("K/x.txt")


def _quota(scenario: Scenario) -> None:
    scenario.nextcloud.unlock("K/x.txt")
    used = sum(path.stat().st_size for path in scenario.nextcloud.folder.rglob("*") if path.is_file())
    scenario.nextcloud.quota = used + 776_341


def _set_quota(quota: int | None) -> Callable[[Scenario], None]:
    def scene(scenario: Scenario) -> None:
        scenario.nextcloud.quota = quota

    return scene


def _maintenance(*, on: bool) -> Callable[[Scenario], None]:
    def scene(scenario: Scenario) -> None:
        scenario.nextcloud.maintenance = on

    return scene


def _half_an_hour(scenario: Scenario) -> None:
    scenario.nextcloud.forgive_failures()
    scenario.file("17:06:12", "other.txt", 1)


def _cut_off(name: str, *, reset: bool) -> Callable[[Scenario], None]:
    def scene(scenario: Scenario) -> None:
        scenario.file("17:09:00", f"M/cut-{name}-True.txt", b"was here before")
        scenario.cut_off(f"M/cut-{name}-True.txt", reset=reset)
        scenario.cut_off(f"M/cut-{name}-False.txt", reset=reset)

    return scene


def _crash(scenario: Scenario) -> None:
    scenario.file("17:22:50", "P/crash.txt", b"content two, longer\n")
    scenario.nextcloud.lock("P/crash.txt")


def _after_crash(scenario: Scenario) -> None:
    scenario.nextcloud.unlock("P/crash.txt")
    scenario.file("17:22:54", "P/crash.txt", b"")


# By the number of the exchange before which it happened.
SCENES: dict[int, Callable[[Scenario], None]] = {
    8: _photos,
    35: _tags_of_the_administrator,
    54: lambda scenario: scenario.nextcloud.tag("Photos/one.png", "restricted"),
    66: _tagged_images,
    68: _tagged_files,
    92: lambda scenario: scenario.file("16:58:13", "E/a.png", 8776, "queued"),
    108: lambda scenario: scenario.file("16:58:20", "Other/target.png", 30, "done"),
    111: _source_and_target,
    112: lambda scenario: scenario.file("16:58:24", "E/dirA/in.png", 9000, "queued"),
    119: lambda scenario: scenario.folder("16:58:27", "F"),
    160: _written_in_other_ways,
    161: _to_delete,
    174: lambda scenario: scenario.folder("17:04:00", "ET2"),
    179: lambda scenario: scenario.file("17:04:09", "H/g.txt", b"0123456789abcdefghij"),
    265: _maintenance(on=True),
    275: _maintenance(on=False),
    280: lambda scenario: scenario.file("17:04:50", "K/l.txt", b"content one\n"),
    281: Scenario.begin_slow_put,
    286: Scenario.end_slow_put,
    287: _locked_file,
    293: _quota,
    295: lambda scenario: scenario.file("17:05:01", "K/bigte.bin", 2_000_000),
    297: _set_quota(0),
    304: _set_quota(None),
    305: lambda scenario: scenario.folder("17:05:06", "L"),
    306: lambda scenario: scenario.file("17:05:13", "L/a.txt", 1),
    307: lambda scenario: scenario.file("17:05:48", "L/b.txt", 1),
    308: lambda scenario: scenario.nextcloud.tag("L/a.txt", "queued"),
    328: _half_an_hour,
    329: _cut_off("half-close", reset=False),
    331: _cut_off("reset", reset=True),
    335: lambda scenario: scenario.file("17:13:10", "N/cas.txt", 3),
    338: lambda scenario: scenario.nextcloud.untag("Photos/one.png", "done"),
    341: _crash,
    344: _after_crash,
}

# The recorded time is that of the request's arrival. What these wrote fell into the next second.
WROTE_A_SECOND_LATER = {119, 151, 280, 337}

# What the sandbox does not offer, and why the tests do not need it.
NOT_PLAYED = {
    33: "needs an administrator's login: create_tag does the same",
    34: "needs an administrator's login: create_tag does the same",
    37: "needs an administrator's login",
    110: "the trash bin over WebDAV: neither daemon uses it",
    172: "the trash bin over WebDAV: neither daemon uses it",
    261: "a disabled account: a 503 like the one of maintenance mode",
    263: "an untrusted host name: a matter of the server's configuration",
    264: "an untrusted host name: a matter of the server's configuration",
    333: "a client that stops sending: takes as long as the server's timeout",
    334: "a client that stops sending: takes as long as the server's timeout",
}
