"""What the WebDAV client makes of answers, and how it keeps its connections."""

import hashlib
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from sandbox.nextcloud import Nextcloud
from shared import redaction
from shared.config.settings import WebDavSecret
from shared.errors import (
    Failure,
    Forbidden,
    IntegrityError,
    LocalIOError,
    Locked,
    NotAccepted,
    NotFound,
    NotWebDav,
    ParentNotFound,
    PreconditionFailed,
    ServerUnavailable,
    ServerUnreachable,
    StorageFull,
    Unauthorized,
)
from shared.retry import ATTEMPTS, RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.account import WebDavAccount, account_of
from shared.webdav.store import Entry, Href, Store, put_verified
from tests.servers.apache import Apache
from tests.servers.canned import Answer, Asked, Canned, canned
from tests.servers.program import free_port
from tests.servers.site import DiskSite
from tests.servers.stores import connected

FILE = Entry("a.jpg", Href("/dav/a.jpg"), False, 5, '"1"', None)


@pytest.fixture
def server() -> Iterator[Canned]:
    with canned(lambda _: Answer(500)) as running:
        yield running


@pytest.fixture
def store(server: Canned) -> Iterator[Store]:
    account = WebDavAccount(base_url=server.url + "dav/", username="alice", password=SecretStr("s3cret"))
    with connected(account) as client:
        yield client


def size_of(asked: Asked, size: int) -> Answer:
    """The answer to a PROPFIND on a file."""
    body = (
        f'<d:multistatus xmlns:d="DAV:"><d:response><d:href>{asked.path}</d:href><d:propstat><d:prop><d:resourcetype/>'
        f"<d:getcontentlength>{size}</d:getcontentlength></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
        "</d:response></d:multistatus>"
    )
    return Answer(207, body.encode())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, NotAccepted),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (405, NotAccepted),
        (408, ServerUnavailable),
        (409, ParentNotFound),
        (412, PreconditionFailed),
        (413, NotAccepted),
        (418, NotAccepted),
        (423, Locked),
        (425, ServerUnavailable),
        (429, ServerUnavailable),
        (500, ServerUnavailable),
        (501, NotAccepted),
        (502, ServerUnavailable),
        (503, ServerUnavailable),
        (504, ServerUnavailable),
        (505, NotAccepted),
        (507, StorageFull),
        (200, NotWebDav),
        (202, NotWebDav),
        (302, NotWebDav),
    ],
)
@pytest.mark.parametrize("length", [0, 3 * 2**20], ids=["short", "long"])
def test_every_status_is_an_error_of_ours(
    server: Canned, store: Store, status: int, error: type[Failure], length: int
) -> None:
    headers = {"Location": "https://elsewhere/s"} if status == 302 else {"Content-Type": "text/html"}
    server.answer = lambda _: Answer(status, b"x" * length, headers)
    with pytest.raises(error) as caught:
        store.move(Href("/dav/a%20b"), Href("/dav/c"))
    assert type(caught.value) is error
    if status != 302:
        assert "a b" in str(caught.value)
        assert str(status) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    # A MOVE is never tried twice.
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("²", None),
        ("-1", None),
        ("soon", None),
    ],
)
def test_retry_after(server: Canned, store: Store, value: str, seconds: float | None) -> None:
    # A date is compared with the server's clock, not with that of this machine.
    headers = {"Retry-After": value.encode().decode("latin-1"), "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    server.answer = lambda _: Answer(503, headers=headers)
    with pytest.raises(ServerUnavailable) as caught:
        store.move(Href("/dav/a"), Href("/dav/b"))
    assert caught.value.retry_after == seconds


def test_every_error_goes_through_a_pickle(server: Canned, store: Store) -> None:
    """As a distributed executor needs."""
    server.answer = lambda _: Answer(507)
    with pytest.raises(StorageFull) as caught:
        store.put(Href("/dav/a"), b"")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (StorageFull, str(caught.value))


def test_what_may_poll_is_tried_again(server: Canned, store: Store) -> None:
    statuses = iter([503, 500, 423, 204])
    server.answer = lambda _: Answer(next(statuses))
    store.delete(Href("/dav/a"))
    assert len(server.asked) == 4


@pytest.mark.parametrize("size", [1, 3000], ids=["short", "long"])
def test_a_listing_that_went_wrong_halfway_is_asked_for_again(server: Canned, store: Store, size: int) -> None:
    """What rclone appends to a listing if a file is moved out of the folder meanwhile."""
    entries = "".join(
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop/><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
        "</d:response>"
        for href in ("/dav/", *(f"/dav/{number}.jpg" for number in range(size)))
    )
    whole = f'<d:multistatus xmlns:d="DAV:">{entries}</d:multistatus>'
    bodies = iter([whole + "Internal Server Error", whole.removesuffix("</d:multistatus>"), whole])
    server.answer = lambda _: Answer(207, next(bodies).encode())
    assert len(store.list_folder(Href("/dav/")).entries) == size
    assert len(server.asked) == 3


@pytest.mark.parametrize("hash_there", [None, "wrong", "upper case"])
def test_an_upload_is_verified(server: Canned, store: Store, hash_there: str | None) -> None:
    data = b"some data"
    right = hashlib.sha256(data).hexdigest()

    def answer(asked: Asked) -> Answer:
        if asked.method == "PROPFIND":
            return size_of(asked, len(data) - 1)
        headers = {
            None: {},
            "wrong": {"X-Hash-SHA256": right[:-1] + "_"},
            "upper case": {"X-Hash-SHA256": right.upper()},
        }
        return Answer(201, headers=headers[hash_there])

    server.answer = answer
    if hash_there == "upper case":
        put_verified(store, Href("/dav/a"), data)
        assert [asked.method for asked in server.asked] == ["PUT"]
        assert server.asked[0].body == data
        return
    with pytest.raises(IntegrityError):
        put_verified(store, Href("/dav/a"), data)
    # It is sent again, since the next time it may arrive as it was sent.
    assert [asked.method for asked in server.asked].count("PUT") == {None: 2, "wrong": ATTEMPTS}[hash_there]


def test_a_download_with_another_etag_is_another_version(server: Canned, store: Store, tmp_path: Path) -> None:
    server.answer = lambda _: Answer(200, b"12345", {"ETag": '"2"'})
    with pytest.raises(PreconditionFailed):
        store.get(FILE, tmp_path / "a")
    server.answer = lambda _: Answer(200, b"12345", {"ETag": '"1"'})
    store.get(FILE, tmp_path / "a")
    assert server.asked[-1].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(200, b"1234", {"ETag": '"1"'}), IntegrityError),
        (Answer(200, b"123456", {"ETag": '"1"'}), IntegrityError),
        (Answer(200, b"123", {"ETag": '"1"'}, length=5), ServerUnreachable),
        (Answer(206, b"12345", {"ETag": '"1"'}), NotWebDav),
        (Answer(204), NotWebDav),
    ],
)
def test_a_download_that_is_not_whole(
    server: Canned, store: Store, tmp_path: Path, answer: Answer, error: type[Failure]
) -> None:
    server.answer = lambda _: answer
    with pytest.raises(error):
        store.get(FILE, tmp_path / "a")


