"""A Hypothesis state machine of movers that are disturbed at every one of their requests."""

import itertools
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mover.config import MoverConfig
from mover.scanner import ROUND_EVERY
from mover.service import MoverService
from mover.tags import TagClient
from sandbox.nextcloud import Nextcloud
from shared.errors import (
    Forbidden,
    NotAccepted,
    NotFound,
    NotWebDav,
    ParentNotFound,
    PreconditionFailed,
    ServerUnavailable,
    ServerUnreachable,
    StorageFull,
    Unauthorized,
)
from shared.retry import RetryPolicy
from shared.webdav.client import WebDavClient
from tests.fake_time import FakeTime
from tests.faults.state_lockstep import FINE, AtOnce, Fate, Puppet, Worker, show_request
from tests.mover import harness
from tests.mover.harness import UNSORTED

NAMES = ("one.png", "two.png")
ROOTS = ("data/images", "data/other/images")
CATEGORIES = ("cats", "dogs")
TAGS = tuple(f"{harness.PARENT}:{category}" for category in CATEGORIES)
OTHER_TAG = "favourite"
POLLS_TO_REST = 12
FAR_ENOUGH = 12

_UNSURE = (
    partial(ServerUnreachable, "broken off"),
    partial(ServerUnavailable, "status 503"),
    partial(ServerUnavailable, "status 500"),
)
_REJECTIONS = (
    *(partial(Unauthorized, "status 401"), partial(Forbidden, "status 403"), partial(NotAccepted, "status 400")),
    *(partial(StorageFull, "status 507"), partial(NotWebDav, "a login page")),
)
_OF_A_MOVE = (
    *(
        partial(NotFound, "status 404"),
        partial(PreconditionFailed, "status 412"),
        partial(ParentNotFound, "status 409"),
    ),
    partial(Forbidden, "status 403"),
)
_ANY = [*(Fate(error, after=True) for error in _UNSURE), *(Fate(error) for error in (*_UNSURE, *_REJECTIONS))]
_MOVE = [Fate(error, after) for error in _OF_A_MOVE for after in (True, False)]
_who = st.sampled_from([0, 0, 1])
_name = st.sampled_from(NAMES)
_tag = st.sampled_from(TAGS)


_METHODS = (
    *((WebDavClient, "list_folder", "PROPFIND"), (WebDavClient, "stat", "PROPFIND")),
    *((WebDavClient, "move", "MOVE"), (WebDavClient, "make_folder", "MKCOL")),
    (TagClient, "unassign", "DELETE"),
)


