"""Sends recorded requests to the sandbox and reports where its answers differ from the recorded ones.

Ids and ETags cannot be the same. Each recorded value is paired with the sandbox's at first sight, and the pair must
hold from then on: where the recording shows a new ETag or the same id, so must the sandbox.
"""

import base64
import http.client
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

PREFIXES = {"DAV:": "d", "http://sabredav.org/ns": "s", "http://owncloud.org/ns": "oc", "http://nextcloud.org/ns": "nc"}
ID_LENGTH = 8
FILE_ID = re.compile(r"(/systemtags-relations/files/|/versions/alice/versions/)(\d+)")
UNKNOWN = "\N{REPLACEMENT CHARACTER}"

type Multistatus = list[list[Any]]


@dataclass(frozen=True)
class Exchange:
    """A recorded request and answer. login: None without one. time: the server's, in seconds since 1970."""

    name: str
    login: str | None
    time: int
    request: dict[str, Any]
    response: dict[str, Any]

    @property
    def number(self) -> int:
        """Its number in the recording."""
        return int(self.name[:3])


@dataclass
class Pairs:
    """Values of the recording and the sandbox's values for them, one to one."""

    here: dict[str, str] = field(default_factory=dict)
    there: dict[str, str] = field(default_factory=dict)

    def learn(self, recorded: str, actual: str) -> bool:
        """Add a pair; False if either value has another partner already."""
        return self.here.setdefault(recorded, actual) == actual and self.there.setdefault(actual, recorded) == recorded


def read(path: Path) -> Iterator[Exchange]:
    """The exchanges of a recording. `body_of` names an earlier request with the same body."""
    bodies: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        exchange = Exchange(**json.loads(line))
        if (earlier := exchange.request.pop("body_of", None)) is not None:
            exchange.request["body"] = bodies[earlier]
        bodies[exchange.name] = exchange.request.get("body", "")
        yield exchange


class Replay:
    """Sends requests, and compares the answers with the recorded ones."""

    def __init__(self, url: str, password: Callable[[Exchange], str]) -> None:
        self._url = url
        self._password = password
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        self.etags = Pairs()
        self.ids = Pairs()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def differences(self, exchange: Exchange) -> dict[str, str]:
        """What differs from the recording ("status", "header ETag", "property oc:size", ...), and how."""
        status, headers, body = self._send(exchange)
        found: dict[str, str] = {}
        expected = exchange.response
        if status != expected["status"]:
            found["status"] = f"{status} for {expected['status']}"
        found |= self._headers(exchange, headers)
        if "multistatus" in expected:
            found |= self._multistatus(expected["multistatus"], parse_multistatus(body) or [])
        elif "error" in expected:
            found |= _compare({"error": expected["error"]}, {"error": parse_error(body)})
        elif "json" in expected:
            found |= _compare({"json": expected["json"]}, {"json": json.loads(body or b"null")})
        elif body.decode() != _content(expected):
            found["body"] = f"{body[:80]!r}"
        return found

    def _send(self, exchange: Exchange) -> tuple[int, dict[str, str], bytes]:
        request = exchange.request
        headers = {name: self._to_here(value) for name, value in request["headers"].items()}
        if exchange.login:
            login = f"{exchange.login}:{self._password(exchange)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
        body = self._ids_to_here(_content(request)).encode()
        content = body if body or request["method"] in ("PUT", "POST") else None
        self._connection.request(request["method"], self._path(request["path"]), content, headers)
        response = self._connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()

    def _path(self, path: str) -> str:
        """A recorded path with the sandbox's file ids in it."""
        return FILE_ID.sub(lambda match: match[1] + self.ids.here.get(match[2], match[2]), path)

    def _to_here(self, value: str) -> str:
        for recorded, actual in self.etags.here.items():
            value = value.replace(recorded, actual)
        return value.replace("{url}", self._url)

    def _headers(self, exchange: Exchange, actual: dict[str, str]) -> dict[str, str]:
        found = {}
        recorded = exchange.response["headers"]
        for name in sorted({*recorded, *(name for name in actual if name in COMPARED_HEADERS)}):
            there, here = recorded.get(name), actual.get(name)
            if there is None or here is None:
                found[f"header {name}"] = f"{here!r} for {there!r}"
            elif name in ("ETag", "OC-ETag"):
                if not self.etags.learn(there, here):
                    found[f"header {name}"] = f"{here!r} is not the partner of {there!r}"
            elif name == "OC-FileId":
                if not self._learn_oc_id(there, here):
                    found[f"header {name}"] = f"{here!r} is not the partner of {there!r}"
            elif there.replace("{url}", self._url) != here:
                found[f"header {name}"] = f"{here!r} for {there!r}"
        return found

    def _learn_oc_id(self, there: str, here: str) -> bool:
        same_instance = there[ID_LENGTH:] == here[ID_LENGTH:]
        return same_instance and self.ids.learn(str(int(there[:ID_LENGTH])), str(int(here[:ID_LENGTH])))

    def _multistatus(self, recorded: Multistatus, actual: Multistatus) -> dict[str, str]:
        found = {}
        there = {self._path(href): properties for href, *properties in recorded}
        here = {href: properties for href, *properties in actual}
        if there.keys() != here.keys():
            found["hrefs"] = (
                f"too many {sorted(here.keys() - there.keys())}, lacks {sorted(there.keys() - here.keys())}"
            )
        elif list(there) != list(here):
            found["order"] = f"{list(here)}"
        for href in there.keys() & here.keys():
            found |= self._properties(there[href], here[href])
        return found

    def _properties(self, there: list[Any], here: list[Any]) -> dict[str, str]:
        found = {}
        for name in dict.fromkeys([*there[0], *there[1], *here[0], *here[1]]):
            recorded = there[0].get(name, "404" if name in there[1] else UNKNOWN)
            actual = here[0].get(name, "404" if name in here[1] else UNKNOWN)
            if not self._same(name, recorded, actual):
                found[f"property {name}"] = f"{actual!r} for {recorded!r}"
        return found

    def _same(self, name: str, recorded: str, actual: str) -> bool:
        if "404" in (recorded, actual) or UNKNOWN in (recorded, actual):
            return recorded == actual
        if name == "d:getetag":
            return self.etags.learn(recorded, actual)
        if name in ("oc:fileid", "nc:reference-fileid") and recorded != "-1":
            return self.ids.learn(recorded, actual)
        if name == "oc:id" and len(recorded) > ID_LENGTH:
            return self._learn_oc_id(recorded, actual)
        return self._ids_to_here(recorded) == actual

    def _ids_to_here(self, xml: str) -> str:
        return re.sub(r"(?<=<nc:id>)\d+", lambda match: self.ids.here.get(match[0], match[0]), xml)


