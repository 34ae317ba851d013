"""What an earlier try has uploaded is published later, or deleted: never uploaded twice."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaler.recovery import OWN_ORPHAN_AFTER
from scaler.service import ScalerService
from shared.errors import (
    Failure,
    Forbidden,
    Locked,
    ParentNotFound,
    ServerUnavailable,
    ServerUnreachable,
    StorageFull,
)
from shared.retry import ATTEMPTS, RetryPolicy
from shared.webdav.store import Href
from tests.contract.memory import MemoryServer
from tests.fake_time import FakeTime
from tests.scaler.harness import (
    HIDDEN,
    LIMITS,
    RAW,
    UNSORTED,
    assert_done,
    claims,
    config,
    image,
    inside,
    pixels,
    prepare,
    uploads,
    upscaled_pixels,
)

NAME = "Unknown.png"
A_DAY = 24 * 3600.0


class Scene:
    """A scaler and a server that rejects some requests."""

    def __init__(self, scaler: ScalerService, site: MemoryServer, time: FakeTime) -> None:
        self.site = site
        self._scaler = scaler
        self._time = time
        site.interfere = self._interfere
        self.reject: Callable[[str, str], Failure | None] = lambda _method, _path: None

    def _interfere(self, method: str, href: Href, after: bool) -> None:
        error = None if after else self.reject(method, href)
        if error:
            raise error

    def polls(self, number: int = 1, every: float = 30.0) -> list[Failure]:
        """The failures of the last poll."""
        for _ in range(number):
            failures = self._scaler.poll(config(self.site.account))
            self._time.now += every
        return list(failures)

    def counts(self) -> Counter[str]:
        """The requests so far that took effect, but for listings."""
        return Counter(method for method, path in self.site.log if method != "PROPFIND" and "unsorted-" not in path)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    time = FakeTime()
    site = MemoryServer(clock=lambda: 1_800_000_000.0 + time.now)
    prepare(site)
    retry = RetryPolicy(time.stop())
    with ScalerService(threads=2, limits=LIMITS, quality=95, state=tmp_path, retry=retry) as scaler:
        yield Scene(scaler, site, time)


def rejecting_claims(error: Failure) -> Callable[[str, str], Failure | None]:
    return lambda method, path: error if method == "MOVE" and path.startswith(f"/{RAW}/Unknown") else None


@pytest.mark.parametrize("error", [Locked("x"), ServerUnavailable("x"), ParentNotFound("x")], ids=repr)
def test_a_copy_that_could_not_be_published_for_a_day_is_published_in_the_end(scene: Scene, error: Failure) -> None:
    scene.site.write(f"{RAW}/{NAME}", image())
    scene.reject = rejecting_claims(error)
    scene.polls(int(A_DAY / 600), every=600)
    assert A_DAY > OWN_ORPHAN_AFTER
    assert len(uploads(scene.site)) == 1
    scene.reject = lambda _method, _path: None
    scene.polls(7, every=600)
    assert_done(scene.site, {NAME: image()})
    assert (scene.counts()["GET"], scene.counts()["PUT"]) == (1, 1)


def test_a_changed_image_is_tried_at_once_and_its_old_copy_deleted(scene: Scene) -> None:
    scene.site.write(f"{RAW}/{NAME}", image())
    scene.reject = rejecting_claims(Locked("x"))
    scene.polls(10)
    (old,) = uploads(scene.site)
    scene.site.write(f"{RAW}/{NAME}", image(1))
    scene.polls()
    (new,) = uploads(scene.site)
    assert new != old
    scene.reject = lambda _method, _path: None
    scene.polls()
    assert_done(scene.site, {NAME: image(1)})


def test_a_copy_that_is_gone_or_damaged_is_made_again(scene: Scene) -> None:
    scene.site.write(f"{RAW}/{NAME}", image())
    scene.reject = rejecting_claims(Locked("x"))
    scene.polls()
    for damage in (scene.site.remove, lambda path: scene.site.write(path, b"half")):
        damage(f"{UNSORTED}/{HIDDEN}/{next(iter(uploads(scene.site)))}")
        scene.polls(every=3600)
        assert len(uploads(scene.site)) == 1
    scene.reject = lambda _method, _path: None
    scene.polls()
    assert_done(scene.site, {NAME: image()})
    assert scene.counts()["PUT"] == 3


def test_a_copy_is_deleted_where_it_was_rejected(scene: Scene) -> None:
    scene.site.write(f"{RAW}/{NAME}", image())
    scene.reject = rejecting_claims(Forbidden("x"))
    scene.polls(100)
    assert uploads(scene.site) == {}
    assert scene.counts()["GET"] == 1


def test_an_upload_that_could_not_be_deleted_is_deleted_before_the_next(scene: Scene) -> None:
    scene.site.write(f"{RAW}/{NAME}", image())
    broken = ServerUnavailable("the answer is lost")

    def lose_answers(method: str, href: Href, after: bool) -> None:
        if (method == "PUT" and after and f"/{UNSORTED}/" in href) or (method == "DELETE" and not after):
            raise broken

    scene.site.interfere = lose_answers
    for _ in range(10):
        scene.polls()
        assert len(uploads(scene.site)) == 1
    scene.site.interfere = lambda _method, _href, _after: None
    scene.polls(every=3600)
    scene.polls()
    assert_done(scene.site, {NAME: image()})


def test_a_full_storage_takes_no_new_image_and_finishes_what_is_published(scene: Scene) -> None:
    originals = {f"Unknown {number}.png": image(number) for number in range(12)}
    for name, data in originals.items():
        scene.site.write(f"{RAW}/{name}", data)
    sent, is_full = itertools.count(1), threading.Event()

    def full(method: str, path: str) -> Failure | None:
        if method == "DELETE":
            # The claims of published images are still to be deleted then.
            assert is_full.wait(30)
        if method == "PUT" and path.startswith(f"/{UNSORTED}/") and next(sent) > 4:
            is_full.set()
            return StorageFull("no space")
        return None

    scene.reject = full
    failures = scene.polls()
    # One for each of the two threads, and none for an image that was not taken.
    assert 1 <= len(failures) <= 2
    assert len(inside(scene.site, UNSORTED)) == 4
    assert claims(scene.site) == {}
    assert uploads(scene.site) == {}
    before = scene.counts()
    failures = scene.polls(100)
    assert [str(failure) for failure in failures] == ["no space"]
    # The smallest image, now and then.
    assert scene.counts()["GET"] - before["GET"] <= 8
    scene.reject = lambda _method, _path: None
    scene.polls(2, every=3600)
    scene.polls()
    assert_done(scene.site, originals)


@pytest.mark.parametrize(
    "error", [ServerUnavailable("status 503"), ServerUnreachable("no answer"), Locked("status 423")], ids=repr
)
def test_one_move_that_fails_for_now_does_not_mean_that_the_server_moves_nothing(scene: Scene, error: Failure) -> None:
    scene.site.write(f"{RAW}/{NAME}", image())
    rejected = iter([error] * ATTEMPTS)
    scene.reject = lambda method, _path: next(rejected, None) if method == "MOVE" else None
    said = [str(failure) for failure in scene.polls()]
    assert not any("does not move files" in line for line in said)
    scene.reject = lambda _method, _path: None
    scene.polls(3, every=60)
    assert_done(scene.site, {NAME: image()})


def test_a_server_that_moves_nothing_is_tried_with_a_small_file(scene: Scene) -> None:
    originals = {f"Unknown {number}.png": image(number) for number in range(12)}
    for name, data in originals.items():
        scene.site.write(f"{RAW}/{name}", data)
    scene.reject = lambda method, _path: ServerUnavailable("status 502", status=502) if method == "MOVE" else None
    failures = scene.polls(100)
    assert "The server does not move files (status 502)" in str(failures[0])
    assert uploads(scene.site) == {}
    assert scene.counts()["GET"] <= 2
    scene.reject = lambda _method, _path: None
    scene.polls(2, every=3600)
    scene.polls()
    assert_done(scene.site, originals)


def test_a_copy_whose_original_is_claimed_outlives_another_image_of_the_same_name(scene: Scene) -> None:
    """Whether it was published is not known; without it, recovery would take the original for published."""
    scene.site.write(f"{RAW}/{NAME}", image(1))
    scene.reject = lambda method, path: (
        ServerUnavailable("status 503") if method == "MOVE" and claims(scene.site) and UNSORTED in path else None
    )
    scene.polls()
    assert list(claims(scene.site).values()) == [image(1)]
    scene.site.write(f"{RAW}/{NAME}", image(2))
    scene.polls(3)
    assert image(1) in claims(scene.site).values()
    scene.reject = lambda _method, _path: None
    scene.polls(3, every=3600)
    upscaled = [pixels(data) for data in inside(scene.site, UNSORTED).values()]
    assert sorted(upscaled) == sorted(upscaled_pixels(image(number)) for number in (1, 2))
