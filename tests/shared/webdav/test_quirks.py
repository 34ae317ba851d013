"""What servers and proxies do differently, on canned answers: each case was seen on a real server."""

import contextlib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from pydantic import SecretStr

from shared.errors import (
    Failure,
    Forbidden,
    IntegrityError,
    NotAccepted,
    NotWebDav,
    PreconditionFailed,
    ServerUnavailable,
    Unauthorized,
)
from shared.retry import RetryPolicy
from shared.webdav.account import WebDavAccount
from shared.webdav.store import Entry, Href, Store, put_verified
from tests.fake_time import FakeTime
from tests.servers.canned import Answer, Asked, Canned, canned
from tests.servers.stores import connected
from tests.servers.wsgidav import wsgidav

FILE = Entry("a.jpg", Href("/dav/a.jpg"), False, 5, '"1"', 784111777.0)
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.fixture
def server() -> Iterator[Canned]:
    with canned(lambda _: Answer(500)) as running:
        yield running


@pytest.fixture
def store(server: Canned) -> Iterator[Store]:
    account = WebDavAccount(base_url=server.url + "dav/", username="alice", password=SecretStr("s3cret"))
    with connected(account, RetryPolicy(FakeTime().stop(), attempts=1)) as client:
        yield client


def described(path: str, properties: str) -> Answer:
    """The answer to a PROPFIND on one resource."""
    body = (
        f'<d:multistatus xmlns:d="DAV:"><d:response><d:href>{path}</d:href><d:propstat><d:prop>{properties}</d:prop>'
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"
    )
    return Answer(207, body.encode())


def failed_inside(path: str, status: int) -> Answer:
    """A multistatus that says that something was not done."""
    body = (
        f'<d:multistatus xmlns:d="DAV:"><d:response><d:href>{path}</d:href><d:status>HTTP/1.1 {status} x</d:status>'
        "</d:response></d:multistatus>"
    )
    return Answer(207, body.encode())


# --- versions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("etag", ['"1"', "1", 'W/"1"', None])
def test_a_download_of_the_version_that_was_listed(
    server: Canned, store: Store, tmp_path: Path, etag: str | None
) -> None:
    """However its ETag is written."""
    server.answer = lambda _: Answer(200, b"12345", {"ETag": etag} if etag else {})
    store.get(FILE, tmp_path / "a")
    assert [asked.method for asked in server.asked] == ["GET"]