COMPARED_HEADERS = {
    "Allow",
    "Connection",
    "Content-Disposition",
    "Content-Location",
    "Content-Type",
    "DAV",
    "ETag",
    "Last-Modified",
    "OC-Checksum",
    "OC-ETag",
    "OC-FileId",
    "Retry-After",
    "WWW-Authenticate",
    "X-Hash-MD5",
    "X-Hash-SHA1",
    "X-Hash-SHA256",
    "X-Nextcloud-Maintenance-Mode",
    "X-OC-MTime",
    "X-User-Id",
}


def parse_multistatus(body: bytes) -> Multistatus | None:
    """[href, {property: value}, [properties that are 404]] of each response; None if it is not a multistatus.

    A value that is not plain text is given as XML with the usual prefixes.
    """
    try:
        root = etree.fromstring(body)
    except etree.XMLSyntaxError:
        return None
    if root.tag != "{DAV:}multistatus":
        return None
    responses = []
    for response in root.iterfind("{DAV:}response"):
        had: dict[str, str] = {}
        lacked: list[str] = []
        for propstat in response.iterfind("{DAV:}propstat"):
            for element in propstat.find("{DAV:}prop"):
                if " 200 " in propstat.findtext("{DAV:}status"):
                    had[_prefixed(element.tag)] = _value(element)
                else:
                    lacked.append(_prefixed(element.tag))
        responses.append([response.findtext("{DAV:}href"), had, lacked])
    return responses


def parse_error(body: bytes) -> list[str] | None:
    """[exception, message, the rest as XML] of a SabreDAV error; None if it is none."""
    try:
        root = etree.fromstring(body)
    except etree.XMLSyntaxError:
        return None
    if root.tag != "{DAV:}error":
        return None
    exception, message, *rest = [_value(element) for element in root]
    return [exception, message, *rest]


def _prefixed(tag: str) -> str:
    name = etree.QName(tag)
    return f"{PREFIXES.get(name.namespace, name.namespace)}:{name.localname}"


def _value(element: "etree._Element") -> str:
    if not len(element):
        return element.text or ""
    return "".join(_xml(child) for child in element)


def _xml(element: "etree._Element") -> str:
    attributes = "".join(f' {_prefixed(name)}="{value}"' for name, value in sorted(element.items()))
    content = _value(element)
    tag = _prefixed(element.tag)
    return f"<{tag}{attributes}>{content}</{tag}>" if content else f"<{tag}{attributes}/>"


def _content(message: dict[str, Any]) -> str:
    """The body of a request or answer; `fill` is a character and how often it is repeated."""
    if "fill" in message:
        character, length = message["fill"]
        return str(character * length)
    return str(message.get("body", ""))


def _compare(recorded: Any, actual: Any, where: str = "") -> dict[str, str]:
    if not (isinstance(recorded, dict) and isinstance(actual, dict)):
        return {} if recorded == actual else {where: f"{actual!r} for {recorded!r}"}
    found: dict[str, str] = {}
    for key in {*recorded, *actual}:
        found |= _compare(recorded.get(key, UNKNOWN), actual.get(key, UNKNOWN), f"{where} {key}".strip())
    return found
