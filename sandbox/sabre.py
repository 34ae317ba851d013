"""Answers in the form of SabreDAV, the library that Nextcloud uses for WebDAV."""

import functools
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Self
from xml.sax.saxutils import escape

from lxml import etree
from wsgidav.dav_error import DAVError

from sandbox.wsgi import Body, Environ, StartResponse, answer

NAMESPACES = {
    "d": "DAV:",
    "s": "http://sabredav.org/ns",
    "oc": "http://owncloud.org/ns",
    "nc": "http://nextcloud.org/ns",
}
XML_TYPE = "application/xml; charset=utf-8"
DAV_CLASSES = (
    "1, 3, extended-mkcol, access-control, calendarserver-principal-property-search, nc-paginate, "
    "nextcloud-checksum-update, nc-calendar-search, nc-enable-birthday-calendar"
)
DAV_HEADERS = (("DAV", DAV_CLASSES), ("Vary", "Brief,Prefer"))
OLDER_DAV_HEADERS = (("DAV", "1, 3, extended-mkcol, nextcloud-checksum-update"), ("Vary", "Brief,Prefer"))
ALLOWED = "OPTIONS, GET, HEAD, DELETE, PROPFIND, PUT, PROPPATCH, COPY, MOVE, REPORT"
# After these, PHP and Apache close the connection.
CLOSING = {400, 500, 501, 503}

type Properties = list[tuple[str, "str | etree._Element | DAVError"]]


@functools.cache
def clark(name: str) -> str:
    """`oc:fileid` as `{http://owncloud.org/ns}fileid`."""
    prefix, local = name.split(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


class SabreError(Exception):
    """An error answer: the HTTP status, the name of the PHP exception, a message, more XML (`extra`) and headers."""

    def __init__(
        self, status: int, exception: str, message: str, *, extra: str = "", headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.exception = exception if "\\" in exception or status == 500 else f"Sabre\\DAV\\Exception\\{exception}"
        self.message = message
        self.extra = extra
        self.headers = list(headers)

    def with_headers(self, headers: Iterable[tuple[str, str]]) -> Self:
        """This error with more headers."""
        self.headers += headers
        return self

    def respond(self, environ: Environ, start_response: StartResponse) -> Body:
        """Answer a request with this error."""
        own = ' xmlns:o="http://owncloud.org/ns"' if "<o:" in self.extra else ""
        message = f"<s:message>{escape(self.message)}</s:message>" if self.message else "<s:message/>"
        body = (
            f'<?xml version="1.0" encoding="utf-8"?>\n<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"{own}>\n'
            f"  <s:exception>{escape(self.exception)}</s:exception>\n  {message}\n{self.extra}</d:error>\n"
        )
        headers = [*self.headers, ("Content-Type", XML_TYPE)]
        if self.status in CLOSING:
            headers.append(("Connection", "close"))
        return answer(environ, start_response, self.status, headers, body.encode())


def not_found(message: str) -> SabreError:
    """404."""
    return SabreError(HTTPStatus.NOT_FOUND, "NotFound", message)


def no_such_file(path: str) -> SabreError:
    """404 for a path where nothing is. Nextcloud writes two slashes before a name in the top folder."""
    return not_found(f"File with name {'/' if path.count('/') == 1 else ''}{path} could not be located")


def bad_request(message: str) -> SabreError:
    """400."""
    return SabreError(HTTPStatus.BAD_REQUEST, "BadRequest", message)


def conflict(message: str) -> SabreError:
    """409."""
    return SabreError(HTTPStatus.CONFLICT, "Conflict", message)


def forbidden(message: str = "") -> SabreError:
    """403; Nextcloud gives no reason where a right is missing."""
    return SabreError(HTTPStatus.FORBIDDEN, "Forbidden", message)


def precondition_failed(message: str, header: str = "", etag: str = "") -> SabreError:
    """412, with the name of the header that failed and the actual ETag."""
    extra = f"  <s:header>{header}</s:header>\n" if header else ""
    headers = [("ETag", f'"{etag}"')] if etag else []
    return SabreError(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed", message, extra=extra, headers=headers)


def invalid_path(message: str) -> SabreError:
    """400 for a name that Nextcloud does not allow."""
    reason = escape(message)
    extra = f'  <o:retry xmlns:o="o:">false</o:retry>\n  <o:reason xmlns:o="o:">{reason}</o:reason>\n'
    return SabreError(HTTPStatus.BAD_REQUEST, r"OCA\DAV\Connector\Sabre\Exception\InvalidPath", message, extra=extra)


def already_there() -> SabreError:
    """405 for a MKCOL of something that exists."""
    message = "The resource you tried to create already exists"
    return SabreError(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message, headers=[("Allow", ALLOWED)])


def locked(path: str) -> SabreError:
    """423."""
    exception = r"OCA\DAV\Connector\Sabre\Exception\FileLocked"
    return SabreError(HTTPStatus.LOCKED, exception, f'"{path}" is locked')


def locked_in_move(path: str) -> SabreError:
    """500, which a MOVE of a locked file gets instead of 423."""
    return SabreError(HTTPStatus.INTERNAL_SERVER_ERROR, r"OCP\Lock\LockedException", f'"{path}" is locked')


def insufficient_storage(message: str) -> SabreError:
    """507."""
    return SabreError(HTTPStatus.INSUFFICIENT_STORAGE, "InsufficientStorage", message)


def parse_xml(body: bytes) -> "etree._Element":
    """The root of a request's XML; 400 if it is not well-formed."""
    try:
        return etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise bad_request(str(error)) from error


class Multistatus:
    """Builds a 207 answer (RFC 4918, 13)."""

    def __init__(self) -> None:
        self._root = etree.Element(clark("d:multistatus"), nsmap=NAMESPACES)

    def add(self, href: str, properties: Properties) -> None:
        """Add a resource: the properties it has with 200, those it lacks with 404."""
        response = etree.SubElement(self._root, clark("d:response"))
        etree.SubElement(response, clark("d:href")).text = href
        had = [(name, value) for name, value in properties if not isinstance(value, DAVError)]
        lacked = [(name, None) for name, value in properties if isinstance(value, DAVError)]
        if had:
            self._propstat(response, had, "HTTP/1.1 200 OK")
        if lacked:
            self._propstat(response, lacked, "HTTP/1.1 404 Not Found")

    def _propstat(self, response: "etree._Element", properties: Iterable[tuple[str, Any]], status: str) -> None:
        propstat = etree.SubElement(response, clark("d:propstat"))
        prop = etree.SubElement(propstat, clark("d:prop"))
        for name, value in properties:
            if isinstance(value, str):
                etree.SubElement(prop, name).text = value
            elif value is None:
                etree.SubElement(prop, name)
            else:
                prop.append(value)
        etree.SubElement(propstat, clark("d:status")).text = status

    def respond(
        self,
        environ: Environ,
        start_response: StartResponse,
        headers: Iterable[tuple[str, str]] = (),
        content_type: str = XML_TYPE,
    ) -> Body:
        """Answer a request with the resources that were added."""
        headers = [*headers, ("Content-Type", content_type)]
        body = b'<?xml version="1.0"?>\n' + etree.tostring(self._root, encoding="utf-8")
        return answer(environ, start_response, HTTPStatus.MULTI_STATUS, headers, body)


def encode_path(path: str) -> str:
    """Percent-encode a path as SabreDAV does, in lower case."""
    return re.sub(rb"[^A-Za-z0-9_\-.~()/:@]", lambda match: b"%%%02x" % match[0][0], path.encode()).decode()
