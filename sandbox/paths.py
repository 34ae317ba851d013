"""What WebDAV requests on the account's files share: paths, conditional headers and the destination."""

import re
from http import HTTPStatus
from typing import Any, override

from sandbox.dav import NextcloudServer
from sandbox.resources import FilesProvider
from sandbox.sabre import SabreError, bad_request, forbidden, no_such_file, precondition_failed
from sandbox.tree import Entry, split
from sandbox.wsgi import HTML, Body, Environ, Headers, StartResponse, answer

# SabreDAV's own expression, Server::getIfConditions.
IF_CONDITION = re.compile(
    r"(?:<(?P<uri>.*?)>\s)?\((?P<not>Not\s)?(?:<(?P<token>[^>]*)>)?(?:\s?)(?:\[(?P<etag>[^\]]*)\])?\)", re.IGNORECASE
)


class PathServer(NextcloudServer):
    """Answers one request on a path of the account."""

    provider: FilesProvider

    @override
    def missing(self, path: str) -> SabreError:
        return no_such_file("/" + "/".join(split(path)))

    def check_preconditions(self, environ: Environ) -> Entry | None:
        """The entry at the path of the request, None if there is none; SabreError 412 if a conditional header fails."""
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
        check_if(environ, self.provider, self.provider.relative(environ["PATH_INFO"]))
        return entry

    def _evaluate_if_headers(self, res: Any, environ: Environ) -> None:
        """Nothing to do for WsgiDAV: check_preconditions evaluates the headers."""

    def parent_of(self, path: str) -> tuple[Entry | None, str]:
        """The folder of a path, None if there is none, and the last name."""
        *folders, name = split(path)
        return self.account.tree.find("/".join(folders)), name


def written(environ: Environ, start_response: StartResponse, headers: Headers, *, created: bool) -> Body:
    """201 for what was not there before, else 204."""
    if created:
        return answer(environ, start_response, HTTPStatus.CREATED, [*headers, HTML])
    return answer(environ, start_response, HTTPStatus.NO_CONTENT, headers)


def check_if(environ: Environ, files: FilesProvider, own: str) -> None:
    """Raise what SabreDAV answers if the If header fails (RFC 4918, 10.4). No lock token is ever valid here.

    `own` is the path of the request below the base ("files/alice/a.txt"), for conditions that name no path.
    """
    wanted: list[tuple[str, list[bool]]] = []
    for condition in IF_CONDITION.finditer(environ.get("HTTP_IF", "")):
        path = files.path_below_base(condition["uri"]) if condition["uri"] else own
        if condition["uri"] or not wanted:
            wanted.append((path, []))
        etag = condition["etag"]
        holds = not condition["token"] and (not etag or _etag_at(files, wanted[-1][0]) == etag)
        wanted[-1][1].append(holds is not bool(condition["not"]))
    for path, alternatives in wanted:
        if not any(alternatives):
            raise precondition_failed(f"Failed to find a valid token/etag combination for {path}", "If")


def _etag_at(files: FilesProvider, path: str) -> str | None:
    """The ETag of a file with its quotes, None for a folder, which has none here."""
    inside = path.removeprefix(files.relative(""))
    entry = files.account.tree.find(inside)
    if entry is None:
        raise no_such_file("/" + "/".join(split(inside)))
    return None if entry.is_folder else f'"{entry.etag}"'


def destination(environ: Environ, files: FilesProvider) -> str:
    """The path in the account that the Destination header names."""
    if "HTTP_DESTINATION" not in environ:
        raise bad_request("The destination header was not supplied")
    path = files.path_below_base(environ["HTTP_DESTINATION"])
    top = files.relative("")
    if path != top and not path.startswith(f"{top}/".lstrip("/")):
        raise forbidden("The destination is outside of this account's files")
    return path.removeprefix(top)


def matches(header: str, entry: Entry) -> bool:
    """Whether an entry has one of the ETags of an If-Match or If-None-Match header; a folder never has."""
    if header.strip() == "*":
        return True
    return not entry.is_folder and entry.etag in (etag.strip().strip('"') for etag in header.split(","))
