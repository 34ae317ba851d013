"""What WebDAV requests on the account's files have in common: the path, what is there, and its conditions."""

from http import HTTPStatus
from typing import Any

from wsgidav import util

from sandbox.dav import NextcloudServer
from sandbox.resources import FilesProvider
from sandbox.sabre import SabreError, no_such_file, precondition_failed
from sandbox.tree import Entry, split
from sandbox.wsgi import HTML, Body, Environ, Headers, StartResponse, answer


class PathServer(NextcloudServer):
    """Answers one request on a path of the account."""

    provider: FilesProvider

    def missing(self, path: str) -> SabreError:
        return no_such_file("/" + "/".join(split(path)))

    def check_preconditions(self, environ: Environ) -> Entry | None:
        """The entry at the path of the request, if what its conditional headers say holds."""
        entry = self.account.tree.find(environ["PATH_INFO"])
        wanted = environ.get("HTTP_IF_MATCH")
        if wanted and entry is None:
            message = "An If-Match header was specified and the resource did not exist"
            raise precondition_failed(message, "If-Match")
        if wanted and entry and not matches(wanted, entry):
            message = "An If-Match header was specified, but none of the specified ETags matched."
            raise precondition_failed(message, "If-Match", "" if entry.is_folder else entry.etag)
        unwanted = environ.get("HTTP_IF_NONE_MATCH")
        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if unwanted and entry and not reads and matches(unwanted, entry):
            message = "An If-None-Match header was specified, but the ETag matched (or * was specified)."
            raise precondition_failed(message, "If-None-Match")
        if "HTTP_IF" in environ and entry and not self._if_header_holds(environ, entry):
            path = f"files/{self.account.user_id}{entry.path}"
            raise precondition_failed(f"Failed to find a valid token/etag combination for {path}", "If")
        return entry

    def _if_header_holds(self, environ: Environ, entry: Entry) -> bool:
        util.parse_if_header_dict(environ)
        conditions = environ["wsgidav.conditions.if"]
        resource = self.provider.resource(entry, environ)
        return bool(util.test_if_header_dict(resource, conditions, entry.path, [], entry.etag))

    def _evaluate_if_headers(self, res: Any, environ: Environ) -> None:
        """Done before WsgiDAV gets to send a file."""

    def parent_of(self, path: str) -> tuple[Entry | None, str]:
        """The folder that a path's last name is in, if there is one, and that name."""
        *folders, name = split(path)
        return self.account.tree.find("/".join(folders)), name

    def written(self, environ: Environ, start_response: StartResponse, headers: Headers, *, created: bool) -> Body:
        """201 for what was not there before, else 204."""
        if created:
            return answer(environ, start_response, HTTPStatus.CREATED, [*headers, HTML])
        return answer(environ, start_response, HTTPStatus.NO_CONTENT, headers)


def matches(header: str, entry: Entry) -> bool:
    """Whether an entry has one of the ETags in an If-Match or If-None-Match; a folder never has."""
    if header.strip() == "*":
        return True
    return not entry.is_folder and entry.etag in (etag.strip().strip('"') for etag in header.split(","))


def timestamp(value: str) -> int | None:
    """Seconds as a client gives them, None if they are none."""
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None
