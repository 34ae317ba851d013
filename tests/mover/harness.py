"""What the tests of the mover have in common: a Nextcloud with tagged pictures, and a mover in this process."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from loguru import logger
from pydantic import SecretStr

from mover.nextcloud import Nextcloud as Client
from mover.one_pass import Mover
from mover.plan import Rules, path
from mover.settings import Account, Task
from sandbox.nextcloud import Nextcloud
from shared.errors import Failure
from shared.patience import Patience
from shared.stop import Stop
from tests.fake_time import FakeTime

UNSORTED, IMAGES, PARENT = "data/unsorted", "data/images", "ai"
_contents = itertools.count(1)


def furnish(nextcloud: Nextcloud, *tags: str) -> None:
    """Make both folders, and tags."""
    for folder in (UNSORTED, IMAGES):
        (nextcloud.folder / folder).mkdir(parents=True, exist_ok=True)
    for tag in tags:
        nextcloud.create_tag(tag)


def put(nextcloud: Nextcloud, name: str, *tags: str, folder: str = UNSORTED) -> int:
    """Write a file with bytes of its own and put tags on; its id."""
    (nextcloud.folder / folder).mkdir(parents=True, exist_ok=True)
    (nextcloud.folder / folder / name).write_bytes(f"picture {next(_contents)}".encode())
    for tag in tags:
        nextcloud.tag(f"{folder}/{name}", tag)
    return nextcloud.file_id(f"{folder}/{name}")


def files(nextcloud: Nextcloud) -> dict[str, bytes]:
    """All files of the account, by path."""
    return {
        str(found.relative_to(nextcloud.folder)): found.read_bytes()
        for found in nextcloud.folder.rglob("*")
        if found.is_file()
    }


def state(nextcloud: Nextcloud) -> dict[str, tuple[bytes, int, frozenset[str]]]:
    """All files with their bytes, ids and tags, by path."""
    return {
        name: (data, nextcloud.file_id(name), frozenset(nextcloud.tags_of(name)))
        for name, data in files(nextcloud).items()
    }


def task(nextcloud: Nextcloud, **rules: Any) -> Task:
    """What a mover is to do there."""
    account = Account(root=nextcloud.url + "/", username=nextcloud.user, password=SecretStr(nextcloud.password))
    own: dict[str, Any] = {"parent": PARENT, "unsorted": path(UNSORTED), "images": path(IMAGES)}
    return Task(account=account, rules=Rules(**(own | rules)))


class Passes:
    """A mover that was just started, in a loop of its own; pauses take no time.

    Args:
        task: for all passes that name no other.
    """

    def __init__(self, task: Task, stop: Stop | None = None) -> None:
        self.task = task
        self._runner = asyncio.Runner()
        self._mover = Mover(Patience(stop or FakeTime().stop()))

    def __enter__(self) -> "Passes":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._mover.close())
        self._runner.close()

    def one(self, task: Task | None = None) -> Sequence[Failure]:
        """One pass; what failed."""
        return self._runner.run(self._mover.one_pass(task or self.task))

    def dry_run(self) -> None:
        """Say what one pass would do."""
        self._runner.run(self._mover.dry_run(self.task))


def one_pass(nextcloud: Nextcloud, stop: Stop | None = None, **rules: Any) -> Sequence[Failure]:
    """What a freshly started mover does in its first pass; gives what failed."""
    with Passes(task(nextcloud, **rules), stop) as passes:
        return passes.one()


def asked(nextcloud: Nextcloud) -> Counter[str]:
    """How often each method was asked since the log was cleared."""
    return Counter(record.method for record in nextcloud.requests)


@contextlib.contextmanager
def log_lines() -> Iterator[list[str]]:
    """What is logged from INFO on, a level and a text each."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(line.rstrip("\n")), level="INFO", format="{level} {message}")
    try:
        yield lines
    finally:
        logger.remove(sink)


def spoil(
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    *,
    before: Callable[[], object] | None = None,
    after: Callable[[], object] | None = None,
    times: int = 1,
) -> None:
    """Let something happen just before, or just after, the client's next requests of a kind."""
    real: Callable[..., Awaitable[Any]] = getattr(Client, method)
    left = iter(range(times))

    async def spoiled(client: Client, *arguments: Any) -> Any:
        now = next(left, None) is not None
        if now and before:
            before()
        result = await real(client, *arguments)
        if now and after:
            after()
        return result

    monkeypatch.setattr(Client, method, spoiled)
