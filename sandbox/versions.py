"""WebDAV requests on the versions of files: listing them and restoring one."""

from email.utils import formatdate
from http import HTTPStatus
from typing import Any, override

from lxml import etree
from wsgidav.dav_provider import DAVProvider

from sandbox.dav import NextcloudServer
from sandbox.resources import Account, Leaf, content_type
from sandbox.sabre import DAV_HEADERS, SabreError, clark, forbidden, not_found
from sandbox.tag_resources import ListResource
from sandbox.tree import Entry, split
from sandbox.wsgi import HTML, Body, Environ, StartResponse, answer


class VersionResource(Leaf):
    """One version of a file, the current one included; its date in seconds is its name and ETag."""

    def __init__(self, environ: Environ, href: str, entry: Entry, date: int, size: int) -> None:
        super().__init__(environ, href)
        self._name = entry.name
        self._date = date
        self._size = size

    table = {  # noqa: RUF012 -- shared by all, changed by none
        clark("d:resourcetype"): lambda _: etree.Element(clark("d:resourcetype")),
        clark("d:getlastmodified"): lambda self: formatdate(self._date, usegmt=True),
        clark("d:getcontentlength"): lambda self: str(self._size),
        clark("d:getetag"): lambda self: str(self._date),
        clark("d:getcontenttype"): lambda self: content_type(self._name),
    }
    allprop = ("d:getlastmodified", "d:getcontentlength", "d:resourcetype", "d:getetag", "d:getcontenttype")


class VersionsProvider(DAVProvider):  # type: ignore[misc]  # WsgiDAV has no types
    """The versions of the account's files, by file id."""

    dav_headers = DAV_HEADERS

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account = account
        self.top = f"{account.base_path}/remote.php/dav/versions/{account.user_id}"

    @override
    def get_resource_inst(self, path: str, environ: Environ) -> Any:
        match split(path):
            case ["versions", file_id] if entry := self.file(file_id):
                href = f"{self.top}/versions/{file_id}/"
                listed = self.account.tree.listed_versions(entry).items()
                members = [
                    VersionResource(environ, f"{href}{date}", entry, date, content.stat().st_size)
                    for date, content in listed
                ]
                return ListResource(environ, href, members)
        return None

    def file(self, file_id: str) -> Entry | None:
        """The file with an id as it appears in a path; None without such a file or without the versions app."""
        if not file_id.isdigit() or not self.account.tree.versioning:
            return None
        entry = self.account.tree.by_id(int(file_id))
        return None if entry is None or entry.is_folder else entry


class VersionServer(NextcloudServer):
    """Answers one request on versions."""

    provider: VersionsProvider

    @override
    def missing(self, path: str) -> SabreError:
        del path
        return not_found("")

    def do_MOVE(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Restore a version."""
        if f"{self.provider.top}/restore/" not in environ.get("HTTP_DESTINATION", ""):
            raise forbidden()
        with self.account.tree.lock:
            match split(environ["PATH_INFO"]):
                case ["versions", file_id, date] if (entry := self.provider.file(file_id)) and date.isdigit():
                    self._restore(entry, int(date))
                case _:
                    raise self.missing(environ["PATH_INFO"])
        return answer(environ, start_response, HTTPStatus.CREATED, [HTML])

    def _restore(self, entry: Entry, date: int) -> None:
        if date not in self.account.tree.listed_versions(entry):
            raise self.missing(entry.path)
        if not entry.allows("update"):
            raise forbidden()
        if date in entry.versions:
            self.account.tree.restore_version(entry, date)
