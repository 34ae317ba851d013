"""What the mover asks about tags through nc_py_api."""

import contextlib
import gc
import urllib.parse
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from mover.tags import TagClient
from sandbox.nextcloud import Nextcloud
from shared.errors import Forbidden, NotWebDav, ServerUnavailable, ServerUnreachable, Unauthorized
from shared.retry import RetryPolicy
from shared.webdav.account import WebDavAccount
from shared.webdav.pool import ConnectionPool
from shared.webdav.store import Entry, Href, Tag
from tests.fake_time import FakeTime
from tests.mover.harness import config, put

RETRY = RetryPolicy(FakeTime().stop())


@pytest.fixture(params=["", "/cloud"])
def nextcloud(request: pytest.FixtureRequest) -> Iterator[Nextcloud]:
    """A server at the top or under a sub-path, whose user id has to be quoted."""
    with Nextcloud(user="alice@example.org", user_id="u 1.o'x@y", base_path=request.param) as server:
        yield server


@pytest.fixture
def account(nextcloud: Nextcloud) -> WebDavAccount:
    """Its account."""
    return config(nextcloud).account


@pytest.fixture
def tags(account: WebDavAccount) -> Iterator[TagClient]:
    """A client."""
    client = client_of(account)
    yield client
    client.close()


def client_of(account: WebDavAccount) -> TagClient:
    """A client for an account, which is opened first."""
    with contextlib.closing(account.open(RETRY)) as connections:
        return TagClient(account, connections)


def entry(file_id: int) -> Entry:
    return Entry("a.jpg", Href("/a.jpg"), is_folder=False, size=1, etag=None, modified=None, file_id=str(file_id))


def tag_of(nextcloud: Nextcloud, name: str, **rights: bool) -> Tag:
    return Tag(name, str(nextcloud.create_tag(name, **rights)))


def test_a_tag_is_taken_off_with_one_request_and_only_once(nextcloud: Nextcloud, tags: TagClient) -> None:
    cats = tag_of(nextcloud, "ai:cats")
    file = entry(put(nextcloud, "a.jpg", "ai:cats", folder="below"))
    nextcloud.clear_log()
    assert tags.unassign(file, cats)
    assert not tags.unassign(file, cats)
    assert not tags.unassign(entry(999_999), cats)
    assert nextcloud.tags_of("below/a.jpg") == set()
    assert [record.method for record in nextcloud.requests] == ["DELETE"] * 3
    assert len({record.peer for record in nextcloud.requests}) == 1


def test_no_connection_is_left_open(nextcloud: Nextcloud, account: WebDavAccount) -> None:
    cats = tag_of(nextcloud, "ai:cats")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        client = client_of(account)
        assert client.tagged(cats) == []
        assert not client.unassign(entry(1), cats)
        client.close()
        del client
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("below", ["", "my files/100% ü"])
def test_what_has_a_tag_is_told_with_its_folder(nextcloud: Nextcloud, account: WebDavAccount, below: str) -> None:
    cats = tag_of(nextcloud, "ai:cats")
    inside = f"{below}/" if below else ""
    file_id = put(nextcloud, "ä #1.jpg", "ai:cats", folder=f"{inside}data/unsorted")
    put(nextcloud, "untagged.jpg", folder=f"{inside}data/unsorted")
    put(nextcloud, "top.jpg", "ai:cats", folder=below)
    put(nextcloud, "outside.jpg", "ai:cats", folder="my files/100% üü")
    base_url = account.base_url + urllib.parse.quote(inside)
    tags = client_of(account.model_copy(update={"base_url": base_url}))
    try:
        found = {(folder, file.name): file for folder, file in tags.tagged(cats)}
        nextcloud.clear_log()
        tags.tagged(cats)
        nextcloud.delete_tag("ai:cats")
        assert tags.tagged(cats) == []
        assert [record.method for record in nextcloud.requests] == ["REPORT", "REPORT"]
    finally:
        tags.close()
    outside = [] if below else [("my files/100% üü", "outside.jpg")]
    assert sorted(found) == sorted([("data/unsorted", "ä #1.jpg"), ("", "top.jpg"), *outside])
    file = found["data/unsorted", "ä #1.jpg"]
    assert (file.file_id, file.media_type, file.is_folder, file.tags) == (str(file_id), "image/jpeg", False, (cats,))
    with contextlib.closing(account.open(RETRY)) as connections, connections.connect() as store:
        there = store.stat(file.href)
    assert there is not None
    assert (there.file_id, there.etag) == (file.file_id, file.etag)


def test_errors_are_those_of_every_other_request(nextcloud: Nextcloud, tags: TagClient) -> None:
    locked = tag_of(nextcloud, "ai:locked", user_assignable=False)
    file = entry(put(nextcloud, "a.jpg", "ai:locked"))
    with pytest.raises(
        Forbidden, match=r"^DELETE .*/remote.php/dav/systemtags-relations/files/\d+/\d+ was answered with"
    ):
        tags.unassign(file, locked)
    nextcloud.maintenance = True
    with pytest.raises(ServerUnavailable, match="503"):
        tags.unassign(file, locked)
    nextcloud.maintenance = False
    nextcloud.set_password("another")
    with pytest.raises(Unauthorized, match="webdav/password"):
        tags.unassign(file, locked)
    nextcloud.stop()
    with pytest.raises(ServerUnreachable, match="refuses connections"):
        tags.unassign(file, locked)
    nextcloud.start()


def test_a_missing_certificate_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    account = WebDavAccount(
        base_url="https://127.0.0.1:1/", username="alice", password=SecretStr("s3cret"), cacert=Path("/nowhere/ca.pem")
    )
    tags = TagClient(account, ConnectionPool(account, RETRY, root_url=account.base_url, user_id="alice"))
    try:
        with pytest.raises(NotWebDav, match=r"/nowhere/ca.pem.*WEBDAV_CACERT"):
            tags.unassign(entry(1), Tag("ai:cats", "1"))
    finally:
        tags.close()