def test_a_local_disk_that_takes_nothing(server: Canned, store: Store, tmp_path: Path) -> None:
    server.answer = lambda _: Answer(200, b"12345", {"ETag": '"1"'})
    with pytest.raises(LocalIOError, match="local disk"):
        store.get(FILE, tmp_path / "nowhere" / "a")
    assert len(server.asked) == 1


def test_a_server_that_is_not_there() -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    account = WebDavAccount(base_url=url, username="alice", password=SecretStr("s3cret"))
    with connected(account) as store, pytest.raises(ServerUnreachable, match="refuses connections"):
        store.stat(store.href(""))


def test_a_password_goes_along_in_utf_8_and_never_to_where_a_redirect_leads(server: Canned) -> None:
    account = WebDavAccount(base_url=server.url, username="älice", password=SecretStr("pässwörd"))
    with canned(lambda _: Answer(207)) as elsewhere, connected(account) as store:
        server.answer = lambda _: Answer(307, headers={"Location": elsewhere.url})
        with pytest.raises(NotWebDav, match="redirect"):
            store.list_folder(store.href(""))
        assert elsewhere.asked == []
    redaction.hide_login("älice", "pässwörd")
    assert redaction.HIDDEN in redaction.redact(server.asked[0].headers["Authorization"])


def test_no_login_but_that_of_the_settings_is_sent(
    server: Canned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password m4llory\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.answer = lambda _: Answer(404)
    with connected(WebDavAccount(base_url=server.url, username="", password=SecretStr(""))) as store:
        assert store.stat(store.href("")) is None
    assert "Authorization" not in server.asked[0].headers


def test_a_rejected_password_is_not_sent_again_by_other_threads(server: Canned) -> None:
    """Nextcloud shuts out everybody at an address after 11 wrong passwords."""
    account = WebDavAccount(base_url=server.url, username="alice", password=SecretStr("old"))
    server.answer = lambda _: Answer(401)
    barrier = threading.Barrier(4)
    retry = RetryPolicy(StopToken())
    connections = account.open(retry)

    def many(_: int) -> int:
        barrier.wait()
        unauthorized = 0
        for _ in range(10):
            with connections.connect() as store:
                try:
                    store.stat(store.href(""))
                except Unauthorized:
                    unauthorized += 1
        return unauthorized

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(many, range(4))) == 40
    assert len(server.asked) <= 4
    # Another password is asked for at once.
    server.answer = lambda asked: size_of(asked, 1)
    new = account.model_copy(update={"password": SecretStr("new")})
    with connected(new, retry.for_new_account()) as store:
        assert store.stat(store.href(""))
    connections.close()


