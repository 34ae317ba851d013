"""Listings from a server that may not mean well."""

import copy
import time
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from lxml.builder import ElementMaker

from shared.errors import Failure, Forbidden, NotFound, NotWebDav, ServerUnavailable
from shared.webdav.multistatus import parse
from shared.webdav.store import Entry, Href, Listing

D = ElementMaker(namespace="DAV:", nsmap={"d": "DAV:"})
OC = ElementMaker(namespace="http://owncloud.org/ns")
NC = ElementMaker(namespace="http://nextcloud.org/ns")
FOLDER = Href("/dav/raw%20images/")
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"

# What XML can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))


def response(
    href: str, *properties: etree._Element, status: str = "HTTP/1.1 200 OK", folder: bool = False
) -> etree._Element:
    kind = D.resourcetype(D.collection()) if folder else D.resourcetype()
    return D.response(D.href(href), D.propstat(D.prop(kind, *properties), D.status(status)))


def listing(*responses: etree._Element, asked: Href = FOLDER) -> Listing:
    itself = response(asked, folder=True)
    return parse(etree.tostring(D.multistatus(itself, *responses)), asked, DATE)


def children(*hrefs: str) -> list[str]:
    return [entry.name for entry in listing(*map(response, hrefs)).entries]


def test_what_is_said_of_a_file() -> None:
    properties = [D.getcontentlength("12"), D.getetag('"abc"'), D.getlastmodified(DATE), NC.upload_time("784111000")]
    found = listing(response("/dav/raw%20images/a%c3%bc%23.jpg", *properties))
    entry = Entry("aü#.jpg", Href("/dav/raw%20images/a%c3%bc%23.jpg"), False, 12, '"abc"', 784111777.0, 784111000.0)
    assert found.entries == (entry,)
    assert found.now == 784111777.0
    assert found.itself.is_folder
    assert not found.itself.tree_etag


def test_a_lock_is_one_that_is_there() -> None:
    bodies = [D.lockdiscovery(*(D.activelock(D.locktype(D.write())) for _ in range(locks))) for locks in (1, 2, 0)]
    bodies.append(D.getetag('"1"'))
    found = listing(*(response(f"/dav/raw%20images/{number}", body) for number, body in enumerate(bodies)))
    assert [entry.locked for entry in found.entries] == [True, True, False, False]


def test_names_that_are_not_wanted_are_dropped() -> None:
    parts = [response(f"/dav/raw%20images/{name}") for name in ("a%20b", "a", "b")]
    body = etree.tostring(D.multistatus(response(FOLDER, folder=True), *parts))
    found = parse(body, FOLDER, DATE, lambda name: name != "a b")
    assert found.itself.is_folder
    assert [entry.name for entry in found.entries] == ["a", "b"]


def test_what_is_not_said_is_none() -> None:
    (entry,) = listing(response("/dav/raw%20images/a")).entries
    assert (entry.size, entry.etag, entry.modified, entry.uploaded) == (None, None, None, None)


@pytest.mark.parametrize("size", ["", "-1", "1.5", "²", "x", "9" * 5000])
def test_a_size_that_is_none(size: str) -> None:
    (entry,) = listing(response("/dav/raw%20images/a", D.getcontentlength(size), NC.upload_time(size))).entries
    assert entry.size is None
    assert entry.uploaded is None


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Nov 99999 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:99 GMT"])
def test_a_date_that_is_none(date: str) -> None:
    (entry,) = listing(response("/dav/raw%20images/a", D.getlastmodified(date))).entries
    assert entry.modified is None


def test_an_upload_time_of_zero_is_unknown() -> None:
    (entry,) = listing(response("/dav/raw%20images/a", NC.upload_time("0"))).entries
    assert entry.uploaded is None


def test_properties_that_are_not_there_are_not_taken_from_their_404() -> None:
    missing = D.propstat(D.prop(D.getcontentlength("7")), D.status("HTTP/1.1 404 Not Found"))
    there = D.propstat(D.prop(D.resourcetype(), D.getetag('"1"')), D.status("HTTP/1.1 200 OK"))
    (entry,) = listing(D.response(D.href("/dav/raw%20images/a"), missing, there)).entries
    assert (entry.size, entry.etag) == (None, '"1"')


def test_an_entry_without_any_property_is_not_believed() -> None:
    assert listing(response("/dav/raw%20images/a", status="HTTP/1.1 403 Forbidden")).entries == ()


