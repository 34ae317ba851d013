"""What certainly cannot succeed now costs next to nothing: `python -m tests.faults.rejections` prints the table of it.

The table is in docs/design.md.
"""

import contextlib
import functools
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests
from loguru import logger

from sandbox.nextcloud import Nextcloud
from scaler.claims import TRIED
from tests.faults.proxy import Answer, Exchange, Fault, Proxy, Request, faulty
from tests.faults.scenario import Scenario
from tests.faults.steps import step
from tests.scaler.harness import HIDDEN, RAW, UNSORTED, prepare
from tests.servers.apache import apache
from tests.servers.fixtures import FilesOf
from tests.servers.rclone import rclone
from tests.servers.site import OnDisk, fresh_site

POLLS, FREQUENCY, IMAGES = 100, 30.0, 3
# Requests of a poll in which there is nothing to do: a listing, and now and then a look for unfinished work.
IDLE = 1.2
HEAD = """\
| Rejected | Nextcloud, in place | Apache, by claims | rclone, by claims |
|---|---|---|---|"""
REPLACE = ("assemble", "claim")
SEND = ("upload chunk", "upload")
MOVES = (*REPLACE, "assemble throwaway", "probe", "move on", "publish", "release")


@dataclass(frozen=True)
class Rejection:
    """A way in which the server rejects, until the end of the polls.

    Attributes:
        rule: what is answered; None if `locked`.
        downloads, uploads: of each image, at most.
        left: uploads that may lie on the server at the same time, for each image.
        published: there is a way round it.
    """

    name: str
    status: int = 0
    steps: tuple[str, ...] = ()
    downloads: int = 1
    uploads: int = 1
    left: int = 0
    published: bool = False

    def __str__(self) -> str:
        return self.name

    def rule(self, request: Request) -> Fault | None:
        """Reject the steps; a condition is rejected only where there is one."""
        if step(request) not in self.steps:
            return None
        if self.status == 412 and not {"if", "if-match"} & request.headers.keys():
            return None
        return self._answer

    def _answer(self, exchange: Exchange) -> None:
        exchange.answer(Answer(self.status))


REJECTIONS = [
    Rejection("locked by an editor", left=1),
    Rejection("423 to replacing or claiming", 423, REPLACE, left=1),
    Rejection("403 to replacing or claiming", 403, REPLACE),
    Rejection("412 to every condition", 412, MOVES, published=True),
    Rejection("502 to every MOVE", 502, MOVES),
    Rejection("400 to every MOVE", 400, MOVES),
    Rejection("405 to every MOVE", 405, MOVES),
    Rejection("409 to every MOVE", 409, MOVES),
    Rejection("501 to every MOVE", 501, MOVES),
    Rejection("502 to replacing or claiming", 502, REPLACE, left=1),
    Rejection("403 to every download", 403, ("download",), downloads=0, uploads=0),
    Rejection("413 to every upload", 413, SEND),
    Rejection("507 to every upload", 507, SEND, downloads=8, uploads=8),
]


@dataclass
class Measured:
    """What 100 polls cost.

    Attributes:
        later: downloads once the server rejects no longer.
        most_left: uploads that lay on the server at the same time, after a poll.
        bytes_left: of them.
    """

    requests: int = 0
    downloads: int = 0
    uploads: int = 0
    sent: int = 0
    most_left: int = 0
    bytes_left: int = 0
    later: int = 0
    failed: list[str] = field(default_factory=list)


