"""What there is beside the scalers: a server, people who use it, and what must be true of every image on it."""

import functools
import itertools
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from scaler import names
from scaler.config import ScalerConfig
from scaler.images import codecs
from shared.webdav.store import Account
from tests.contract.memory import MemoryServer
from tests.fake_time import FakeTime
from tests.faults.state_lockstep import Login, ShownAccount
from tests.scaler.harness import HIDDEN
from tests.servers.site import DiskSite
from tests.servers.stores import connected

RAW, FILED, ELSEWHERE = "data/raw", "data/filed", "data/elsewhere"
UNSORTED = ("data/unsorted", "data/other/unsorted")
# What nobody has any business with.
AROUND = {
    f"{RAW}/holiday.png": b"without the prefix",
    f"{RAW}/Unknown.txt": b"no image's name",
    f"{RAW}/inner/Unknown.png": b"in a folder below",
    f"{UNSORTED[0]}/mine.png": b"a person's",
    f"{UNSORTED[1]}/mine.png": b"a person's",
    "Unknown.png": b"in another folder",
}


@functools.cache
def original(number: int) -> bytes:
    """An image of two pixels, another one for every number."""
    pixels = np.array([[[number & 255, number >> 8, 77]] * 2], np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@functools.cache
def upscaled(number: int) -> bytes:
    """Its complete copy."""
    return codecs.upscale(original(number))


def damaged(number: int) -> bytes:
    """A file that only looks like an image."""
    return original(number)[:-20]


@dataclass
class World:
    """One account and what became of its images, which are told apart by number.

    Attributes:
        password: counts the rotations; the earlier one is rejected.
        unsorted: the setting as it is now.
        taken: replaced or deleted by a person, so that they may be gone.
        twice: may be published twice, since a person deleted the scaler's own notes about them.
    """

    site: MemoryServer | DiskSite
    time: FakeTime
    password: int = 0
    unsorted: str = UNSORTED[0]
    numbers: list[int] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)
    used: set[str] = field(default_factory=lambda: {UNSORTED[0]})
    _filed: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        for folder in (RAW, *UNSORTED, FILED, ELSEWHERE):
            self.site.make_folder(folder)
        for path, data in AROUND.items():
            self._write(path, data)

    # --- what people do ---------------------------------------------------------------------------------------------

    def add(self, name: str, *, young: bool, bad: bool) -> None:
        """Put a new image under a name, in the place of what is there."""
        number = len(self.numbers) + 1
        self.numbers.append(number)
        self._take(f"{RAW}/{name}")
        if bad:
            self.bad.add(number)
        # No two changes are of the same second, which is all that some servers tell.
        self.time.now += 1
        self._write(f"{RAW}/{name}", damaged(number) if bad else original(number), age=0.0 if young else 3600.0)

    def _write(self, path: str, data: bytes, age: float = 3600.0) -> None:
        # A file on disk is dated by the true time.
        self.site.write(path, data, age=age + (time.time() - self.time.now) * isinstance(self.site, DiskSite))

    def remove(self, name: str) -> None:
        """Delete an image."""
        if self._take(f"{RAW}/{name}"):
            self.site.remove(f"{RAW}/{name}")

    def rename(self, name: str, target: str) -> None:
        """Move an image, but never over another."""
        files = self.site.files()
        if f"{RAW}/{name}" in files and target not in files:
            with connected(self.person) as store:
                folder, _, other = target.rpartition("/")
                store.move(store.href(RAW, name), store.href(folder, other))

    def file_away(self) -> None:
        """Take all published copies to where they belong."""
        for path, data in self.site.files().items():
            folder, _, name = path.rpartition("/")
            if folder in UNSORTED and path not in AROUND:
                self.site.remove(path)
                self._write(f"{FILED}/{next(self._filed)} {name}", data)

    def delete_uploads(self) -> None:
        """Delete the hidden folder in the unsorted one: what is being published then comes again."""
        files = self.site.files()
        claimed = {data for path, data in files.items() if path.startswith(f"{RAW}/{HIDDEN}/")}
        self.twice |= {number for number in self.numbers if original(number) in claimed}
        self._delete(f"{self.unsorted}/{HIDDEN}")

    def delete_claims(self) -> None:
        """Delete the hidden folder in the raw one, with the originals that lie there."""
        for path in self.site.files():
            if path.startswith(f"{RAW}/{HIDDEN}/"):
                self._take(path)
        self._delete(f"{RAW}/{HIDDEN}")

    def tear(self, href: str) -> None:
        """Let half of an upload be there."""
        path = next((path for path in self.site.files() if href.endswith(urllib.parse.quote(path))), None)
        if path:
            data = self.site.files()[path]
            self._write(path, data[: len(data) // 2], age=0.0)

    def _delete(self, folder: str) -> None:
        with connected(self.person) as store:
            store.delete(store.href(folder))

    def _take(self, path: str) -> bool:
        data = self.site.files().get(path)
        self.taken |= {number for number in self.numbers if data in (original(number), damaged(number))}
        return data is not None

    @property
    def person(self) -> Account:
        """The account of somebody who always knows the password."""
        return self.site.account

    # --- what scalers are told --------------------------------------------------------------------------------------

    @property
    def config(self) -> ScalerConfig:
        """The settings as they are now."""
        return self.config_for(self.unsorted)

    def config_for(self, unsorted: str) -> ScalerConfig:
        """The settings with another unsorted folder."""
        site = self.site
        if isinstance(site, DiskSite):
            login: Account = ShownAccount(site.account, self.password)
        else:
            login = Login(site.account, self.password)
        return ScalerConfig(login, RAW, unsorted, ("Unknown",))

    # --- what must be true ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """The two promises, and that nothing else was touched; true at every moment."""
        files = self.site.files()
        there = set(files.values())
        copies = self._copies()
        for number in self.numbers:
            copied = copies[upscaled(number)]
            assert copied <= 1 + (number in self.twice), f"{number} was published {copied} times"
            if number in self.bad:
                assert number in self.taken or damaged(number) in there, f"{number} is damaged, and lost"
                assert not copied
            else:
                assert copied or number in self.taken or original(number) in there, f"{number} is lost"
        for path, data in AROUND.items():
            assert files.get(path) == data
        assert not [path for path in files if not self._expected(path)]

    def check_at_rest(self) -> None:
        """Everything that could be upscaled was, and nothing is left of the work."""
        self.check()
        files = self.site.files()
        hidden = [path for path in files if f"/{HIDDEN}/" in path]
        destination_records = {
            f"{RAW}/{HIDDEN}/{names.destination_record(names.destination_hash(folder))}" for folder in self.used
        }
        assert set(hidden) <= destination_records
        copies = self._copies()
        for path, data in files.items():
            if path.startswith(f"{RAW}/Unknown") and path not in AROUND:
                assert data in {damaged(number) for number in self.bad}, f"{path} was not upscaled"
        wanted = [number for number in self.numbers if number not in self.bad | self.taken]
        assert not [n for n in wanted if not copies[upscaled(n)] and original(n) not in files.values()]

    def _copies(self) -> Counter[bytes]:
        """How often each published file is there, wherever it was filed."""
        return Counter(data for path, data in self.site.files().items() if f"/{HIDDEN}/" not in path)

    def _expected(self, path: str) -> bool:
        folder = path.rpartition("/")[0]
        hidden = (f"{RAW}/{HIDDEN}", *(f"{unsorted}/{HIDDEN}" for unsorted in UNSORTED))
        return path in AROUND or folder in (RAW, *UNSORTED, FILED, ELSEWHERE, *hidden)
