"""What the tests of the mover have in common: a Nextcloud with tagged images, and a mover in this process."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, unquote

import pytest
from loguru import logger
from pydantic import SecretStr

from mover.config import MoverConfig
from mover.selection import Rules
from mover.service import MoverService
from mover.tags import TagClient
from sandbox.nextcloud import Nextcloud
from shared.errors import Failure
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.account import WebDavAccount
from shared.webdav.client import WebDavClient
from tests.fake_time import FakeTime

UNSORTED, IMAGES, PARENT = "data/unsorted", "data/images", "ai"
_contents = itertools.count(1)


def seed(nextcloud: Nextcloud, *tags: str) -> None:
    """Make both folders, and tags."""
    for folder in (UNSORTED, IMAGES):
        (nextcloud.folder / folder).mkdir(parents=True, exist_ok=True)
    for tag in tags:
        nextcloud.create_tag(tag)


def put(nextcloud: Nextcloud, name: str, *tags: str, folder: str = UNSORTED) -> int:
    """Write a file with bytes of its own and put tags on; its id."""
    (nextcloud.folder / folder).mkdir(parents=True, exist_ok=True)
    (nextcloud.folder / folder / name).write_bytes(f"image {next(_contents)}".encode())
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


def config(nextcloud: Nextcloud, **rules: Any) -> MoverConfig:
    """What a mover is to do there."""
    account = WebDavAccount(
        base_url=f"{nextcloud.url}/remote.php/dav/files/{quote(nextcloud.user_id, safe='')}/",
        username=nextcloud.user,
        password=SecretStr(nextcloud.password),
    )
    own: dict[str, Any] = {"parent": PARENT, "unsorted": UNSORTED, "images": IMAGES}
    return MoverConfig(account=account, rules=Rules(**(own | rules)))


class Polls:
    """A mover that was just started; pauses take no time.

    Args:
        config: for all polls that name no other.
    """

    def __init__(self, config: MoverConfig, stop: StopToken | None = None) -> None:
        self.config = config
        self._mover = MoverService(RetryPolicy(stop or FakeTime().stop()))

    def __enter__(self) -> "Polls":
        return self

    def __exit__(self, *_: object) -> None:
        self._mover.__exit__(*_)

    def one(self, config: MoverConfig | None = None) -> Sequence[Failure]:
        """One poll; what failed."""
        return self._mover.poll(config or self.config)

    def dry_run(self) -> None:
        """Say what one poll would do."""
        self._mover.dry_run(self.config)


def poll(nextcloud: Nextcloud, stop: StopToken | None = None, **rules: Any) -> Sequence[Failure]:
    """What a freshly started mover does in its first poll; gives what failed."""
    with Polls(config(nextcloud, **rules), stop) as polls:
        return polls.one()


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


def inject(
    monkeypatch: pytest.MonkeyPatch,
    request: str,
    *,
    before: Callable[[], object] | None = None,
    after: Callable[[], object] | None = None,
    times: int = 1,
) -> None:
    """Let something happen just before, or just after, the mover's next requests of a kind.

    Args:
        request: the method of a client; after a space the end of the address that it is sent to.
    """
    method, _, end = request.partition(" ")
    client = TagClient if method == "unassign" else WebDavClient
    real: Callable[..., Any] = getattr(client, method)
    left = iter(range(times))

    def injected(self: object, target: Any, *arguments: Any, **options: Any) -> Any:
        now = unquote(str(target)).endswith(end) and next(left, None) is not None
        if now and before:
            before()
        result = real(self, target, *arguments, **options)
        if now and after:
            after()
        return result

    monkeypatch.setattr(client, method, injected)
