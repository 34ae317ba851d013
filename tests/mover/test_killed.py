"""Movers that are killed, and movers that do not know of each other."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mover.config import MoverConfig
from mover.service import MoverService
from mover.tags import TagClient
from sandbox.nextcloud import Nextcloud
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.client import WebDavClient
from tests.mover.harness import IMAGES, Polls, asked, config, files, poll, put, seed, state


def die_before_request(number: int, config: MoverConfig) -> None:
    """One poll in this process, which is killed before it sends its request of that number, from 0 on."""
    requests = itertools.count()
    turn = threading.Lock()

    def dying(client: type, method: str) -> None:
        real: Callable[..., Any] = getattr(client, method)

        def counted(*arguments: Any, **options: Any) -> Any:
            with turn:
                if next(requests) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        setattr(client, method, counted)

    for method in ("list_folder", "stat", "move", "make_folder"):
        dying(WebDavClient, method)
    dying(TagClient, "unassign")
    with MoverService(RetryPolicy(StopToken())) as mover:
        mover.poll(config)


@pytest.mark.slow
def test_killed_between_any_two_requests() -> None:
    # The library takes seconds to load: one process does, and is forked for every kill.
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload(["mover.service", __name__])
    number, killed = 0, True
    while killed:
        with Nextcloud() as nextcloud:
            seed(nextcloud, "ai:cats", "ai:dogs", "holiday")
            put(nextcloud, "a.jpg", folder=f"{IMAGES}/cats")
            for name, tag in (("a.jpg", "ai:cats"), ("b.jpg", "ai:cats"), ("c.jpg", "ai:dogs")):
                put(nextcloud, name, tag, "holiday")
            before = state(nextcloud)
            process = start.Process(target=die_before_request, args=(number, config(nextcloud)))
            process.start()
            process.join(60)
            assert process.exitcode in (0, -signal.SIGKILL)
            killed = process.exitcode != 0
            assert poll(nextcloud) == []
            now = state(nextcloud)
            assert set(now) == {
                f"{IMAGES}/{name}" for name in ("cats/a.jpg", "cats/a (2).jpg", "cats/b.jpg", "dogs/c.jpg")
            }
            assert {file_id: data for data, file_id, _ in now.values()} == {
                file_id: data for data, file_id, _ in before.values()
            }
            assert sorted(map(sorted, (tags for _, _, tags in now.values()))) == [[], *[["holiday"]] * 3]
        number += 1
    assert number > 12


def test_two_movers_at_once() -> None:
    with Nextcloud() as nextcloud:
        seed(nextcloud, "ai:cats", "ai:dogs", "holiday")
        for turn in range(4):
            data = {}
            for number in range(15):
                name = f"{turn} {number}.jpg"
                file_id = put(nextcloud, name, "ai:dogs" if number % 2 else "ai:cats", "holiday")
                data[name] = file_id
            before = files(nextcloud)
            together = threading.Barrier(2)

            def run(together: threading.Barrier = together) -> int:
                with Polls(config(nextcloud)) as polls:
                    together.wait(20)
                    return len(polls.one())

            nextcloud.clear_log()
            with ThreadPoolExecutor(2) as pool:
                assert [future.result() for future in [pool.submit(run), pool.submit(run)]] == [0, 0]
            assert asked(nextcloud)["MOVE"] >= 15
            assert poll(nextcloud) == []
            now = state(nextcloud)
            for number in range(15):
                name = f"{turn} {number}.jpg"
                folder = f"{IMAGES}/{'dogs' if number % 2 else 'cats'}"
                assert now[f"{folder}/{name}"][1:] == (data[name], frozenset({"holiday"}))
            assert len(now) == 15 * (turn + 1)
            assert sorted(before.values()) == sorted(files(nextcloud).values())
