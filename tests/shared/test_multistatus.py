"""Listings from a server that may not mean well."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from lxml.builder import ElementMaker

from shared.errors import NotWebDav
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
