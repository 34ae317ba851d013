"""A Hypothesis state machine of scalers that are disturbed at every one of their requests."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from loguru import logger

from scaler import names
from scaler.config import ScalerConfig
from scaler.memory_budget import Limits
from scaler.service import ScalerService
from scaler.session import RECOVER_EVERY
from shared.errors import (
    Failure,
    Forbidden,
    IntegrityError,
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
from tests.contract.memory import MemoryServer
from tests.fake_time import FakeTime
from tests.faults.state_lockstep import FINE, AtOnce, Fate, Puppet, Worker, show_request
from tests.faults.state_world import ELSEWHERE, RAW, UNSORTED, World
from tests.servers.site import DiskSite

NAMES = ("Unknown-1.png", "Unknown-2.png", "Unknown 3 é.png")
LIMITS = Limits(cores=4, memory=2**30)
POLLS_TO_REST = 8
# Requests from the start of a poll to the first MOVE, and some.
FAR_ENOUGH = 12
A_DAY = 24 * 3600.0
# And some, since copies that others have given up stay for a week.
A_WEEK = 8 * A_DAY


def _fates(*errors: Callable[[], BaseException], after: bool) -> list[Fate]:
    return [Fate(error, after) for error in errors]


_UNSURE = (
    *(partial(ServerUnreachable, "broken off"), partial(ServerUnavailable, "status 503")),
    partial(ServerUnavailable, "status 423", retry_after=3.0),
)
_REJECTIONS = (
    *(partial(Unauthorized, "status 401"), partial(Forbidden, "status 403"), partial(NotAccepted, "status 413")),
    *(partial(StorageFull, "status 507"), partial(NotWebDav, "a login page")),
)
# What a lost race has been seen to be answered with, whether or not the move was made.
_OF_A_MOVE = (
    *(
        partial(NotFound, "status 404"),
        partial(PreconditionFailed, "status 412"),
        partial(ParentNotFound, "status 409"),
    ),
    partial(Forbidden, "status 403"),
)
UNSURE = [*_fates(*_UNSURE, after=True), *_fates(*_UNSURE, after=False)]
"""Answers that say nothing of what the request did."""
_ANY = [*UNSURE, *_fates(*_REJECTIONS, after=False)]
_MOVE = [*_fates(*_OF_A_MOVE, after=True), *_fates(*_OF_A_MOVE, after=False)]
_REJECTED_FOR_NOTHING = Fate(_OF_A_MOVE[1])
_TRANSFER = _fates(partial(IntegrityError, "another hash"), after=True)
_SPECIAL = {"MOVE": _ANY + _MOVE, "GET": _ANY + _TRANSFER, "PUT": _ANY + _TRANSFER}
_who = st.sampled_from([0, 0, 0, 1])
_name = st.sampled_from(NAMES)
_place = st.sampled_from([*(f"{RAW}/{name}" for name in NAMES), f"{ELSEWHERE}/own.png"])


def keep_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the scalers of one process share nothing, as processes would not, nor anything with other tests."""
    logger.remove()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    # Whether two names are the same must not depend on the time of day.
    new_id = names.new_id
    monkeypatch.setattr(names, "new_id", lambda owner: new_id(owner, Scalers.now()))


class Process(Puppet):
    """One scaler with its own memory of the world, started anew once it has ended.

    Attributes:
        failed: the failures of its last poll.
    """

    def __init__(self, world: World, state: Path) -> None:
        self._world = world
        self._state = state
        super().__init__(world.time.stop())
        self._scaler: ScalerService | None = None
        self.failed: Sequence[Failure] = ()

    def begin(self) -> None:
        """Begin a poll with the settings as they are."""
        world, config, password = self._world, self._world.config, self._world.password
        if self._scaler is None or self._stop.requested:
            self._start_anew()
        self._worker = Worker(lambda: self._poll(config), lambda: password == world.password)
        self._worker.begin()

    def _start_anew(self) -> None:
        self.close()
        self._stop = self._world.time.stop()
        retry = RetryPolicy(self._stop)
        self._scaler = ScalerService(threads=1, limits=LIMITS, quality=95, state=self._state, retry=retry)
        self._scaler.cleanup_executor.shutdown()
        self._scaler.executor.shutdown()
        self._scaler.executor = self._scaler.cleanup_executor = AtOnce()  # type: ignore[assignment]
        self._scaler._host = replace(self._scaler._host, executor=AtOnce())

    def _poll(self, config: ScalerConfig) -> None:
        assert self._scaler
        self.failed = self._scaler.poll(config)
        for failure in self.failed:
            # The poll outlives a bug in the program, but its test does not.
            assert "Unexpected error" not in str(failure), failure

    def close(self) -> None:
        """Forget everything."""
        if self._scaler:
            self._scaler.__exit__()
            self._scaler = None