def test_a_file_id_says_that_the_etag_tells() -> None:
    itself = response(FOLDER, OC.fileid("17"), D.getetag('"e"'), folder=True)
    found = parse(etree.tostring(D.multistatus(itself)), FOLDER, None)
    assert found.itself.tree_etag == '"e"'
    assert found.now is None


@pytest.mark.parametrize(
    "href",
    [
        "/dav/raw%20images/",
        "/dav/raw%20images",
        "/dav/raw images/",
        "/dav/%72aw%20images/",
        "http://host:80/dav/raw%20images/",
        "/dav/ra%77%20images/?x#y",
    ],
)
def test_the_folder_itself_by_any_spelling_is_no_child(href: str) -> None:
    assert children(href) == []


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("/dav/raw%20images/a.jpg", "a.jpg"),
        ("/dav/raw images/a b.jpg", "a b.jpg"),
        ("http://elsewhere/dav/raw%20images/a.jpg", "a.jpg"),
        ("/dav/raw%20images/a%2520.jpg", "a%20.jpg"),
        ("/dav/raw%20images/%C3%BC", "ü"),
        ("/dav/raw%20images/u%cc%88", "u\u0308"),
        ("/dav/raw%20images/..a", "..a"),
        ("/dav/raw%20images/folder/", "folder"),
    ],
)
def test_children(href: str, name: str) -> None:
    assert children(href) == [name]


@pytest.mark.parametrize(
    "href",
    [
        "",
        "/",
        "/dav/",
        "/dav/raw/a.jpg",
        "/dav/raw%20images2/a.jpg",
        "/dav/raw%20images/deep/a.jpg",
        "/dav/raw%20images/../a.jpg",
        "/dav/raw%20images/%2e%2e/a.jpg",
        "/dav/raw%20images/..",
        "/dav/raw%20images/.",
        "/dav/raw%20images/a%2fb.jpg",
        "/dav/raw%20images/..%2Fa.jpg",
        "/dav/raw%20images/%00",
        "a.jpg",
        "http://[broken/dav/raw%20images/a.jpg",
        "//[broken/dav/raw%20images/a.jpg",
        "http://host//[broken",
    ],
)
def test_no_children(href: str) -> None:
    assert children(href, "/dav/raw%20images/true.jpg") == ["true.jpg"]


def test_a_folder_asked_for_in_one_unicode_form_and_answered_in_the_other() -> None:
    asked = Href("/dav/" + urllib.parse.quote("u\u0308") + "/")
    body = etree.tostring(D.multistatus(response("/dav/%c3%bc/", folder=True), response("/dav/%c3%bc/a.jpg")))
    assert [entry.name for entry in parse(body, asked, None).entries] == ["a.jpg"]


@pytest.mark.parametrize(
    ("listed", "etag"),
    [
        ('"abc"', '"abc"'),
        ("abc", '"abc"'),
        ("1a-5c", '"1a-5c"'),
        ("*", '"*"'),
        (' "abc"\n', '"abc"'),
        ('W/"abc"', 'W/"abc"'),
        ("W/abc", 'W/"abc"'),
        ('w/"abc"', 'W/"abc"'),
        ("&quot;abc&quot;", '"abc"'),
        ("", None),
        ('""', None),
        ('"abc', None),
        ('a"b', None),
        ("a b", None),
        ('"a\nb"', None),
        ("é", None),
    ],
)
def test_an_etag_has_its_quotes_however_it_is_listed(listed: str, etag: str | None) -> None:
    (entry,) = listing(response("/dav/raw%20images/a", D.getetag(listed))).entries
    assert entry.etag == etag


