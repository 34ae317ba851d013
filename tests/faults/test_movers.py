"""Real movers, killed at each request and at random moments, two at once, and asked to stop."""

import random
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM

import pytest
from loguru import logger

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from tests.faults.daemon_env import DaemonEnv, until
from tests.faults.kills import After, HoldNth
from tests.faults.preloaded import Child, Nursery
from tests.faults.proxy import Fault, Hold, Proxy, Request, faulty
from tests.faults.tally import tally
from tests.mover.harness import IMAGES, PARENT, UNSORTED, put, seed, state

KILLS = 100
LONGEST_RUN = 40
IMAGE_COUNT = 100
CATEGORIES = ("cats", "dogs", "birds")


class Album:
    """Tagged images on a Nextcloud behind a proxy.

    Attributes:
        wanted: the folder that each image belongs into, by its id.
    """

    def __init__(self, nextcloud: Nextcloud, proxy: Proxy) -> None:
        self.nextcloud = nextcloud
        self.proxy = proxy
        self.wanted: dict[int, str] = {}
        seed(nextcloud, "holiday", *(f"{PARENT}:{category}" for category in CATEGORIES))

    def add(self, name: str, category: str) -> None:
        """Put a tagged image into the unsorted folder, unless one of that name is there."""
        if not (self.nextcloud.folder / UNSORTED / name).exists():
            self.wanted[put(self.nextcloud, name, f"{PARENT}:{category}", "holiday")] = f"{IMAGES}/{category}"

    def complaints(self) -> list[str]:
        """What is not as promised, now that all is quiet."""
        said = []
        there = {file_id: (path, tags) for path, (_, file_id, tags) in state(self.nextcloud).items()}
        for file_id, folder in self.wanted.items():
            path, tags = there.pop(file_id, ("", frozenset()))
            if path.rpartition("/")[0] != folder:
                said.append(f"{file_id} lies at {path!r} and not in {folder}")
            if tags != {"holiday"}:
                said.append(f"{path} is tagged {sorted(tags)}")
        return said + [f"nobody put {path} there" for path, _ in there.values()]

    def secrets(self) -> Mapping[str, Mapping[str, object]]:
        """The settings of a mover."""
        root = self.proxy.url
        login = {"host_url": root, "username": self.nextcloud.user, "password": self.nextcloud.password}
        constants = {"IMAGES_ROOT_DIR": IMAGES, "UNSORTED_REMOTE_DIR": UNSORTED, "PARENT_TAG_VALUE": PARENT}
        return {"webdav": login, "mover_constants": constants}


@pytest.fixture
def album() -> Iterator[Album]:
    """An empty album."""
    logger.remove()
    with Nextcloud() as nextcloud, Proxy(nextcloud.url + "/") as proxy:
        yield Album(nextcloud, proxy)


class Movers:
    """Starts movers for an album."""

    def __init__(self, nursery: Nursery, vault: Vault, album: Album, folder: Path) -> None:
        self._nursery = nursery
        self.daemon_env = DaemonEnv(vault, folder, album.secrets())

    def start(self, *arguments: str) -> Child:
        """Start a mover."""
        return self._nursery.start("mover", arguments, self.daemon_env.environment, self.daemon_env.log)

    def finish(self) -> None:
        """Let one mover do everything that is left."""
        assert self.start("--once").wait() == 0, self.daemon_env.said[-3000:]
        assert list(self.daemon_env.temporary.iterdir()) == []


@pytest.fixture
def movers(the_nursery: Nursery, the_vault: Vault, album: Album, tmp_path: Path) -> Movers:
    """What starts movers for the album."""
    return Movers(the_nursery, the_vault, album, tmp_path)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_each_request(album: Album, movers: Movers, after: bool) -> None:
    killed = 0
    for n in range(1, LONGEST_RUN):
        album.add("Unknown.png", CATEGORIES[n % 3])
        rule = HoldNth(n, after=after)
        with faulty(album.proxy, rule):
            mover = movers.start("--once")
            if not rule.kill(mover):
                break
        killed += 1
        movers.finish()
    movers.finish()
    complaints = album.complaints()
    tally.add(f"mover killed {'after' if after else 'before'} each request", tries=killed, lost=len(complaints))
    assert not complaints
    assert killed >= 5


