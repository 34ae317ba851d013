"""What an answer may take: time, and bytes, unpacked ones too; and connections that nobody needs any more."""

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.errors import Failure, IntegrityError, NotWebDav, ServerUnreachable
from shared.retry import RetryPolicy
from shared.webdav import client
from shared.webdav.account import WebDavAccount
from shared.webdav.pool import ConnectionPool
from shared.webdav.store import Entry, Href, Store
from tests.fake_time import FakeTime
from tests.servers.canned import Answer, Canned, canned
from tests.servers.stores import connected

FILE = Entry("a.jpg", Href("/dav/a.jpg"), False, 5, '"1"', None)
LISTING = (
    b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/dav/</d:href><d:propstat><d:prop><d:resourcetype>'
    b"<d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
    b"</d:multistatus>"
)


@pytest.fixture
def server() -> Iterator[Canned]:
    with canned(lambda _: Answer(500)) as running:
        yield running


def account_on(server: Canned, **values: float) -> WebDavAccount:
    return WebDavAccount(base_url=server.url + "dav/", username="alice", password=SecretStr("s3cret")).model_copy(
        update=values
    )


@pytest.fixture
def store(server: Canned) -> Iterator[Store]:
    with connected(account_on(server), RetryPolicy(FakeTime().stop(), attempts=1)) as found:
        yield found


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("over", [0, 1])
def test_a_listing_at_its_limit_and_over_it(
    server: Canned, store: Store, monkeypatch: pytest.MonkeyPatch, packed: bool, over: int
) -> None:
    limit = 3 * 2**20
    monkeypatch.setattr(client, "LARGEST_LISTING", limit)
    body = LISTING.replace(b"</d:multistatus>", b" " * (limit - len(LISTING) + over) + b"</d:multistatus>")
    headers = {"Content-Encoding": "gzip"} if packed else {}
    server.answer = lambda _: Answer(207, gzip.compress(body) if packed else body, headers)
    if not over:
        assert store.list_folder(Href("/dav/")).entries == ()
        return
    with pytest.raises(NotWebDav, match="exceeds 3 MiB"):
        store.list_folder(Href("/dav/"))
    # The next request is not disturbed by what was left unread.
    server.answer = lambda _: Answer(207, LISTING)
    assert store.list_folder(Href("/dav/")).entries == ()


@pytest.mark.parametrize("status", [200, 207, 404, 500])
def test_a_gzip_bomb_in_any_answer_is_bounded(
    server: Canned, store: Store, monkeypatch: pytest.MonkeyPatch, status: int, tmp_path: Path
) -> None:
    monkeypatch.setattr(client, "LARGEST_LISTING", 2**20)
    bomb = gzip.compress(b"a" * 2**26, 1)
    server.answer = lambda _: Answer(status, bomb, {"Content-Encoding": "gzip"})
    for ask in (lambda: store.list_folder(Href("/dav/")), lambda: store.get(FILE, tmp_path / "a")):
        with pytest.raises(Failure):
            ask()
    assert not (tmp_path / "a").exists() or (tmp_path / "a").stat().st_size <= 2 * 2**20


def test_a_download_stops_at_the_listed_size(server: Canned, store: Store, tmp_path: Path) -> None:
    server.answer = lambda _: Answer(200, b"1" * 50 * 2**20, {"ETag": '"1"'}, length=2**40)
    with pytest.raises(IntegrityError, match="more than 5 bytes"):
        store.get(FILE, tmp_path / "a")
    assert (tmp_path / "a").stat().st_size <= 2**20


def test_a_download_without_any_length_ends_with_its_connection_or_at_the_limit(
    server: Canned, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlisted = Entry("a.jpg", Href("/dav/a.jpg"), False, None, '"1"', None)
    server.answer = lambda _: Answer(200, b"1" * 2**20, {"ETag": '"1"', "Content-Encoding": "identity"})
    store.get(unlisted, tmp_path / "a")
    assert (tmp_path / "a").stat().st_size == 2**20
    monkeypatch.setattr(client, "LARGEST_DOWNLOAD", 2**19)
    with pytest.raises(IntegrityError):
        store.get(unlisted, tmp_path / "a")


def test_an_answer_that_drips_is_broken_off_in_time(server: Canned, tmp_path: Path) -> None:
    """Every byte comes within the timeout of the socket."""
    server.answer = lambda asked: Answer(
        {"GET": 200, "PROPFIND": 207}.get(asked.method, 500), b"<", length=2**30, drips=True
    )
    with connected(account_on(server, longest=0.5), RetryPolicy(FakeTime().stop(), attempts=1)) as store:
        questions: list[Callable[[], object]] = [
            lambda: store.list_folder(Href("/dav/")),
            lambda: store.get(FILE, tmp_path / "a"),
            lambda: store.delete(Href("/dav/a")),
            lambda: store.get_json(Href("/dav/a")),
        ]
        for ask in questions:
            began = time.monotonic()
            with pytest.raises((ServerUnreachable, IntegrityError)):
                ask()
            assert time.monotonic() - began < 20
        # What came in time is not disturbed.
        server.answer = lambda _: Answer(207, LISTING)
        time.sleep(0.6)
        assert store.list_folder(Href("/dav/")).entries == ()


def test_what_is_asked_before_the_password_is_bounded_too(server: Canned) -> None:
    server.answer = lambda _: Answer(200, b"{", length=2**30, drips=True)
    account = account_on(server, longest=0.5).model_copy(update={"is_host": True})
    with pytest.raises(ServerUnreachable):
        account.open(RetryPolicy(FakeTime().stop(), attempts=1))


def test_connections_that_were_lent_when_all_were_closed_are_closed_when_they_come_back(server: Canned) -> None:
    server.answer = lambda _: Answer(207, LISTING)
    pool = ConnectionPool(account_on(server), RetryPolicy(FakeTime().stop()))
    with pool.connect() as idle:
        idle.stat(Href("/dav/"))
    with pool.connect() as lent:
        lent.stat(Href("/dav/"))
        with pool.connect() as other:
            other.stat(Href("/dav/"))
        assert server.connected == 2
        pool.close()
        lent.stat(Href("/dav/"))
    deadline = time.monotonic() + 10
    while server.connected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.connected == 0
