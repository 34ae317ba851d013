"""The state machine where files are replaced in place: a Nextcloud, people who use what it offers, and the promises."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from sandbox.nextcloud import Nextcloud
from scaler.config import ScalerConfig
from scaler.images import codecs
from scaler.marker import marker_in
from scaler.session import InPlaceSession
from shared.webdav.store import THROWAWAY
from tests.faults.state_lockstep import FINE, Fate, ShownAccount
from tests.faults.state_scalers import UNSURE, Process, Scalers
from tests.faults.state_world import AROUND, FILED, RAW, UNSORTED, World, damaged, original
from tests.servers.site import DiskSite, fresh_site

MOST_TIMES = 4


@functools.cache
def content(number: int, times: int) -> bytes:
    """An image that was upscaled so many times."""
    return codecs.upscale(content(number, times - 1)) if times else original(number)


class Span(NamedTuple):
    """How often an image may have been upscaled when all is at rest: at least, at most."""

    least: int
    most: int


@dataclass
class InPlaceWorld(World):
    """One account, each image of which is to stay the same file.

    Attributes:
        file_ids: of the images that must not be lost, by number.
        spans: how often each is to be upscaled.
        deleted: how many files people have deleted.
    """

    server: Nextcloud = field(kw_only=True)
    file_ids: dict[int, int] = field(default_factory=dict)
    spans: dict[int, Span] = field(default_factory=dict)
    deleted: int = 0

    # --- what people do ---------------------------------------------------------------------------------------------

    def add(self, name: str, *, young: bool, bad: bool) -> None:
        path = f"{RAW}/{name}"
        self._give_up(path)
        number = self._new(bad=bad)
        data = damaged(number) if bad else original(number)
        if young:
            # By a client: what is there becomes a version.
            self.server.write(self.there(path), data, mtime=int(self.time.now))
        else:
            # By a program on the server, which `occ files:scan` finds.
            self._write(path, data)
        self.file_ids[number] = self.server.file_id(self.there(path))
        self.spans[number] = Span(0, 0) if bad else Span(1, 1)

    def _new(self, *, bad: bool) -> int:
        number = len(self.numbers) + 1
        self.numbers.append(number)
        if bad:
            self.bad.add(number)
        self.time.now += 1
        return number

    def remove(self, name: str) -> None:
        if f"{RAW}/{name}" in self.site.files():
            self._give_up(f"{RAW}/{name}")
            self.server.delete(self.there(f"{RAW}/{name}"))
            self.deleted += 1

    def _give_up(self, path: str) -> None:
        number = self.number_at(path)
        if number:
            self.taken.add(number)
            del self.file_ids[number]

    def rename(self, name: str, target: str) -> None:
        files = self.site.files()
        if f"{RAW}/{name}" in files and target not in files:
            self._move(f"{RAW}/{name}", target)

    def file_away(self) -> None:
        for path in self.published():
            self._move(path, f"{FILED}/{next(self._filed)} {path.rpartition('/')[2]}")

    def move_back(self) -> None:
        """Take a published image back into the raw folder: it is an original again."""
        for path in self.published()[:1]:
            number = self.number_at(path)
            if number and self.spans[number].most < MOST_TIMES:
                self._move(path, f"{RAW}/{path.rpartition('/')[2]}")

    def restore(self, oldest: bool) -> None:
        """Restore a version of an image, wherever it lies."""
        for number, file_id in sorted(self.file_ids.items()):
            path = self.path_of(file_id)
            dates = sorted(self.server.versions(self.there(path)))
            if dates and number not in self.bad:
                self.time.now += 1
                self.server.restore_version(self.there(path), dates[0 if oldest else -1])
                self._identify(file_id, number, path)
                return

    def _identify(self, file_id: int, number: int, path: str) -> None:
        """The version may be another image, that was replaced by this one."""
        found = self._read(path)
        if found is None:
            raise AssertionError(f"a version of {number} is none of ours")
        if found[0] != number:
            self.taken.add(number)
            del self.file_ids[number]
            self.taken.discard(found[0])
            self.file_ids[found[0]] = file_id
        times = found[1] + (path.startswith(f"{RAW}/") and found[0] not in self.bad)
        self.spans[found[0]] = Span(times, times)

    def _move(self, source: str, target: str) -> None:
        number = self.number_at(source)
        found = self._read(source)
        self.time.now += 1
        is_original = not self._is_unfinished(source)
        self.server.rename(self.there(source), self.there(target))
        if number is None or found is None or number in self.bad:
            return
        _, times = found
        most = self.spans[number].most
        if not target.startswith(f"{RAW}/"):
            # What a scaler has in flight may still be put into its place, or not.
            self.spans[number] = Span(times, times)
        elif is_original:
            self.spans[number] = Span(times + 1, max(most, times + 1))

    def _is_unfinished(self, path: str) -> bool:
        marker = marker_in(self.server.checksum(self.there(path)))
        return marker is not None and marker.is_unfinished(path.rpartition("/")[2])

    # --- what is there ----------------------------------------------------------------------------------------------

    def there(self, path: str) -> str:
        """A path of the site as the Nextcloud has it."""
        assert isinstance(self.site, DiskSite)
        return str((self.site.folder / path).relative_to(self.server.folder))

    def published(self) -> list[str]:
        """The paths of the images in the unsorted folders."""
        return sorted(path for path in self.site.files() if path.rpartition("/")[0] in UNSORTED and path not in AROUND)

    def number_at(self, path: str) -> int | None:
        """Which image lies at a path."""
        if path not in self.site.files():
            return None
        file_id = self.server.file_id(self.there(path))
        return next((number for number, known in self.file_ids.items() if known == file_id), None)

    def path_of(self, file_id: int) -> str:
        """Where the file of an id lies."""
        ids = {self.server.file_id(self.there(path)): path for path in self.site.files()}
        assert file_id in ids, f"the file {file_id} is lost"
        return ids[file_id]

    def _read(self, path: str) -> tuple[int, int] | None:
        """The number of the image at a path, and how often it was upscaled."""
        data = self.site.files()[path]
        for number in self.numbers:
            if data == damaged(number):
                return number, 0
            for times in range(MOST_TIMES + 1):
                if data == content(number, times):
                    return number, times
        return None

    # --- what must be true ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Every image is the file that it was, upscaled no more often than it may be, and its original a version."""
        files = self.site.files()
        paths = {self.server.file_id(self.there(path)): path for path in files}
        for number, file_id in self.file_ids.items():
            assert file_id in paths, f"{number} is lost"
            found = self._read(paths[file_id])
            assert found, f"{number} is damaged"
            assert found[0] == number, f"{number} became {found[0]}"
            assert found[1] <= self.spans[number].most, f"{number} was upscaled {found[1]} times"
            if found[1]:
                versions = self.server.versions(self.there(paths[file_id])).values()
                assert content(number, found[1] - 1) in versions, f"what {number} was before cannot be restored"
        for path, data in AROUND.items():
            assert files.get(path) == data
        known = set(self.file_ids.values())
        others = [path for file_id, path in paths.items() if file_id not in known and path not in AROUND]
        assert all(path.startswith(f"{RAW}/{THROWAWAY}") and not files[path] for path in others), others
        trash = [data for path, data in self.server.trash() if path.startswith(self.there(RAW))]
        assert len(trash) == self.deleted, "only people delete"

    def check_at_rest(self) -> None:
        self.check()
        assert not [path for path in self.site.files() if THROWAWAY in path]
        for number, file_id in self.file_ids.items():
            path = self.path_of(file_id)
            found = self._read(path)
            assert found
            assert number in self.bad or not path.startswith(f"{RAW}/Unknown"), f"{number} was left in {path}"
            assert not self._is_unfinished(path) or not path.startswith(f"{RAW}/")
            assert self.spans[number].least <= found[1], f"{number} was upscaled {found[1]} times only"

    # --- what scalers are told --------------------------------------------------------------------------------------

    def config_for(self, unsorted: str) -> ScalerConfig:
        assert isinstance(self.site, DiskSite)
        login = ShownAccount(self.site.account, self.password, f"{self.server.url}/", self.server.user_id)
        return ScalerConfig(login, RAW, unsorted, ("Unknown",))