@pytest.mark.parametrize(
    ("listed", "unchanged"),
    [
        ('"1"', True),
        ("1", True),
        ('"2"', False),
    ],
)
def test_a_server_that_sends_another_etag_than_it_lists(
    server: Canned, store: Store, tmp_path: Path, listed: str, unchanged: bool
) -> None:
    """That is a replaced file only if it is listed otherwise too."""

    def answer(asked: Asked) -> Answer:
        if asked.method == "GET":
            return Answer(200, b"12345", {"ETag": '"1-gzip"'})
        size, date = "<d:getcontentlength>5</d:getcontentlength>", f"<d:getlastmodified>{DATE}</d:getlastmodified>"
        return described(asked.path, f"<d:resourcetype/><d:getetag>{listed}</d:getetag>{size}{date}")

    server.answer = answer
    if unchanged:
        store.get(FILE, tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == b"12345"
    else:
        with pytest.raises(PreconditionFailed):
            store.get(FILE, tmp_path / "a")


def test_without_a_listed_etag_the_date_tells_versions_apart(server: Canned, store: Store, tmp_path: Path) -> None:
    server.answer = lambda asked: (
        Answer(200, b"12345", {"ETag": '"9"', "Last-Modified": "Sun, 06 Nov 1994 08:49:38 GMT"})
        if asked.method == "GET"
        else described(asked.path, "<d:resourcetype/><d:getlastmodified>Sun Nov  6 08:49:38 1994</d:getlastmodified>")
    )
    with pytest.raises(PreconditionFailed):
        store.get(Entry("a.jpg", FILE.href, False, 5, None, FILE.modified), tmp_path / "a")
    store.get(Entry("a.jpg", FILE.href, False, 5, None, FILE.modified and FILE.modified + 1), tmp_path / "a")


def test_a_replaced_file_of_another_length_is_no_broken_download(server: Canned, store: Store, tmp_path: Path) -> None:
    server.answer = lambda _: Answer(200, b"1234567", {"ETag": '"2"'})
    with pytest.raises(PreconditionFailed):
        store.get(FILE, tmp_path / "a")


@pytest.mark.parametrize("there", [b"12345", b"1234"])
def test_an_upload_whose_length_is_not_listed_is_downloaded_to_verify_it(
    server: Canned, store: Store, there: bytes
) -> None:
    """No length is not zero length."""
    server.answer = lambda asked: {
        "PUT": Answer(201),
        "GET": Answer(200, there),
        "PROPFIND": described(asked.path, "<d:resourcetype/><d:getcontentlength/>"),
    }[asked.method]
    if len(there) == 5:
        put_verified(store, Href("/dav/a"), b"12345")
        assert [asked.method for asked in server.asked] == ["PUT", "PROPFIND", "GET"]
    else:
        with pytest.raises(IntegrityError):
            put_verified(store, Href("/dav/a"), b"12345")


# --- a multistatus that says no --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "error"), [(423, ServerUnavailable), (403, Forbidden), (500, ServerUnavailable)])
def test_a_207_to_a_delete_or_a_move_is_no_success(
    server: Canned, store: Store, status: int, error: type[Failure]
) -> None:
    server.answer = lambda asked: failed_inside(asked.path, status)
    with pytest.raises(error, match=str(status)):
        store.delete(Href("/dav/a"))
    with pytest.raises(error, match=str(status)):
        store.move(Href("/dav/a"), Href("/dav/b"))
    server.answer = lambda _: Answer(207, b'<d:multistatus xmlns:d="DAV:"/>')
    with pytest.raises(NotWebDav, match="207"):
        store.delete(Href("/dav/a"))
    with pytest.raises(NotWebDav, match="207"):
        store.move(Href("/dav/a"), Href("/dav/b"))


# --- Destination -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 502])
@pytest.mark.parametrize("taken", ["uri", "path", "other scheme", "none"])
def test_the_next_move_uses_the_next_form_of_the_target(server: Canned, store: Store, status: int, taken: str) -> None:
    """No MOVE is repeated: 502 may come from a proxy that has lost the answer."""
    host = server.url.rstrip("/")
    forms = {"uri": host, "path": "", "other scheme": host.replace("http:", "https:")}

    def answer(asked: Asked) -> Answer:
        prefix = asked.headers["Destination"].removesuffix("/dav/b")
        return Answer(201 if taken != "none" and prefix == forms[taken] else status)

    server.answer = answer
    used = []
    for _ in range(7):
        before = len(server.asked)
        with contextlib.suppress(NotAccepted, ServerUnavailable):
            store.move(Href("/dav/a"), Href("/dav/b"), if_match='"1"')
        assert len(server.asked) == before + 1
        asked = server.asked[-1]
        # In every form it stays conditional.
        assert (asked.headers["If-Match"], asked.headers["Overwrite"]) == ('"1"', "F")
        used.append(asked.headers["Destination"].removesuffix("/dav/b"))
    order = [forms["uri"], forms["path"], forms["other scheme"]]
    if taken == "none":
        assert used == [*order, *order, order[0]]
    else:
        tried = order.index(forms[taken]) + 1
        assert used == order[:tried] + [forms[taken]] * (7 - tried)


def test_a_form_that_worked_is_kept_whatever_is_answered_later(server: Canned, store: Store) -> None:
    """400 may be about a name."""
    statuses = iter([412, 400, 502, 201])
    server.answer = lambda _: Answer(next(statuses))
    for _ in range(4):
        with contextlib.suppress(Failure):
            store.move(Href("/dav/a"), Href("/dav/b"))
    assert {asked.headers["Destination"] for asked in server.asked} == {server.url + "dav/b"}


# --- passwords -------------------------------------------------------------------------------------------------------


def test_a_password_goes_as_a_digest_where_that_is_asked_for(tmp_path: Path) -> None:
    with wsgidav(basic=False) as server:
        account = WebDavAccount(base_url=server.url, username=server.username, password=SecretStr(server.password))
        with connected(account) as store:
            put_verified(store, Href("/a.jpg"), b"12345")
            (entry,) = store.list_folder(Href("/")).entries
            store.get(entry, tmp_path / "a")
            store.move(entry.href, Href("/b.jpg"), if_match=entry.etag)
            store.delete(Href("/b.jpg"))
        wrong = account.model_copy(update={"password": SecretStr("wrong")})
        with connected(wrong) as store, pytest.raises(Unauthorized):
            store.stat(Href("/"))
    assert (tmp_path / "a").read_bytes() == b"12345"


def test_a_digest_is_asked_for_once_and_the_password_is_not_sent_as_it_is_again(server: Canned, store: Store) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.headers.get("Authorization", "").startswith("Digest "):
            return described(asked.path, "<d:resourcetype/>")
        return Answer(401, headers={"WWW-Authenticate": 'Digest realm="images", nonce="abc", qop="auth"'})

    server.answer = answer
    for _ in range(2):
        assert store.stat(Href("/dav/"))
    schemes = [asked.headers.get("Authorization", "none").partition(" ")[0] for asked in server.asked]
    assert schemes == ["Basic", "none", "Digest", "Digest"]


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        ('Basic realm="x", Digest realm="x", nonce="1"', "rejected the user name or password"),
        ('Bearer realm="x"', "does not accept a user name and password, only Bearer"),
        ("Negotiate, NTLM", "does not accept a user name and password, only Negotiate or NTLM"),
        ("", "rejected the user name or password"),
    ],
)
def test_what_a_401_means(server: Canned, store: Store, challenge: str, words: str) -> None:
    server.answer = lambda _: Answer(401, headers={"WWW-Authenticate": challenge} if challenge else {})
    with pytest.raises(Unauthorized, match=words):
        store.stat(Href("/dav/"))
    # One wrong password counts once.
    assert len(server.asked) == 1