@pytest.mark.server
def test_a_client_keeps_its_connection(the_apache: Apache, apache_site: DiskSite, tmp_path: Path) -> None:
    """Through everything that an image needs, errors included."""
    the_apache.clear_log()
    connections = apache_site.account.open(RetryPolicy(StopToken()))
    with connections.connect() as store:
        store.make_folder(store.href("raw"))
        put_verified(store, store.href("raw", "a"), b"data" * 100_000)
        (entry,) = store.list_folder(store.href("raw")).entries
        store.get(entry, tmp_path / "a")
        store.move(entry.href, store.href("raw", "b"))
        assert store.stat(entry.href) is None
        with pytest.raises(NotFound):
            store.move(entry.href, store.href("raw", "c"))
        put_verified(store, entry.href, b"")
        with pytest.raises(PreconditionFailed):
            store.move(store.href("raw", "b"), entry.href)
        store.delete(entry.href)
        store.delete(entry.href)
    with connections.connect() as store:
        store.stat(store.href("raw"))
    connections.close()
    asked = the_apache.requests()
    assert len(asked) == 14
    assert len({record.peer for record in asked}) == 1


def test_cookies_are_kept(server: Canned, store: Store) -> None:
    """With its session's cookies Nextcloud need not check the password again."""
    server.answer = lambda asked: Answer(207, size_of(asked, 1).body, {"Set-Cookie": "session=abc; Path=/"})
    store.stat(Href("/dav/a"))
    store.stat(Href("/dav/a"))
    assert "Cookie" not in server.asked[0].headers
    assert server.asked[1].headers["Cookie"] == "session=abc"


@pytest.mark.server
def test_connections_are_kept_until_they_are_closed(the_apache: Apache, apache_site: DiskSite) -> None:
    the_apache.clear_log()
    connections = apache_site.account.open(RetryPolicy(StopToken()))
    for _ in range(2):
        with connections.connect() as store:
            store.stat(store.href(""))
    connections.close()
    with connections.connect() as store:
        store.stat(store.href(""))
    connections.close()
    first, second, third = (record.peer for record in the_apache.requests())
    assert first == second != third


def test_an_account_hides_its_password_and_goes_through_a_pickle(nextcloud_site: DiskSite) -> None:
    account = nextcloud_site.account
    assert nextcloud_site.password not in repr(account)
    again = pickle.loads(pickle.dumps(account))
    assert again == account
    assert hash(again) == hash(account)


def secret(**values: str) -> WebDavSecret:
    return WebDavSecret.model_validate({"username": "alice", "password": "s3cret"} | values)


def base_of(**values: str) -> str:
    """The address that all folders are relative to, without the server's own."""
    with connected(account_of(secret(**values), None)) as store:
        return store.href("")


def test_which_folder_the_others_are_relative_to(the_nextcloud: Nextcloud) -> None:
    root = the_nextcloud.url + "/"
    login = {"username": the_nextcloud.user, "password": the_nextcloud.password}
    files = f"/remote.php/dav/files/{the_nextcloud.user_id}/"
    assert base_of(url="http://127.0.0.1:1/dav", host_url=root) == "/dav/"
    assert base_of(host_url=root + "remote.php/webdav/x y", **login) == files + "x%20y/"
    assert base_of(url=root + "remote.php/dav/files/whoever/x", **login) == files + "x/"
    assert base_of(host_url=the_nextcloud.url, **login) == files


@pytest.mark.parametrize(
    "answer", [Answer(404), Answer(200, b"<html>"), Answer(200, b"5"), Answer(302, headers={"Location": "/login"})]
)
def test_a_root_that_is_no_nextcloud_is_taken_as_it_is(server: Canned, answer: Answer) -> None:
    server.answer = lambda _: answer
    assert base_of(host_url=server.url) == "/"
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/status.php")
    assert "Authorization" not in asked.headers


@pytest.mark.parametrize("answer", [Answer(404), Answer(200, b"<html>"), Answer(405)])
def test_an_address_like_a_nextcloud_that_tells_no_user_is_taken_as_it_is(server: Canned, answer: Answer) -> None:
    server.answer = lambda _: answer
    assert base_of(url=server.url + "remote.php/webdav/") == "/remote.php/webdav/"


def test_a_root_that_does_not_answer() -> None:
    with pytest.raises(ServerUnreachable):
        base_of(host_url=f"http://127.0.0.1:{free_port()}/")