class Scalers(RuleBasedStateMachine):
    """Two scalers, people, and a server that fails, in any order."""

    def make_site(self) -> MemoryServer | DiskSite:
        """The server."""
        server = MemoryServer(clock=self.time.clock, conditional=self.conditional)
        server.interfere = show_request
        return server

    def make_world(self) -> World:
        """The server with the people around it."""
        return World(self.make_site(), self.time)

    conditional = True
    make_process = Process
    # The time of the machine that runs.
    now: Callable[[], float] = time.time

    def __init__(self) -> None:
        super().__init__()
        # Seconds since 1970 and those of a monotonic clock may be the same.
        self.time = FakeTime(1_800_000_000.0)
        Scalers.now = self.time.clock
        self.world = self.make_world()
        self._closing = contextlib.ExitStack()
        self._state = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
        self.processes: Sequence[Process] = [
            self.make_process(self.world, self._state / str(number)) for number in range(2)
        ]
        self._setting_changed = self._claims_deleted = False
        self._alone: Process | None = None

    # --- people -----------------------------------------------------------------------------------------------------

    @initialize(wanted=st.lists(_name, unique=True, min_size=1))
    def some_are_there(self, wanted: list[str]) -> None:
        for name in wanted:
            self.world.add(name, young=False, bad=False)

    @rule(name=_name, young=st.sampled_from([False, False, True]), bad=st.sampled_from([False, False, False, True]))
    def somebody_puts_an_image(self, name: str, young: bool, bad: bool) -> None:
        self.world.add(name, young=young, bad=bad)

    @rule(what=st.sampled_from(["file away", "file away", "remove", "rename"]), name=_name, path=_place)
    def somebody_tidies_up(self, what: str, name: str, path: str) -> None:
        match what:
            case "file away":
                self.world.file_away()
            case "remove":
                self.world.remove(name)
            case "rename":
                self.world.rename(name, path)

    @rule(what=st.sampled_from(["setting", "setting", "password", "claims", "uploads"]))
    def somebody_meddles(self, what: str) -> None:
        if what == "password":
            self.world.password += 1
        # With the claims the note goes that says where those made under another setting belong.
        elif what == "setting" and not self._claims_deleted:
            self._setting_changed = True
            self.world.unsorted = UNSORTED[self.world.unsorted == UNSORTED[0]]
            self.world.used.add(self.world.unsorted)
        elif what == "claims" and not self._setting_changed:
            self._claims_deleted = True
            self.world.delete_claims()
        # Nobody can tell a copy that was published from one that vanished with its folder, if another scaler makes
        # the folder anew before the one that works has noticed.
        elif what == "uploads" and len(self._busy()) <= 1:
            self._alone = next(iter(self._busy()), None)
            self.world.delete_uploads()

    @rule(seconds=st.sampled_from([2.0, 700.0, 4000.0, A_DAY + 10]))
    def time_passes(self, seconds: float) -> None:
        self.time.now += seconds

    # --- scalers ----------------------------------------------------------------------------------------------------

    @rule(who=_who, requests=st.integers(1, 3))
    def it_goes_on(self, who: int, requests: int) -> None:
        """A new poll begins if there is none."""
        for _ in range(requests):
            self._step(who, FINE)

    # The moments that count: all promises are kept or broken around these.
    @rule(who=_who, method=st.sampled_from(["GET", "PUT", "MOVE", "MOVE", "DELETE"]))
    def it_goes_on_to(self, who: int, method: str) -> None:
        self._step(who, FINE)
        for _ in range(FAR_ENOUGH):
            if self._method(who) not in (None, method):
                self._step(who, FINE)

    @rule(who=_who, moves=st.integers(0, 2), fate=st.sampled_from(_ANY + _MOVE + _TRANSFER))
    def a_request_goes_wrong(self, who: int, moves: int, fate: Fate) -> None:
        for _ in range(moves):
            self.it_goes_on_to(who, "MOVE")
        # What says 412 to a condition without looking at it would be taken for a server that does.
        misleading = not self.conditional and fate == _REJECTED_FOR_NOTHING
        if misleading or fate not in _SPECIAL.get(self._method(who) or "", _ANY):
            fate = _ANY[0]
        self._step(who, fate)

    @rule(who=_who)
    def an_upload_is_cut_off(self, who: int) -> None:
        request = self.processes[who].request
        if request is not None and request[0] == "PUT":
            self._step(who, Fate(partial(ServerUnreachable, "broken off"), after=True))
            self.world.tear(request[1])

    @rule(who=_who, moves=st.integers(0, 3), after=st.booleans())
    def it_is_killed(self, who: int, moves: int, after: bool) -> None:
        for _ in range(moves):
            self.it_goes_on_to(who, "MOVE")
        if self.processes[who].request is not None:
            self.processes[who].kill(after=after)

    @rule(who=_who)
    def it_is_asked_to_stop(self, who: int) -> None:
        self.processes[who].ask_to_stop()

    def _step(self, who: int, fate: Fate) -> None:
        process = self.processes[who]
        if process.request is not None:
            process.step(fate)
        elif self._alone not in self._busy():
            process.begin()

    def _method(self, who: int) -> str | None:
        request = self.processes[who].request
        return request and request[0]

    def _busy(self) -> list[Process]:
        return [process for process in self.processes if process.request is not None]

    # --- what must be true ------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_or_duplicated(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        try:
            for process in self.processes:
                process.end()
            self._come_to_rest()
            self.world.check_at_rest()
        finally:
            for process in self.processes:
                process.close()
            self._closing.close()

    def _come_to_rest(self) -> None:
        """Let a scaler that knows nothing work under each setting of old, with all the time in the world."""
        self.time.now += A_WEEK
        last = self.make_process(self.world, self._state / "last")
        for unsorted in (*self.world.used, self.world.unsorted):
            self.world.unsorted = unsorted
            for _ in range(POLLS_TO_REST):
                before = self.world.site.files()
                last.begin()
                assert last.end() is None
                assert not last.failed
                self.time.now += RECOVER_EVERY
                if self.world.site.files() == before:
                    break
        last.close()