@pytest.mark.slow
def test_killed_at_random_moments(album: Album, movers: Movers) -> None:
    chance = random.Random(7)
    killed = 0
    while killed < KILLS:
        for _ in range(chance.choice((0, 1, 1, 2, 4))):
            album.add(f"Unknown {chance.randrange(12)}.png", chance.choice(CATEGORIES))
        rule = After(chance.randrange(1, 12))
        with faulty(album.proxy, rule):
            mover = movers.start("--frequency", "0.1")
            rule.come.wait(0.3)
            time.sleep(chance.uniform(0, 0.004))
            mover.kill()
            killed += mover.wait() < 0
    movers.finish()
    complaints = album.complaints()
    tally.add("mover killed at a random moment", tries=killed, lost=len(complaints))
    assert not complaints


def test_two_movers_on_the_same_images(album: Album, movers: Movers) -> None:
    for number in range(IMAGE_COUNT):
        album.add(f"Unknown {number}.png", CATEGORIES[number % 3])
    children = [movers.start("--once"), movers.start("--once")]
    for child in children:
        # A lost race may be answered by an error, which is tried again in the next poll.
        assert child.wait() in (0, 1), movers.daemon_env.said
    movers.finish()
    complaints = album.complaints()
    tally.add("two movers on the same 100 images", lost=len(complaints))
    assert not complaints


class HoldMethod:
    """Holds the first request of a method."""

    def __init__(self, method: str) -> None:
        self._method = method
        self.hold = Hold(after=False)

    def __call__(self, request: Request) -> Fault | None:
        return self.hold if self.hold.request is None and request.method == self._method else None


@pytest.mark.parametrize(("number", "method"), [(SIGTERM, "PROPFIND"), (SIGINT, "MOVE"), (SIGHUP, "DELETE")])
def test_asked_to_stop_in_mid_transfer(album: Album, movers: Movers, number: signal.Signals, method: str) -> None:
    for n in range(12):
        album.add(f"Unknown {n}.png", CATEGORIES[n % 3])
    rule = HoldMethod(method)
    with faulty(album.proxy, rule), movers.daemon_env.running("mover") as mover:
        assert rule.hold.wait()
        mover.signal(number)
        assert mover.runs_for(0.4)
        rule.hold.let_go()
        assert mover.ends_within() == 0
    _assert_untouched_or_filed(album)
    assert "Traceback" not in movers.daemon_env.said
    tally.add("mover asked to stop in mid-transfer")
    movers.finish()
    assert not album.complaints()


def _assert_untouched_or_filed(album: Album) -> None:
    """Every image with its tag still on lies where it was; a move that was begun was ended with its tag."""
    for path, (_, _, tags) in state(album.nextcloud).items():
        assert (path.startswith(UNSORTED)) == (len(tags) == 2), (path, tags)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP])
def test_idle_it_ends_at_once_even_if_the_signal_comes_twice(
    album: Album, movers: Movers, number: signal.Signals
) -> None:
    album.add("Unknown.png", "cats")
    with movers.daemon_env.running("mover") as mover:
        filed = f"{IMAGES}/cats/Unknown.png"
        until((album.nextcloud.folder / filed).exists)
        until(lambda: album.nextcloud.tags_of(filed) == {"holiday"})
        mover.signal(number)
        while mover.runs_for(0.03):
            mover.signal(number)
        assert mover.ends_within() == 0
    assert "Traceback" not in movers.daemon_env.said
    tally.add("mover asked to stop while idle")