def show_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every request of a mover in a worker wait for its turn, one at a time."""
    for client, name, method in _METHODS:
        monkeypatch.setattr(client, name, _shown(getattr(client, name), method))
    monkeypatch.setattr("mover.service.ThreadPoolExecutor", lambda *_: AtOnce())


def _shown(real: Callable[..., Any], method: str) -> Callable[..., Any]:
    def shown(client: object, target: object, *arguments: Any, **options: Any) -> Any:
        show_request(method, str(target), after=False)
        answer = real(client, target, *arguments, **options)
        show_request(method, str(target), after=True)
        return answer

    return shown


class Process(Puppet):
    """One mover with its own memory of the world, started anew once it has ended."""

    def __init__(self, time: FakeTime) -> None:
        self._time = time
        super().__init__(time.stop())
        self._mover: MoverService | None = None

    def begin(self, config: MoverConfig, may_log_in: Callable[[], bool]) -> None:
        """Begin a poll."""
        if self._mover is None or self._stop.requested:
            self.close()
            self._stop = self._time.stop()
            self._mover = MoverService(RetryPolicy(self._stop))
        self._worker = Worker(lambda: self._poll(config), may_log_in)
        self._worker.begin()

    def _poll(self, config: MoverConfig) -> None:
        assert self._mover
        for failure in self._mover.poll(config):
            # The poll outlives a bug in the program, but its test does not.
            assert "Internal error" not in str(failure), failure

    def close(self) -> None:
        """Forget everything."""
        if self._mover:
            self._mover.__exit__()
            self._mover = None


class Movers(RuleBasedStateMachine):
    """Two movers, people, and a Nextcloud that fails, in any order.

    Attributes:
        server: with the tags; a test sets it.
    """

    server: Nextcloud

    def __init__(self) -> None:
        super().__init__()
        self.time = FakeTime()
        self.processes = [Process(self.time), Process(self.time)]
        self._numbers = itertools.count(1)
        self._names: dict[bytes, str] = {}
        self._lucky: set[bytes] = set()
        self._tagged: dict[bytes, set[str]] = {}
        self._taken: set[bytes] = set()
        self._due: set[bytes] = set()
        self._brought_back: set[bytes] = set()
        self._images = ROOTS[0]
        self._password = 0
        for file in harness.files(self.server):
            (self.server.folder / file).unlink()
        harness.seed(self.server)
        (self.server.folder / UNSORTED / "mine.png").write_bytes(b"untagged")
        (self.server.folder / "elsewhere.png").write_bytes(b"tagged, but elsewhere")
        self.server.tag("elsewhere.png", TAGS[0])

    # --- people -----------------------------------------------------------------------------------------------------

    @initialize(tags=st.lists(_tag, min_size=1, max_size=2))
    def some_are_there(self, tags: list[str]) -> None:
        for name, tag in zip(NAMES, tags, strict=False):
            self._put(name, tag)

    @rule(name=_name, tag=_tag)
    def somebody_puts_an_image(self, name: str, tag: str) -> None:
        self._put(name, tag)

    @rule(name=_name, tag=_tag)
    def somebody_tags(self, name: str, tag: str) -> None:
        data = harness.files(self.server).get(f"{UNSORTED}/{name}")
        if data:
            self._tag(f"{UNSORTED}/{name}", data, tag)

    @rule(name=_name, what=st.sampled_from(["untag", "remove", "rename", "bring back"]))
    def somebody_tidies_up(self, name: str, what: str) -> None:
        there = harness.files(self.server)
        lying = f"{UNSORTED}/{name}"
        filed = next((file for file in there if file.startswith(ROOTS) and file.endswith(".png")), None)
        match what:
            case "untag" if lying in there:
                self._due.discard(there[lying])
                for tag in self.server.tags_of(lying) & {*TAGS}:
                    self.server.untag(lying, tag)
            case "remove" if lying in there:
                self._taken.add(there[lying])
                (self.server.folder / lying).unlink()
            case "rename" if lying in there and f"{UNSORTED}/renamed.png" not in there:
                self._move(lying, f"{UNSORTED}/renamed.png")
            case "bring back" if filed and lying not in there:
                # A mover that was about to take its tag off may take off the next one.
                self._brought_back.add(there[filed])
                self._move(filed, lying)

    @rule()
    def the_setting_is_changed(self) -> None:
        self._images = ROOTS[self._images == ROOTS[0]]

    @rule()
    def the_password_is_rotated(self) -> None:
        self._password += 1

    @rule(seconds=st.sampled_from([1.0, ROUND_EVERY, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.time.now += seconds

    def _put(self, name: str, tag: str) -> None:
        file = f"{UNSORTED}/{name}"
        before = harness.files(self.server).get(file)
        if before:
            self._taken.add(before)
            tag = ""
        data = b"image %d" % next(self._numbers)
        self._tagged[data] = set(self._tagged[before]) if before else set()
        (self.server.folder / file).write_bytes(data)
        for marked in (self._lucky, self._due, self._brought_back):
            if before in marked:
                marked.add(data)
        if tag:
            self._tag(file, data, tag)
            self.server.tag(file, OTHER_TAG)
            self._lucky.add(data)

    def _tag(self, file: str, data: bytes, tag: str) -> None:
        if data in self._tagged:
            self._tagged[data].add(tag.partition(":")[2])
            self._due.add(data)
            if tag not in self.server.tags_of(file):
                self.server.tag(file, tag)

    def _move(self, source: str, target: str) -> None:
        """As a person does it on the server, so that id and tags stay."""
        client = WebDavClient(harness.config(self.server).account)
        client.move(client.href(source), client.href(target))
        client.close()

    # --- movers -----------------------------------------------------------------------------------------------------

    @rule(who=_who, requests=st.integers(1, 4))
    def it_goes_on(self, who: int, requests: int) -> None:
        """A new poll begins if there is none."""
        for _ in range(requests):
            self._step(who, FINE)

    @rule(who=_who, method=st.sampled_from(["MOVE", "MOVE", "DELETE"]))
    def it_goes_on_to(self, who: int, method: str) -> None:
        self._step(who, FINE)
        for _ in range(FAR_ENOUGH):
            if self._method(who) not in (None, method):
                self._step(who, FINE)

    @rule(who=_who, go_on=st.booleans(), fate=st.sampled_from(_ANY + _MOVE))
    def a_request_goes_wrong(self, who: int, go_on: bool, fate: Fate) -> None:
        if go_on:
            self.it_goes_on_to(who, "MOVE")
        self._step(who, fate if fate in _ANY or self._method(who) == "MOVE" else _ANY[0])

    @rule(who=_who, method=st.sampled_from(["MOVE", "DELETE", "any"]), after=st.booleans())
    def it_is_killed(self, who: int, method: str, after: bool) -> None:
        if method != "any":
            self.it_goes_on_to(who, method)
        if self._method(who):
            self.processes[who].kill(after=after)

    @rule(who=_who)
    def it_is_asked_to_stop(self, who: int) -> None:
        self.processes[who].ask_to_stop()

    def _step(self, who: int, fate: Fate) -> None:
        process = self.processes[who]
        if process.request is not None:
            process.step(fate)
        else:
            self._begin(process)

    def _begin(self, process: Process) -> None:
        password = self._password
        config = harness.config(self.server, images=self._images)
        process.begin(config, lambda: password == self._password)

    def _method(self, who: int) -> str | None:
        request = self.processes[who].request
        return request and request[0]

    # --- what must be true ------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_or_duplicated(self) -> None:
        there = harness.files(self.server)
        copies = Counter(there.values())
        for data, categories in self._tagged.items():
            assert copies[data] == (data not in self._taken), f"{data!r} is there {copies[data]} times"
            for file in [file for file, other in there.items() if other == data]:
                folder = file.rpartition("/")[0]
                right = {f"{root}/{category}" for root in ROOTS for category in categories}
                assert folder == UNSORTED or folder in right, f"{data!r} lies in {folder}"
                assert data not in self._lucky or OTHER_TAG in self.server.tags_of(file)
        assert there[f"{UNSORTED}/mine.png"] == b"untagged"
        assert self.server.tags_of("elsewhere.png") == {TAGS[0]}

    def teardown(self) -> None:
        try:
            for process in self.processes:
                process.end()
            self._come_to_rest()
            self.nothing_is_lost_or_duplicated()
            self._check_at_rest()
        finally:
            for process in self.processes:
                process.close()

    def _come_to_rest(self) -> None:
        last = Process(self.time)
        for images in (*ROOTS, self._images):
            self._images = images
            for _ in range(POLLS_TO_REST):
                before = harness.state(self.server)
                self._begin(last)
                assert last.end() is None
                self.time.now += ROUND_EVERY
                if harness.state(self.server) == before:
                    break
        last.close()

    def _check_at_rest(self) -> None:
        """Every tagged image is where its tag leads, without it; several tags on one may leave some on."""
        for file, (data, _, tags) in harness.state(self.server).items():
            folder, _, _ = file.rpartition("/")
            due = data in self._due - self._brought_back
            assert not due or folder != UNSORTED, f"{file} was tagged, and not filed"
            if data in self._tagged:
                assert folder != UNSORTED or not tags & {*TAGS}, f"{file} is still tagged {tags}"
                here = f"{harness.PARENT}:{folder.rpartition('/')[2]}"
                assert here not in tags, f"{file} lies where it belongs, and still has its tag"
