"""Multistatus: the answer to a PROPFIND (RFC 4918, 9.1 and 13), from a server that is not trusted."""

import email.utils
import functools
import unicodedata
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime

from lxml import etree

from shared.errors import NotWebDav, TruncatedListing
from shared.webdav.store import Entry, Href, Listing, Prop, Tag, Wanted

_D, _OC, _NC = "{DAV:}", "{http://owncloud.org/ns}", "{http://nextcloud.org/ns}"
_MULTISTATUS, _RESPONSE, _HREF, _PROPSTAT, _STATUS, _PROP = (
    f"{_D}{name}" for name in ("multistatus", "response", "href", "propstat", "status", "prop")
)
_COLLECTION = f"{_D}collection"
_FEED_SIZE = 2**16
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NOT_WEBDAV = "Is webdav/url the address of a WebDAV folder, and not of a login page?"


def parse(body: bytes, asked: Href, date: str | None, wanted: Wanted | None = None, marked: str = "") -> Listing:
    """Read a multistatus.

    Only the resource asked for and its true direct children are believed; everything else in the answer is dropped.

    Args:
        body: the XML.
        asked: what the PROPFIND was sent to.
        date: the Date header of the answer.
        wanted: children of other names are dropped as well,
        marked: unless their checksums hold this text.

    Raises:
        NotWebDav: no multistatus, a document type declaration, or an answer about something else.
        TruncatedListing: a multistatus that breaks off, or has something else behind it.
    """
    itself: Entry | None = None
    entries = []
    folder = path_of(asked)
    # Usually nothing is marked, and then thousands of other entries need not be read.
    is_marked = bool(marked) and marked.encode() in body
    # All children of a folder have the same parent, so it is compared once.
    is_ours = functools.lru_cache(lambda parent: path_of(parent) == folder)
    for href, properties in resources(body):
        parent, _, last = href.rstrip("/").rpartition("/")
        name = urllib.parse.unquote(last)
        if _is_name(name) and is_ours(parent):
            if wanted is None or wanted(name):
                entries.append(_entry(properties, href, name))
            elif is_marked and marked in (entry := _entry(properties, href, name)).checksums:
                entries.append(entry)
        elif folder is not None and path_of(href) == folder:
            itself = _entry(properties, href, name)
    if itself is None:
        raise NotWebDav(
            f"The listing of {urllib.parse.unquote(asked)} does not contain that folder itself", _NOT_WEBDAV
        )
    return Listing(itself=itself, entries=tuple(entries), now=_time(date))


def resources(body: bytes) -> Iterator[tuple[Href, etree._Element]]:
    """The address of each resource in a multistatus, and the properties it has.

    Raises:
        NotWebDav: no multistatus, or a document type declaration.
        TruncatedListing: a multistatus that breaks off, or has something else behind it.
    """
    for response in _children(body):
        if response.tag != _RESPONSE:
            continue
        href, properties = _read(response)
        if properties is not None:
            try:
                path = _path(href.strip())
            except ValueError:
                continue
            yield Href(path), properties


