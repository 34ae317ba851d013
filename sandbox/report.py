"""REPORT by tag: files found anywhere in the account."""

from http import HTTPStatus

from lxml import etree

from sandbox.dav import multistatus
from sandbox.resources import Account, FilesProvider
from sandbox.sabre import SabreError, bad_request, clark, no_such_file, parse_xml, precondition_failed
from sandbox.tree import Entry, split
from sandbox.wsgi import Body, Environ, StartResponse, read_body


def report(account: Account, provider: FilesProvider, environ: Environ, start_response: StartResponse) -> Body:
    """oc:filter-files: all files and folders that have every tag asked for, whatever folder the request names."""
    root = parse_xml(read_body(environ))
    with account.tree.lock:
        where = account.tree.find(environ["PATH_INFO"])
        if where is None:
            raise no_such_file("/" + "/".join(split(environ["PATH_INFO"])))
        if not where.is_folder or root.tag != clark("oc:filter-files"):
            extra = "  <d:supported-report/>\n"
            raise SabreError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "ReportNotSupported", "", extra=extra)
        found = _filter(account, root)
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
    # Nextcloud keeps the ids as text, and sorts them so.
    return [found[file_id] for file_id in sorted(found, key=str)]


def _selected(root: "etree._Element") -> list[str]:
    prop = root.find(clark("d:prop"))
    return [] if prop is None else [element.tag for element in prop]
