"""Reading the answer to a PROPFIND (RFC 4918, 9.1), from a server that is not trusted to mean well."""

import contextlib
import email.utils
import unicodedata
import urllib.parse
from collections.abc import Iterator

from lxml import etree

from shared.errors import NotWebDav
from shared.store import Entry, Href, Listing

_D, _OC, _NC = "{DAV:}", "{http://owncloud.org/ns}", "{http://nextcloud.org/ns}"
_NOT_WEBDAV = "Is webdav/url the address of a WebDAV folder, and not of a login page?"


def parse(body: bytes, asked: Href, date: str | None) -> Listing:
    """Read a multistatus.

    Only the resource asked for and its true direct children are believed; everything else in the answer is dropped.

    Args:
        body: the XML.
        asked: what the PROPFIND was sent to.
        date: the Date header of the answer.

    Raises:
        NotWebDav: broken XML, a document type declaration, or an answer about something else.
    """
    itself: Entry | None = None
    entries = []
    etag_tells = False
    folder = path_of(asked)
    for href, properties in resources(body):
        segments = path_of(href)
        if segments is None or folder is None or segments[: len(folder)] != folder or len(segments) > len(folder) + 1:
            continue
        entry = _entry(properties, href)
        if len(segments) > len(folder):
            entries.append(entry)
        else:
            itself = entry
            # Only Nextcloud and ownCloud have file ids, and they pass every change up to the folder's ETag.
            etag_tells = properties.find(f"{_OC}fileid") is not None
    if itself is None:
        raise NotWebDav(f"The listing of {urllib.parse.unquote(asked)} does not speak of that folder", _NOT_WEBDAV)
    return Listing(itself=itself, entries=tuple(entries), now=_time(date), etag_tells=etag_tells)


def resources(body: bytes) -> Iterator[tuple[Href, etree._Element]]:
    """The address of each resource in a multistatus, and the properties it has.

    Raises:
        NotWebDav: broken XML, or a document type declaration.
    """
    for response in _responses(body):
        properties = _found(response)
        if properties is not None:
            with contextlib.suppress(ValueError):
                yield Href(urllib.parse.urlsplit(response.findtext(f"{_D}href", "").strip()).path), properties


def _responses(body: bytes) -> Iterator[etree._Element]:
    # No entity is expanded and nothing is loaded from elsewhere; a declaration has no business here at all.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotWebDav(f"The listing is not XML ({str(error)[:80]})", _NOT_WEBDAV) from None
    if root.getroottree().docinfo.doctype or root.tag != f"{_D}multistatus":
        raise NotWebDav("The listing is not a WebDAV multistatus", _NOT_WEBDAV)
    responses: Iterator[etree._Element] = root.iterchildren(f"{_D}response")
    return responses


def path_of(href: str) -> list[str] | None:
    """The decoded parts of an address's path, in NFC; None where one part would lead elsewhere."""
    # What begins with a slash is a path as it is, even where it would read as a host.
    path = href if href.startswith("/") else urllib.parse.urlsplit(href).path
    parts = [urllib.parse.unquote(part) for part in path.split("/") if part]
    if any(part in (".", "..") or "/" in part or "\0" in part for part in parts):
        return None
    return [unicodedata.normalize("NFC", part) for part in parts]


def _found(response: etree._Element) -> etree._Element | None:
    for propstat in response.iterchildren(f"{_D}propstat"):
        if " 200 " in propstat.findtext(f"{_D}status", "") + " ":
            found: etree._Element | None = propstat.find(f"{_D}prop")
            return found
    return None


def _entry(properties: etree._Element, href: Href) -> Entry:
    size = properties.findtext(f"{_D}getcontentlength", "")
    uploaded = properties.findtext(f"{_NC}upload_time", "")
    return Entry(
        name=urllib.parse.unquote(href.rstrip("/").rpartition("/")[2]),
        href=href,
        is_folder=properties.find(f"{_D}resourcetype/{_D}collection") is not None,
        size=int(size) if _is_number(size) else None,
        etag=properties.findtext(f"{_D}getetag") or None,
        modified=_time(properties.findtext(f"{_D}getlastmodified")),
        uploaded=float(uploaded) if _is_number(uploaded) and uploaded != "0" else None,
    )


def _is_number(text: str) -> bool:
    # isdigit is true of "²", which int refuses, as it refuses thousands of digits.
    return text.isdecimal() and len(text) < 20


def _time(http_date: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(http_date).timestamp() if http_date else None
    except (ValueError, OverflowError):
        return None
