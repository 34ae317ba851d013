"""REPORT by tag and SEARCH: files found anywhere in the account."""

import operator
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from lxml import etree

from sandbox.dav import multistatus
from sandbox.resources import Account, FilesProvider, content_type
from sandbox.sabre import SabreError, bad_request, clark, no_such_file, not_found, parse_xml, precondition_failed
from sandbox.tree import Entry, split
from sandbox.wsgi import Body, Environ, StartResponse, answer, read_body

type Condition = Callable[[Entry], bool]

SEARCH_XML_TYPE = 'application/xml; charset="utf-8"'
UNKNOWN_PROPERTY = b"requested search property is not a valid property for this scope"


def report(account: Account, provider: FilesProvider, environ: Environ, start_response: StartResponse) -> Body:
    """oc:filter-files: all files and folders that carry every tag asked for; the folder it is sent to is ignored."""
    root = parse_xml(read_body(environ))
    with account.tree.lock:
        where = account.tree.find(environ["PATH_INFO"])
        if where is None:
            raise no_such_file("/" + "/".join(split(environ["PATH_INFO"])))
        if not where.is_folder or root.tag != clark("oc:filter-files"):
            extra = "  <d:supported-report/>\n"
            raise SabreError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "ReportNotSupported", "", extra=extra)
        found = _filter(account, root)
        first, count = _limits(root)
        found = found[first:] if count is None else found[first : first + count]
        resources = [provider.resource(entry, environ) for entry in found]
        return multistatus(resources, _selected(root)).respond(environ, start_response)


def _filter(account: Account, root: "etree._Element") -> list[Entry]:
    rules = root.find(clark("oc:filter-rules"))
    if rules is None or not len(rules):
        raise bad_request("Missing filter-rule block in request")
    account.tree.refresh(account.tree.root)
    found = {entry.file_id: entry for entry in account.tree.root.walk()}
    for rule in rules.iterfind(clark("oc:systemtag")):
        if not (rule.text or "").isdigit():
            message = "Tag id must be integer"
            raise SabreError(HTTPStatus.INTERNAL_SERVER_ERROR, "InvalidArgumentException", message)
        if account.tags.visible(int(rule.text or "")) is None:
            raise precondition_failed("Cannot filter by non-existing tag")
        tagged = account.tags.files_with(int(rule.text or ""))
        found = {file_id: entry for file_id, entry in found.items() if file_id in tagged}
    if rules.find(clark("oc:favorite")) is not None:
        found = {file_id: entry for file_id, entry in found.items() if entry.favorite}
    # Nextcloud keeps the ids as text, and sorts them so.
    return [found[file_id] for file_id in sorted(found, key=str)]


def _limits(root: "etree._Element") -> tuple[int, int | None]:
    first = root.findtext(f"{clark('d:limit')}/{clark('nc:firstresult')}")
    count = root.findtext(f"{clark('d:limit')}/{clark('d:nresults')}")
    return int(first or 0), int(count) if count else None


def _selected(root: "etree._Element") -> list[str]:
    prop = root.find(clark("d:prop"))
    return [] if prop is None else [element.tag for element in prop]


def search(account: Account, provider: FilesProvider, environ: Environ, start_response: StartResponse) -> Body:
    """d:basicsearch: the files in and below a folder for which conditions hold, by id."""
    basic = parse_xml(read_body(environ)).find(clark("d:basicsearch"))
    if basic is None:
        raise bad_request("Unexpected xml content for searchrequest, expected basicsearch")
    where = basic.find(clark("d:where"))
    try:
        holds = _all([_condition(element) for element in where] if where is not None else [])
    except LookupError:
        headers = [("Content-Type", SEARCH_XML_TYPE), ("Connection", "close")]
        return answer(environ, start_response, HTTPStatus.BAD_REQUEST, headers, UNKNOWN_PROPERTY)
    with account.tree.lock:
        scope = _scope(account, basic.findtext(f"{clark('d:from')}/{clark('d:scope')}/{clark('d:href')}") or "")
        account.tree.refresh(scope)
        found = sorted((entry for entry in scope.walk() if holds(entry)), key=lambda entry: entry.file_id)
        count = basic.findtext(f"{clark('d:limit')}/{clark('d:nresults')}")
        resources = [provider.resource(entry, environ) for entry in found[: int(count) if count else None]]
        select = basic.find(f"{clark('d:select')}")
        wanted = [] if select is None else _selected(select)
        return multistatus(resources, wanted).respond(environ, start_response, content_type=SEARCH_XML_TYPE)


def _scope(account: Account, href: str) -> Entry:
    parts = split(unquote(href))
    if parts[:2] != ["files", account.user_id]:
        raise not_found(f"Search scope {href} not found")
    scope = account.tree.find("/".join(parts[2:]))
    if scope is None:
        raise no_such_file("/" + "/".join(parts[2:]))
    return scope


def _all(conditions: list[Condition]) -> Condition:
    return lambda entry: all(holds(entry) for holds in conditions)


def _condition(element: "etree._Element") -> Condition:
    """One condition; raises LookupError for a property or comparison that cannot be searched by."""
    kind = etree.QName(element).localname
    if kind == "and":
        return _all([_condition(child) for child in element])
    if kind == "or":
        selections = [_condition(child) for child in element]
        return lambda entry: any(holds(entry) for holds in selections)
    if kind == "not":
        denied = _all([_condition(child) for child in element])
        return lambda entry: not denied(entry)
    prop = element.find(clark("d:prop"))
    if kind == "is-collection":
        return lambda entry: entry.is_folder
    if prop is None or not len(prop):
        raise LookupError(kind)
    return _comparison(kind, VALUES[prop[0].tag], element.findtext(clark("d:literal")) or "")


VALUES: dict[str, Callable[[Entry], str | int]] = {
    clark("d:displayname"): lambda entry: entry.name,
    clark("d:getcontenttype"): lambda entry: "httpd/unix-directory" if entry.is_folder else content_type(entry.name),
    clark("oc:fileid"): lambda entry: entry.file_id,
    clark("oc:size"): lambda entry: entry.total_size(),
    clark("oc:favorite"): lambda entry: int(entry.favorite),
}


def _comparison(kind: str, value: Callable[[Entry], str | int], literal: str) -> Condition:
    if kind == "like":
        pattern = re.compile(".*".join(map(re.escape, literal.split("%"))), re.IGNORECASE | re.DOTALL)
        return lambda entry: pattern.fullmatch(str(value(entry))) is not None
    compare = COMPARISONS[kind]

    def holds(entry: Entry) -> bool:
        actual = value(entry)
        return compare(actual, literal if isinstance(actual, str) else _number(literal))

    return holds


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def _number(literal: str) -> int:
    """As PHP reads it: "00000096ocabc", an id with the instance's name behind it, is 96."""
    digits = re.match(r"\s*[-+]?\d+", literal)
    return int(digits[0]) if digits else 0