class InPlaceProcess(Process):
    """A scaler that may not be disturbed while it finds out that it can replace files in place."""

    @property
    def is_detecting(self) -> bool:
        """Whether what it asks now is about that; wrong answers for good lead to another way, without loss."""
        session = self._scaler and self._scaler._session
        return self.request is not None and not (isinstance(session, InPlaceSession) and session._supported)


class InPlaceScalers(Scalers):
    """Two scalers that replace files in place."""

    server: Nextcloud
    make_process = InPlaceProcess
    world: InPlaceWorld
    processes: Sequence[InPlaceProcess]

    def make_world(self) -> InPlaceWorld:
        files = DiskSite("nextcloud", self.server.files_url, self.server.folder, self.server.user, self.server.password)
        return InPlaceWorld(fresh_site("nextcloud", files, hashes=True), self.time, server=self.server)

    @initialize(disturbed=st.booleans())
    def detection_is_disturbed(self, disturbed: bool) -> None:
        self._detection_is_disturbed = disturbed

    @rule(what=st.sampled_from(["setting", "password"]))
    def somebody_meddles(self, what: str) -> None:
        super().somebody_meddles(what)

    @rule(what=st.sampled_from(["put back", "put back", "oldest", "newest"]))
    def somebody_undoes(self, what: str) -> None:
        if what == "put back":
            self.world.move_back()
        else:
            self.world.restore(oldest=what == "oldest")

    def _step(self, who: int, fate: Fate) -> None:
        process = self.processes[who]
        if process.is_detecting and fate is not FINE and fate not in UNSURE:
            fate = UNSURE[0]
        super()._step(who, fate)
        while process.is_detecting and not self._detection_is_disturbed:
            process.step(FINE)