def measure(scenario: Scenario, rejection: Rejection) -> Measured:
    """Polls during which the server rejects; then it does no longer, and every image is upscaled within an hour."""
    for number in range(1, IMAGES + 1):
        scenario.add(f"Unknown {number}.png", number)
    measured = Measured()
    before = _left(scenario).keys()
    with scenario.scaler(threads=IMAGES) as scaler:
        with _rejecting(scenario, rejection, measured):
            start = len(scenario.proxy.requests)
            for _ in range(POLLS):
                scenario.poll(scaler)
                scenario.time.now += FREQUENCY
                left = [size for name, size in _left(scenario).items() if name not in before]
                measured.most_left = max(measured.most_left, len(left))
                measured.bytes_left = max(measured.bytes_left, sum(left))
            asked = scenario.proxy.requests[start:]
        measured.requests = len(asked)
        sent = [int(request.headers.get("content-length", "0")) for request in asked if step(request) in SEND]
        measured.uploads = sum(size != len(TRIED) for size in sent)
        measured.sent = sum(sent)
        start = len(scenario.proxy.requests)
        for _ in range(3):
            scenario.time.now += 3600
            failures = scenario.poll(scaler)
        measured.later = sum(step(request) == "download" for request in scenario.proxy.requests[start:])
    measured.failed = [*map(str, failures), *scenario.complaints(), *scenario.visible(RAW)]
    return measured


@contextlib.contextmanager
def _rejecting(scenario: Scenario, rejection: Rejection, measured: Measured) -> Iterator[None]:
    def download(exchange: Exchange) -> None:
        answer = exchange.forward()
        measured.downloads += answer.status == 200
        exchange.answer(answer)

    def rule(request: Request) -> Fault | None:
        return rejection.rule(request) or (download if step(request) == "download" else None)

    unlock = [] if rejection.status else [_lock(scenario, f"{RAW}/{name}") for name in scenario.originals]
    with faulty(scenario.proxy, rule):
        yield
    for act in unlock:
        act()


def _lock(scenario: Scenario, path: str) -> Callable[[], object]:
    """Lock a file as an editor does; what unlocks it."""
    if scenario.nextcloud:
        there = scenario.in_account(path)
        scenario.nextcloud.lock(there)
        return functools.partial(scenario.nextcloud.unlock, there)
    url, login = scenario.site.url + path, (scenario.site.username, scenario.site.password)
    kinds = "<d:lockscope><d:exclusive/></d:lockscope><d:locktype><d:write/></d:locktype>"
    body = f'<d:lockinfo xmlns:d="DAV:">{kinds}</d:lockinfo>'
    answer = requests.request("LOCK", url, data=body, auth=login, headers={"Timeout": "Infinite"}, timeout=10)
    assert answer.status_code == 200, answer.text
    ET.fromstring(answer.text)
    token = {"Lock-Token": answer.headers["Lock-Token"]}
    return lambda: requests.request("UNLOCK", url, auth=login, headers=token, timeout=10).raise_for_status()


def _left(scenario: Scenario) -> dict[str, int]:
    """The bytes of each upload that lies on the server and that nobody sees, by name."""
    sizes = {name: len(data) for name, data in scenario.visible(f"{UNSORTED}/{HIDDEN}").items()}
    if scenario.nextcloud:
        sizes |= {name: upload.size for name, upload in list(scenario.nextcloud._account.uploads.items())}
    return sizes


def _rows() -> Iterator[str]:
    """The rows of the table, each after it was measured."""
    with contextlib.ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        nextcloud = closing.enter_context(Nextcloud())
        servers: dict[str, OnDisk] = {
            "nextcloud": FilesOf(nextcloud),
            "apache": closing.enter_context(apache(autoindex=False)),
            "rclone": closing.enter_context(rclone()),
        }
        for rejection in REJECTIONS:
            cells = []
            for kind, server in servers.items():
                site = fresh_site(kind, server, conditional=kind != "rclone", hashes=kind == "nextcloud")
                prepare(site)
                in_place = nextcloud if kind == "nextcloud" else None
                with Proxy(site.url) as proxy:
                    state = folder / site.folder.name
                    measured = measure(Scenario(site, proxy, state, nextcloud=in_place), rejection)
                if measured.failed:
                    raise SystemExit(f"{rejection}, {kind}: {measured.failed}")
                cells.append(
                    f"{measured.requests / POLLS:.1f}; {measured.downloads}; {measured.uploads}; {measured.most_left}"
                )
            yield f"| {rejection} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    logger.remove()
    sys.stdout.write(f"{HEAD}\n")
    for row in _rows():
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