def _children(body: bytes) -> Iterator[etree._Element]:
    """The child elements of a multistatus."""
    # No entity is expanded and nothing external is loaded; `_check` rejects document type declarations.
    parser = etree.XMLPullParser(
        ("start",), tag=_MULTISTATUS, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    root: etree._Element | None = None
    try:
        for start in range(0, len(body), _FEED_SIZE):
            try:
                parser.feed(body[start : start + _FEED_SIZE])
            finally:
                for _, element in parser.read_events():
                    root = element.getroottree().getroot()
            if root is not None:
                _check(root)
                # The last child may not be complete yet.
                yield from root[:-1]
                # A large folder is not held in memory as a whole.
                del root[:-1]
        root = parser.close()
    except (etree.XMLSyntaxError, ValueError) as error:
        broken = NotWebDav
        if root is not None:
            _check(root)
            broken = TruncatedListing
        raise broken(f"The listing is not XML ({str(error)[:80]})", _NOT_WEBDAV) from error
    _check(root)
    yield from root


def _check(root: etree._Element) -> None:
    if root.getroottree().docinfo.doctype or root.tag != _MULTISTATUS:
        raise NotWebDav("The listing is not a WebDAV multistatus", _NOT_WEBDAV)


def _path(href: str) -> str:
    """The path of an address, which mostly is nothing else."""
    if href.startswith("/") and not href.startswith("//") and "?" not in href and "#" not in href:
        return href
    return urllib.parse.urlsplit(href).path


def path_of(href: str) -> list[str] | None:
    """The decoded parts of an address's path, in NFC; None where one part would lead elsewhere."""
    # What begins with a slash is a path as it is, even where it would read as a host.
    path = href if href.startswith("/") else urllib.parse.urlsplit(href).path
    parts = [urllib.parse.unquote(part) for part in path.split("/") if part]
    return [unicodedata.normalize("NFC", part) for part in parts] if all(map(_is_name, parts)) else None


def _is_name(part: str) -> bool:
    """Whether a decoded part of a path leads to something in its folder."""
    return part not in ("", ".", "..") and "/" not in part and "\0" not in part


# Iterating over children is several times faster than looking them up, which matters with thousands of files.


def _read(response: etree._Element) -> tuple[str, etree._Element | None]:
    """The address in a response, and the properties that were found."""
    href = ""
    for child in response:
        tag = child.tag
        if tag == _HREF:
            href = child.text or ""
        elif tag == _PROPSTAT:
            properties = _found(child)
            if properties is not None:
                return href, properties
    return href, None


def _found(propstat: etree._Element) -> etree._Element | None:
    properties = None
    found = False
    for child in propstat:
        tag = child.tag
        if tag == _PROP:
            properties = child
        elif tag == _STATUS:
            found = " 200 " in f"{child.text} "
    return properties if found else None


def _entry(properties: etree._Element, href: Href, name: str) -> Entry:
    found = {element.tag: element for element in properties}
    text = {tag: element.text or "" for tag, element in found.items()}
    size, uploaded = text.get(Prop.SIZE, ""), text.get(Prop.UPLOADED, "")
    kind = found.get(Prop.TYPE)
    return Entry(
        name=name,
        href=href,
        is_folder=kind is not None and any(child.tag == _COLLECTION for child in kind),
        size=int(size) if _is_number(size) else None,
        etag=text.get(Prop.ETAG) or None,
        modified=_time(text.get(Prop.MODIFIED)),
        uploaded=float(uploaded) if _is_number(uploaded) and uploaded != "0" else None,
        file_id=text[Prop.FILE_ID] if _is_id(text.get(Prop.FILE_ID, "")) else None,
        permissions=text.get(Prop.PERMISSIONS),
        checksums=_checksums(found.get(Prop.CHECKSUMS)),
        media_type=text.get(Prop.MEDIA_TYPE, ""),
        available=_signed(text.get(Prop.AVAILABLE, "")),
        tags=_tags(found, text),
        principal=_principal(found.get(Prop.PRINCIPAL)),
        locked=len(found.get(Prop.LOCKS, ())) > 0,
    )


def _checksums(element: etree._Element | None) -> str:
    """The words of all `oc:checksum` elements."""
    return "" if element is None else " ".join(child.text or "" for child in element).strip()


def _principal(element: etree._Element | None) -> Href | None:
    href = "" if element is None else element.findtext(_HREF, "")
    return Href(_path(href.strip())) if href else None


def _tags(found: dict[str, etree._Element], text: dict[str, str]) -> tuple[Tag, ...] | None:
    """The tags of a file, or the one tag that a resource in a collection of tags is."""
    if Prop.TAG_NAME in found:
        tag_id = text.get(Prop.TAG_ID, "")
        return (Tag(text[Prop.TAG_NAME], tag_id, text.get(Prop.TAG_ASSIGNABLE) != "false"),) if _is_id(tag_id) else ()
    listed = found.get(Prop.TAGS)
    if listed is None:
        return None
    return tuple(_tag(element) for element in listed.iterfind(f"{_NC}system-tag"))


def _tag(element: etree._Element) -> Tag:
    tag_id = element.get(f"{_OC}id", "")
    removable = element.get(f"{_OC}can-assign", "true") != "false"
    return Tag(element.text or "", tag_id if _is_id(tag_id) else "", removable)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _signed(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if _is_number(digits) else None


def _is_number(text: str) -> bool:
    # isdigit accepts "²", which int does not; int also rejects thousands of digits.
    return text.isdecimal() and len(text) < 20


def _time(http_date: str | None) -> float | None:
    """Seconds since 1970 of a date such as `Sun, 22 Nov 2026 18:00:00 GMT`, the form that servers have to send."""
    if not http_date:
        return None
    try:
        if http_date.endswith(" GMT") and len(http_date) == 29:
            day, month, year = int(http_date[5:7]), _MONTHS.index(http_date[8:11]) + 1, int(http_date[12:16])
            hour, minute, second = int(http_date[17:19]), int(http_date[20:22]), int(http_date[23:25])
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
        return email.utils.parsedate_to_datetime(http_date).timestamp()
    except (ValueError, OverflowError):
        return None
