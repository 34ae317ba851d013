"""TLS of the image server: no request, and so no password, reaches a server that is not the one it should be."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from mover.tags import TagClient
from shared.errors import Failure, NotAsked, NotFound
from shared.retry import RetryPolicy
from shared.webdav.account import WebDavAccount
from shared.webdav.client import WebDavClient
from shared.webdav.pool import ConnectionPool
from shared.webdav.store import Entry, Href, Tag
from tests.fake_time import FakeTime
from tests.servers.canned import Answer, canned
from tests.servers.tls import Authority

FILE = Entry("a.jpg", Href("/a.jpg"), False, 5, None, None, file_id="7")


@pytest.fixture(autouse=True)
def _no_other_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `mover.main` sees to."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)


def _list(account: WebDavAccount, retry: RetryPolicy) -> None:
    with ConnectionPool(account, retry).connect() as store:
        store.stat(Href("/dav/"))


def _move(account: WebDavAccount, retry: RetryPolicy) -> None:
    del retry
    WebDavClient(account).move(Href("/dav/a"), Href("/dav/b"))


def _recognize(account: WebDavAccount, retry: RetryPolicy) -> None:
    account.model_copy(update={"is_host": True}).open(retry)


def _untag(account: WebDavAccount, retry: RetryPolicy) -> None:
    """The mover's other client."""
    found = ConnectionPool(account, retry, root_url=account.base_url, user_id="alice")
    tags = TagClient(account, found)
    try:
        # Whatever is answered with 404 was asked.
        if not tags.unassign(FILE, Tag("ai:cats", "3")):
            raise NotFound("asked")
    finally:
        tags.close()


ASK = pytest.mark.parametrize("ask", [_list, _move, _recognize, _untag])
type Ask = Callable[[WebDavAccount, RetryPolicy], None]


def attempt(ask: Ask, certificate: ssl.SSLContext, cacert: Path | None) -> tuple[Failure | None, int]:
    """What comes of asking a server with a certificate, and how many requests arrive."""
    failed = None
    with canned(lambda _: Answer(404), certificate) as server:
        account = WebDavAccount(base_url=server.url, username="alice", password=SecretStr("s3cret"), cacert=cacert)
        try:
            ask(account, RetryPolicy(FakeTime().stop()))
        except Failure as failure:
            failed = failure
        return failed, len(server.asked)


@ASK
def test_the_right_authority(ask: Ask, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    failed, asked = attempt(ask, authority.certificate(), authority.file)
    assert failed is None or isinstance(failed, NotFound)
    assert asked == 1


@ASK
@pytest.mark.parametrize(
    ("case", "words", "hint"),
    [
        ("untrusted", "is not trusted", "WEBDAV_CACERT"),
        ("wrong authority", "does not contain its certificate authority", "WEBDAV_CACERT"),
        ("wrong host", "is for another host name", "webdav/url"),
        ("expired", "has expired", "renew"),
    ],
)
def test_no_request_reaches_a_server_that_is_not_known(
    ask: Ask, case: str, words: str, hint: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate = authority.certificate(
        "images.example.com" if case == "wrong host" else "127.0.0.1", expired=case == "expired"
    )
    cacert = {"untrusted": None, "wrong authority": Authority(tmp_path).file}.get(case, authority.file)
    failed, asked = attempt(ask, certificate, cacert)
    assert asked == 0
    assert type(failed) is NotAsked
    assert words in failed.message
    assert hint in failed.hint
    # Only an authority that is missing is mended by naming one.
    assert ("WEBDAV_CACERT" in failed.hint) == (case in ("untrusted", "wrong authority"))
