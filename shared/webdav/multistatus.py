"""Multistatus: the answer to a PROPFIND (RFC 4918, 9.1 and 13), from a server that is not trusted."""

import functools
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator

from lxml import etree

from shared.errors import NotWebDav, TruncatedListing
from shared.webdav.etags import normal_etag
from shared.webdav.http_dates import http_time
from shared.webdav.http_errors import error_of
from shared.webdav.store import Entry, Href, Listing, Prop, Tag, Wanted

_D, _OC, _NC = "{DAV:}", "{http://owncloud.org/ns}", "{http://nextcloud.org/ns}"
_MULTISTATUS, _RESPONSE, _HREF, _PROPSTAT, _STATUS, _PROP = (
    f"{_D}{name}" for name in ("multistatus", "response", "href", "propstat", "status", "prop")
)
_COLLECTION = f"{_D}collection"
_FEED_SIZE = 2**16
# XML_WAR_NS_… and XML_NS_ERR_… of libxml2's xmlerror.h.
_NAMESPACE_ERRORS = (99, 100, *range(200, 206))
_END = re.compile(rb"</(?:[^<>:\s]+:)?multistatus\s*>|<(?:[^<>:\s]+:)?multistatus[^<>]*/>")
_NOT_WEBDAV = "Is webdav/url the address of a WebDAV folder, and not of a login page?"


def parse(body: bytes, asked: Href, date: str | None, wanted: Wanted | None = None, marked: str = "") -> Listing:
    """Read a multistatus.

    Only the resource asked for and its true direct children are believed; everything else in the answer is dropped.

    Args:
        body: the XML.
        asked: the address that the PROPFIND was sent to.
        date: the Date header of the answer.
        wanted: selects children by name; the others are dropped.
        marked: children whose checksums contain this text are kept anyway.

    Raises:
        NotWebDav: no multistatus, a document type declaration, or an answer about something else.
        TruncatedListing: a multistatus that breaks off, or is followed by something else.
        Failure: the server describes the resource by an error instead.
    """
    try:
        return _parse(body, asked, date, wanted, marked, tolerant=False)
    except _BadNamespace:
        return _parse(body, asked, date, wanted, marked, tolerant=True)


def _parse(
    body: bytes, asked: Href, date: str | None, wanted: Wanted | None, marked: str, *, tolerant: bool
) -> Listing:
    itself: Entry | None = None
    entries: list[Entry] = []
    unreadable: list[tuple[str, int]] = []
    other = ""
    folder = path_of(asked)
    # Usually nothing is marked, and then thousands of other entries need not be read.
    is_marked = bool(marked) and marked.encode() in body
    # All children of a folder have the same parent, so it is compared once.
    is_ours = functools.lru_cache(lambda parent: path_of(parent) == folder)
    for href, properties, status in _resources(body, tolerant=tolerant):
        parent, _, last = href.rstrip("/").rpartition("/")
        name = urllib.parse.unquote(last)
        if _is_name(name) and is_ours(parent):
            if not properties:
                # 404: it was removed while the server listed.
                if status not in (0, 404) and (wanted is None or wanted(name)):
                    unreadable.append((name, status))
            elif wanted is None or wanted(name):
                entries.append(_entry(properties, href, name))
            elif is_marked and marked in (entry := _entry(properties, href, name)).checksums:
                entries.append(entry)
        elif folder is not None and path_of(href) == folder:
            if properties:
                itself = _entry(properties, href, name)
            elif status >= 400:
                raise error_of(status, {}, f"PROPFIND {urllib.parse.unquote(asked)}")
        else:
            other = other or href
    if itself is None:
        raise _not_listed(asked, other)
    return Listing(itself, tuple(entries), http_time(date), tuple(unreadable))


def _not_listed(asked: Href, other: str) -> NotWebDav:
    message = f"The listing of {urllib.parse.unquote(asked)} does not contain that folder itself"
    if not other:
        return NotWebDav(message, _NOT_WEBDAV)
    return NotWebDav(
        f"{message}, but {urllib.parse.unquote(other)}",
        "A proxy in front of the server seems to map paths: let it pass them on unchanged, or put the path that the"
        " server itself uses into webdav/url.",
    )


def first_failure(body: bytes) -> int | None:
    """The first status of 400 or more in a multistatus that answers a DELETE or MOVE; None without one.

    Raises:
        NotWebDav: as `parse`.
    """
    return next((status for _, _, status in _resources(body, tolerant=True) if status >= 400), None)


