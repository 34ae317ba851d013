"""What is recorded of the images of one poll."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import override

import pytest

from scaler.backoff import ImageBackoff
from scaler.images.probe import UnsupportedImage
from scaler.in_flight import InFlight
from scaler.jobs import Published
from scaler.skip_list import SkipList
from shared.errors import Cancelled, Forbidden
from shared.events.event import Event
from shared.events.recorder import Recorder
from shared.poll_report import PollReport
from shared.retry import RequestObserver, RetryPolicy
from shared.webdav.store import Entry, Href
from tests.contract.memory import MemoryServer
from tests.fake_time import FakeTime

ONE, TWO, THREE = (Entry(f"{name}.png", Href(f"/raw/{name}.png"), False, 5, '"1"', 0.0) for name in ("1", "2", "3"))
CLAIM = Href("/raw/.scaler/claim")


class Signalling(Recorder):
    """Tells when something was recorded."""

    def __init__(self) -> None:
        super().__init__("scaler")
        self.recorded = threading.Event()

    @override
    def record(self, event: Event, thumbnail: bytes = b"", *, level: str = "") -> None:
        super().record(event, thumbnail, level=level)
        self.recorded.set()


class Poll:
    """On a server on which nothing may be deleted."""

    def __init__(self, state: Path, executor: ThreadPoolExecutor) -> None:
        server = MemoryServer()
        server.interfere = self._forbid
        self.report, self.recorder = PollReport(), Signalling()
        self.in_flight = InFlight(
            executor=executor,
            cleanup_executor=executor,
            connections=server.account.open(RetryPolicy(FakeTime().stop())),
            skip_list=SkipList(state, "/raw/"),
            backoff=ImageBackoff(),
            report=self.report,
            clock=lambda: 0.0,
            recorder=self.recorder,
            link=lambda _: "",
            observer=RequestObserver(),
        )

    def _forbid(self, method: str, _href: Href, after: bool) -> None:
        if method == "DELETE" and not after:
            raise Forbidden("status 403")


@pytest.fixture
def poll(tmp_path: Path) -> Iterator[Poll]:
    with ThreadPoolExecutor(1) as executor:
        yield Poll(tmp_path, executor)


def test_a_claim_that_cannot_be_deleted_is_counted_once(poll: Poll) -> None:
    poll.in_flight.process_all(lambda entry: Published(entry.name, leftover=CLAIM), [ONE])
    for entry in (TWO, THREE):
        poll.in_flight.process_all(lambda entry: Published(entry.name), [entry])
    assert [str(failure) for failure in poll.report.failed] == ["status 403"]


def test_what_was_found_out_before_a_stop_is_kept(poll: Poll, tmp_path: Path) -> None:
    def process(entry: Entry) -> Published:
        if entry is ONE:
            raise UnsupportedImage("it is bad")
        assert poll.recorder.recorded.wait(20)
        raise Cancelled

    with pytest.raises(Cancelled):
        poll.in_flight.process_all(process, [ONE, TWO])
    assert ONE in SkipList(tmp_path, "/raw/")