@pytest.mark.parametrize(
    "date",
    [
        DATE,
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 -0000",
        "Sun, 06 Nov 1994 09:49:37 +0100",
        " Sun, 06 Nov 1994 08:49:37 GMT\n",
        "1994-11-06T08:49:37Z",
        "1994-11-06T08:49:37",
    ],
)
def test_a_date_means_gmt_in_every_form_of_http(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    try:
        (entry,) = listing(response("/dav/raw%20images/a", D.getlastmodified(date))).entries
        assert entry.modified == 784111777.0
        assert parse(etree.tostring(D.multistatus(response(FOLDER, folder=True))), FOLDER, date).now == 784111777.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_every_propstat_with_properties_is_read() -> None:
    parts = [D.getcontentlength("5"), D.getetag("abc"), D.getlastmodified(DATE)]
    propstats = [D.propstat(D.prop(part), D.status("HTTP/1.1 200 OK")) for part in (D.resourcetype(), *parts)]
    missing = D.propstat(D.prop(NC.upload_time()), D.status("HTTP/1.1 404 Not Found"))
    for arranged in ([*propstats, missing], [missing, *propstats], [*propstats[:2], missing, *propstats[2:]]):
        (entry,) = listing(D.response(D.href(f"{FOLDER}a.jpg"), *map(copy.deepcopy, arranged))).entries
        assert (entry.size, entry.etag, entry.modified, entry.uploaded) == (5, '"abc"', 784111777.0, None)
    folder = [
        D.propstat(D.prop(part), D.status("200 OK")) for part in (D.displayname(), D.resourcetype(D.collection()))
    ]
    (entry,) = listing(D.response(D.href(f"{FOLDER}b.jpg"), *folder)).entries
    assert entry.is_folder


def failed(name: str, status: int, *, propstat: bool = False) -> etree._Element:
    """A member that the server does not describe."""
    line = D.status(f"HTTP/1.1 {status} x")
    what = D.propstat(D.prop(D.resourcetype(), D.getetag()), line) if propstat else line
    return D.response(D.href(FOLDER + name), what)


@pytest.mark.parametrize("propstat", [False, True])
def test_members_that_the_server_does_not_describe_are_named(propstat: bool) -> None:
    parts = [
        failed("a.jpg", 403, propstat=propstat),
        response(f"{FOLDER}b.jpg"),
        failed("%C3%BC.jpg", 423, propstat=propstat),
        failed("d.jpg", 500, propstat=propstat),
        failed("notes.txt", 403, propstat=propstat),
        # Taken away while it was listed.
        failed("e.jpg", 404, propstat=propstat),
        failed("../f.jpg", 403, propstat=propstat),
    ]
    body = etree.tostring(D.multistatus(response(FOLDER, folder=True), *parts))
    found = parse(body, FOLDER, DATE, lambda name: name.endswith(".jpg"))
    assert [entry.name for entry in found.entries] == ["b.jpg"]
    assert found.unreadable == (("a.jpg", 403), ("ü.jpg", 423), ("d.jpg", 500))
    assert found.names == {"a.jpg", "b.jpg", "d.jpg", "ü.jpg"}


@pytest.mark.parametrize(("status", "error"), [(403, Forbidden), (404, NotFound), (423, ServerUnavailable)])
def test_a_folder_that_the_server_does_not_describe(status: int, error: type[Failure]) -> None:
    with pytest.raises(error, match=str(status)):
        parse(etree.tostring(D.multistatus(failed("", status))), FOLDER, DATE)


def test_a_proxy_that_maps_paths_is_recognized() -> None:
    body = etree.tostring(D.multistatus(response("/behind/raw%20images/", folder=True)))
    with pytest.raises(NotWebDav, match="/behind/raw images/") as caught:
        parse(body, FOLDER, DATE)
    assert "proxy" in caught.value.hint
    assert "webdav/url" in caught.value.hint


ODD_NAMESPACES = ["http://owncloud.org:", "http://[", "%", "no scheme at all", ""]


def with_namespace(namespace: str, prefix: str = "a", count: int = 300) -> bytes:
    """A listing in which every member declares a namespace."""
    member = (
        '<d:response xmlns:{1}="{0}"><d:href>{2}{3}.jpg</d:href><d:propstat><d:prop><{1}:fileid/>'
        "<d:getcontentlength>5</d:getcontentlength></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
        "</d:response>"
    )
    members = "".join(member.format(namespace, prefix, FOLDER, number) for number in range(count))
    head = etree.tostring(response(FOLDER, folder=True)).decode()
    return f'<d:multistatus xmlns:d="DAV:">{head}{members}</d:multistatus>'.encode()


@pytest.mark.parametrize("namespace", ODD_NAMESPACES)
def test_a_namespace_that_libxml2_does_not_accept_is_no_matter(namespace: str) -> None:
    found = parse(with_namespace(namespace), FOLDER, DATE)
    assert len(found.entries) == 300
    assert {entry.size for entry in found.entries} == {5}
    undeclared = with_namespace("http://x/").replace(b'xmlns:a="http://x/"', b"")
    assert len(parse(undeclared, FOLDER, DATE).entries) == 300


@pytest.mark.parametrize("namespace", ["http://owncloud.org:", ""])
@given(data=st.data())
def test_only_the_namespace_is_forgiven(namespace: str, data: st.DataObject) -> None:
    whole = with_namespace(namespace, count=9)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(NotWebDav):
        parse(whole[:cut], FOLDER, DATE)
    for behind in (b"Internal Server Error", b"<x/>", b"\0", whole):
        with pytest.raises(NotWebDav):
            parse(whole + behind, FOLDER, DATE)
    bad = data.draw(st.sampled_from([b"\x01", b"&nbsp;", b"</d:no>", b"\xff", b"<d:open>"]))
    after = whole.index(b"</d:response>", min(cut, whole.rindex(b"</d:response>"))) + len(b"</d:response>")
    with pytest.raises(NotWebDav):
        parse(whole[:after] + bad + whole[after:], FOLDER, DATE)
    with pytest.raises(NotWebDav):
        parse(b'<!DOCTYPE d [<!ENTITY a "secret">]>' + whole, FOLDER, DATE)


BOMB = (
    b'<!DOCTYPE d [<!ENTITY a "%s">' % (b"a" * 1000)
    + b"".join(b'<!ENTITY %c "%b">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in range(98, 110))
    + b']><d:multistatus xmlns:d="DAV:"><d:response><d:href>&m;</d:href></d:response></d:multistatus>'
)
OUTSIDE = (
    b'<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]><d:multistatus xmlns:d="DAV:"><d:response>'
    b"<d:href>/dav/raw%20images/&a;</d:href></d:response></d:multistatus>"
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><p>Log in</html>",
        b"<html/>",
        b"<multistatus/>",
        b'{"json": true}',
        b"\0\xff",
        BOMB,
        OUTSIDE,
        b'<!DOCTYPE x><d:multistatus xmlns:d="DAV:"/>',
        b'<d:multistatus xmlns:d="DAV:"/>',
        etree.tostring(D.multistatus(response("/dav/other/", folder=True))),
        etree.tostring(D.multistatus(response(FOLDER, folder=True)))[:-10],
    ],
)
def test_what_is_no_listing_of_the_folder_is_never_an_empty_one(body: bytes) -> None:
    with pytest.raises(NotWebDav) as caught:
        parse(body, FOLDER, DATE)
    assert "webdav/url" in caught.value.hint
    assert "root:" not in str(caught.value)


@pytest.mark.parametrize("declaration", [b"<!DOCTYPE d>", b'<!DOCTYPE d [<!ENTITY a "secret">]>'])
def test_a_document_type_has_no_business_in_a_listing(declaration: bytes) -> None:
    body = etree.tostring(D.multistatus(response(FOLDER, folder=True), response(f"{FOLDER}a.jpg")))
    assert len(parse(body, FOLDER, DATE).entries) == 1
    with pytest.raises(NotWebDav):
        parse(declaration + body, FOLDER, DATE)


@given(cut=st.integers(min_value=0))
def test_a_listing_that_is_cut_off_is_never_a_shorter_one(cut: int) -> None:
    whole = etree.tostring(D.multistatus(response(FOLDER, folder=True), *(response(f"{FOLDER}{n}") for n in range(9))))
    with pytest.raises(NotWebDav):
        parse(whole[: cut % len(whole)], FOLDER, DATE)


@given(hrefs=st.lists(TEXT | TEXT.map(lambda text: FOLDER + text)), size=TEXT, date=TEXT)
def test_whatever_a_server_says_is_read_or_dropped(hrefs: list[str], size: str, date: str) -> None:
    properties = [D.getcontentlength(size), NC.upload_time(size), D.getlastmodified(date)]
    found = listing(*(response(href, *properties) for href in hrefs))
    for entry in found.entries:
        assert entry.name
        assert "/" not in entry.name
        assert entry.name not in (".", "..")


@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1))
def test_every_name_comes_through(name: str) -> None:
    if name not in (".", ".."):
        assert children(FOLDER + urllib.parse.quote(name, safe="")) == [name]


@given(st.binary())
def test_whatever_bytes_come_it_is_said_what_they_are(body: bytes) -> None:
    with pytest.raises(NotWebDav):
        parse(body, FOLDER, DATE)