def test_plain_http_to_another_machine_is_warned_about() -> None:
    said: list[str] = []
    handle = logger.add(lambda line: said.append(str(line)), level="WARNING", format="{message}")
    try:
        for url in ("http://127.0.0.1:1/dav/", "http://localhost/dav/", "https://images.example.com/dav/"):
            WebDavAccount(base_url=url, username="alice", password=SecretStr("s3cret")).open(
                RetryPolicy(FakeTime().stop())
            ).close()
        assert said == []
        url = "http://images.example.com/dav/"
        WebDavAccount(base_url=url, username="alice", password=SecretStr("s3cret")).open(
            RetryPolicy(FakeTime().stop())
        ).close()
    finally:
        logger.remove(handle)
    (line,) = said
    assert "http://images.example.com/" in line
    assert "https://" in line


@pytest.mark.parametrize("root", ["", "nextcloud", "a/b/cloud"])
@pytest.mark.parametrize(
    "page", ["", "/", "/index.php", "/index.php/apps/files/", "/apps/files", "/login", "/remote.php"]
)
def test_the_address_of_a_nextcloud_leads_to_its_files(server: Canned, root: str, page: str) -> None:
    base = "/" + root
    dav = f"{base.rstrip('/')}/remote.php/dav/"

    def answer(asked: Asked) -> Answer:
        if asked.path == f"{base.rstrip('/')}/status.php":
            assert "Authorization" not in asked.headers
            return Answer(200, b'{"versionstring": "32.0.0"}')
        if asked.path == dav:
            principal = f"<d:href>{dav}principals/users/a%20b/</d:href>"
            return described(dav, f"<d:current-user-principal>{principal}</d:current-user-principal>")
        return Answer(404)

    server.answer = answer
    url = urllib.parse.urljoin(server.url, base).rstrip("/") + page
    account = WebDavAccount(base_url=url.rstrip("/") + "/", username="x", password=SecretStr("y"), is_host=True)
    with connected(account) as store:
        assert store.href("data") == f"{dav}files/a%20b/data/"


def test_one_login_page_does_not_make_a_nextcloud_another_server(server: Canned) -> None:
    principal = "<d:href>/remote.php/dav/principals/users/alice/</d:href>"
    account = described("/remote.php/dav/", f"<d:current-user-principal>{principal}</d:current-user-principal>")
    pages = [Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"}), account]

    def answer(asked: Asked) -> Answer:
        return Answer(200, b'{"versionstring": "32.0.0"}') if asked.path == "/status.php" else pages.pop(0)

    server.answer = answer
    url = server.url + "remote.php/webdav/"
    login = WebDavAccount(base_url=url, username="alice", password=SecretStr("s3cret"))
    with pytest.raises(NotWebDav):
        login.open(RetryPolicy(FakeTime().stop()))
    with contextlib.closing(login.open(RetryPolicy(FakeTime().stop()))) as connections:
        assert (connections.root_url, connections.user_id) == (server.url, "alice")


def test_a_server_that_only_looks_like_a_nextcloud_is_another_one(server: Canned) -> None:
    server.answer = lambda _: Answer(405)
    url = server.url + "remote.php/webdav/"
    login = WebDavAccount(base_url=url, username="alice", password=SecretStr("s3cret"))
    with contextlib.closing(login.open(RetryPolicy(FakeTime().stop()))) as connections:
        assert connections.root_url == ""