def _resources(body: bytes, *, tolerant: bool) -> Iterator[tuple[Href, list[etree._Element], int]]:
    """The address of each resource in a multistatus, its properties, and the status that it has instead of them."""
    for response in _children(body, tolerant=tolerant):
        if response.tag != _RESPONSE:
            continue
        href, properties, status = _read(response)
        try:
            path = _path(href.strip())
        except ValueError:
            continue
        yield Href(path), properties, status


class _BadNamespace(Exception):
    """The XML is well-formed, but libxml2 does not accept the name of a namespace, such as `http://owncloud.org:`."""


def _children(body: bytes, *, tolerant: bool) -> Iterator[etree._Element]:
    """The child elements of a multistatus.

    Args:
        tolerant: accept namespaces that libxml2 does not, and nothing else.
    """
    # No entity is expanded and nothing external is loaded; `_check` rejects document type declarations.
    parser = etree.XMLPullParser(
        ("start",),
        tag=_MULTISTATUS,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        recover=tolerant,
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
        if tolerant:
            _check_end(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        if not tolerant and getattr(error, "code", None) in _NAMESPACE_ERRORS:
            raise _BadNamespace from error
        broken = NotWebDav
        if root is not None:
            _check(root)
            broken = TruncatedListing
        raise broken(f"The listing is not XML ({str(error)[:80]})", _NOT_WEBDAV) from error
    _check(root)
    yield from root


def _check_end(body: bytes, parser: "etree.XMLPullParser[etree._Element]") -> None:
    """Raise ValueError if a tolerant parser has recovered from more than a namespace, or did not come to the end."""
    if any(error.domain != etree.ErrorDomains.NAMESPACE for error in parser.feed_error_log):
        raise ValueError(parser.feed_error_log.filter_from_fatals())
    end = _END.search(body)
    if end is None or body[end.end() :].strip():
        raise ValueError("something follows its end")


def _check(root: etree._Element) -> None:
    if root.getroottree().docinfo.doctype or root.tag != _MULTISTATUS:
        raise NotWebDav("The listing is not a WebDAV multistatus", _NOT_WEBDAV)


def _path(href: str) -> str:
    """The path of an href; most hrefs are nothing but a path."""
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


def _read(response: etree._Element) -> tuple[str, list[etree._Element], int]:
    """The address in a response, the properties that were found, and the first status of 400 or more."""
    href, status = "", 0
    properties: list[etree._Element] = []
    for child in response:
        tag = child.tag
        if tag == _HREF:
            # Several addresses share one status (RFC 4918, 14.24), which says nothing about properties.
            href = href or child.text or ""
        elif tag == _PROPSTAT:
            failed = _read_propstat(child, properties)
            # A missing property (404) is not a failure.
            status = failed if status in (0, 404) else status
        elif tag == _STATUS:
            status = _code(child.text)
    return href, properties, status if status >= 400 else 0


def _read_propstat(propstat: etree._Element, properties: list[etree._Element]) -> int:
    """Append what was found; otherwise return the status."""
    found = None
    status = 0
    for child in propstat:
        tag = child.tag
        if tag == _PROP:
            found = child
        elif tag == _STATUS:
            status = _code(child.text)
    if found is None or status != 200:
        return status
    properties.append(found)
    return 0


def _code(status: str | None) -> int:
    """The number in `HTTP/1.1 200 OK`."""
    words = (status or "").split(None, 2)[:2]
    return next((int(word) for word in words if len(word) == 3 and _is_id(word)), 0)


def _entry(properties: list[etree._Element], href: Href, name: str) -> Entry:
    found = {element.tag: element for prop in properties for element in prop}
    text = {tag: element.text or "" for tag, element in found.items()}
    size, uploaded = text.get(Prop.SIZE, "").strip(), text.get(Prop.UPLOADED, "")
    kind = found.get(Prop.TYPE)
    is_folder = kind is not None and any(child.tag == _COLLECTION for child in kind)
    return Entry(
        name=name,
        href=href,
        is_folder=is_folder,
        size=int(size) if _is_number(size) and not is_folder else None,
        etag=normal_etag(text.get(Prop.ETAG)),
        modified=http_time(text.get(Prop.MODIFIED)),
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
