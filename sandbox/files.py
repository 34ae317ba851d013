"""WebDAV requests on the account's files."""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from wsgidav import util
from wsgidav.dav_error import DAVError

from sandbox.dav import NextcloudServer
from sandbox.names import check_name
from sandbox.resources import FilesProvider, oc_file_id
from sandbox.sabre import (
    Multistatus,
    SabreError,
    bad_request,
    clark,
    conflict,
    forbidden,
    insufficient_storage,
    locked,
    locked_in_move,
    no_such_file,
    not_found,
    parse_xml,
    precondition_failed,
)
from sandbox.search import report
from sandbox.tree import Entry, split
from sandbox.wsgi import Body, Environ, Headers, StartResponse, answer, read_body

ALLOWED = "OPTIONS, GET, HEAD, DELETE, PROPFIND, PUT, PROPPATCH, COPY, MOVE, REPORT"
HTML = ("Content-Type", "text/html; charset=UTF-8")
HASHES = ("sha256", "sha1", "md5")
BLOCK = 1 << 20


class FileServer(NextcloudServer):
    """Answers one request on the files."""

    provider: FilesProvider

    def do_OPTIONS(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        headers = [*self.provider.dav_headers, ("Allow", ALLOWED), ("MS-Author-Via", "DAV"), ("Accept-Ranges", "bytes")]
        return answer(environ, start_response, HTTPStatus.OK, [*headers, HTML])

    def do_GET(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        path = environ["PATH_INFO"]
        with self.account.tree.lock:
            entry = self._check_preconditions(environ)
            if entry is None:
                raise self.missing(path)
            if entry.is_folder:
                return answer(environ, start_response, HTTPStatus.OK, [HTML])
            self._refuse_locked(entry)
            if environ.get("HTTP_IF_NONE_MATCH") and _matches(environ["HTTP_IF_NONE_MATCH"], entry):
                return answer(environ, start_response, HTTPStatus.NOT_MODIFIED, [("ETag", f'"{entry.etag}"')])
            # A copy, and the file opened at once: what others write meanwhile does not get into this answer.
            resource = self.provider.resource(replace(entry), environ)
            content = self.account.tree.disk_path(entry).open("rb")
        environ["sandbox.opened"] = resource.opened(content)
        environ["HTTP_DEPTH"] = "0"
        return self._send(environ, start_response, content)

    do_HEAD = do_GET  # noqa: N815

    def do_PUT(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        with self._writing(environ) as (parent, name):
            try:
                content, hashes = self._receive(environ)
            except _CutOffError:
                with self.account.tree.lock:
                    self._abandon(parent, name)
                raise
            with self.account.tree.lock:
                created, entry = self._place(parent, name, content, environ)
                headers = hashes + self._written_headers(entry, environ)
        garbage = environ.get("HTTP_X_OC_MTIME")
        if garbage is not None and _timestamp(garbage) is None:
            message = f'X-OC-MTime header must be a valid integer (unix timestamp), got "{garbage}".'
            raise SabreError(HTTPStatus.INTERNAL_SERVER_ERROR, "InvalidArgumentException", message)
        if created:
            return answer(environ, start_response, HTTPStatus.CREATED, [*headers, HTML])
        return answer(environ, start_response, HTTPStatus.NO_CONTENT, headers)

    def do_DELETE(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        with self.account.tree.lock:
            entry = self._check_preconditions(environ)
            if entry is None:
                raise self._missing_or_its_folder(environ["PATH_INFO"])
            if entry.parent is None:
                raise forbidden("Permission denied to delete home folder")
            self._refuse_locked(entry)
            self._remove(entry)
        return answer(environ, start_response, HTTPStatus.NO_CONTENT, [])

    def do_MKCOL(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        path = environ["PATH_INFO"]
        with self.account.tree.lock:
            if self._check_preconditions(environ):
                message = "The resource you tried to create already exists"
                headers = [("Allow", ALLOWED)]
                raise SabreError(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", message, headers=headers)
            parent, name = self._parent(path)
            if parent is None:
                raise conflict("Parent node does not exist")
            if not parent.is_folder:
                raise conflict("Parent node is not a collection")
            check_name(name)
            if self.account.free() == 0:
                message = f"Insufficient space in {parent.path}. 0 available. Cannot create directory"
                raise insufficient_storage(message)
            entry = self.account.tree.add_folder(parent, name)
            headers = [("OC-FileId", oc_file_id(entry.file_id)), HTML]
        return answer(environ, start_response, HTTPStatus.CREATED, headers)

    def do_MOVE(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        with self.account.tree.lock:
            source, parent, name, existing = self._source_and_destination(environ)
            for entry in filter(None, (source, existing)):
                if self._is_locked(entry):
                    raise locked_in_move(entry.path)
            if (parent, name) in self.account.being_written:
                raise locked_in_move(f"{parent.path.rstrip('/')}/{name}")
            check_name(name)
            if existing:
                self._remove(existing)
            self.account.tree.move(source, parent, name)
            headers = [("OC-FileId", oc_file_id(source.file_id))]
            if not source.is_folder:
                headers += [("OC-ETag", f'"{source.etag}"'), ("ETag", f'"{source.etag}"')]
        return self._done(environ, start_response, headers, created=existing is None)

    def do_COPY(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        with self.account.tree.lock:
            source, parent, name, existing = self._source_and_destination(environ)
            self._refuse_locked(source)
            check_name(name)
            free, size = self.account.free(), source.total_size()
            if free is not None and size > free:
                raise insufficient_storage(f"Insufficient space in {parent.path}, {size} required, {free} available")
            if existing:
                self._remove(existing)
            entry = self.account.tree.copy(source, parent, name)
            headers = [("OC-FileId", oc_file_id(entry.file_id))]
        return self._done(environ, start_response, headers, created=existing is None)

    def do_PATCH(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        """A checksum of what is stored, on request."""
        kind = environ.get("HTTP_X_RECALCULATE_HASH", "")
        if kind not in HASHES:
            raise bad_request("X-Recalculate-Hash header missing or unknown")
        with self.account.tree.lock:
            entry = self._check_preconditions(environ)
            if entry is None or entry.is_folder:
                raise self.missing(environ["PATH_INFO"])
            digest = hashlib.new(kind, self.account.tree.disk_path(entry).read_bytes()).hexdigest()
            entry.checksum = f"{kind.upper()}:{digest}"
            headers = [("OC-Checksum", entry.checksum)]
        return answer(environ, start_response, HTTPStatus.NO_CONTENT, headers)

    def do_PROPPATCH(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        """The date of the last change and the favourite flag; all else is refused."""
        root = parse_xml(read_body(environ))
        with self.account.tree.lock:
            entry = self._check_preconditions(environ)
            if entry is None:
                raise self.missing(environ["PATH_INFO"])
            properties: list[tuple[str, Any]] = []
            for element in root.iterfind(f"{clark('d:set')}/{clark('d:prop')}/*"):
                done = self._set_property(entry, element.tag, element.text or "")
                properties.append((element.tag, None if done else DAVError(HTTPStatus.NOT_FOUND)))
            result = Multistatus()
            result.add(self.provider.resource(entry, environ).get_href(), properties)
        return result.respond(environ, start_response)

    def do_REPORT(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802
        return report(self.account, self.provider, environ, start_response)

    def missing(self, path: str) -> SabreError:
        return no_such_file("/" + "/".join(split(path)))

    def _set_property(self, entry: Entry, name: str, value: str) -> bool:
        if name == clark("oc:favorite"):
            entry.favorite = value == "1"
        elif name == clark("d:getlastmodified") and _timestamp(value) is not None:
            self.account.tree.set_mtime(entry, int(float(value)))
        else:
            return False
        return True

    def _check_preconditions(self, environ: Environ) -> Entry | None:
        """The entry at the path of the request, if what its conditional headers say holds."""
        entry = self.account.tree.find(environ["PATH_INFO"])
        wanted = environ.get("HTTP_IF_MATCH")
        if wanted and entry is None:
            message = "An If-Match header was specified and the resource did not exist"
            raise precondition_failed(message, "If-Match")
        if wanted and entry and not _matches(wanted, entry):
            message = "An If-Match header was specified, but none of the specified ETags matched."
            raise precondition_failed(message, "If-Match", "" if entry.is_folder else entry.etag)
        unwanted = environ.get("HTTP_IF_NONE_MATCH")
        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if unwanted and entry and not reads and _matches(unwanted, entry):
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

    def _send(self, environ: Environ, start_response: StartResponse, content: BinaryIO) -> Body:
        is_head_method = environ["REQUEST_METHOD"] == "HEAD"
        try:
            yield from self._send_resource(environ, start_response, is_head_method=is_head_method)
        except DAVError as error:
            entry = environ["sandbox.opened"].entry
            start = environ["HTTP_RANGE"].partition("=")[2].partition("-")[0]
            message = f"The start offset ({start}) exceeded the size of the entity ({entry.size})"
            headers = [("ETag", f'"{entry.etag}"'), ("Last-Modified", formatdate(entry.mtime, usegmt=True))]
            raise SabreError(error.value, "RequestedRangeNotSatisfiable", message, headers=headers) from error
        finally:
            content.close()

    def _parent(self, path: str) -> tuple[Entry | None, str]:
        *folders, name = split(path)
        return self.account.tree.find("/".join(folders)), name

    def _missing_or_its_folder(self, path: str) -> SabreError:
        parent, _ = self._parent(path)
        return self.missing(path) if parent else self.missing(path.rstrip("/").rpartition("/")[0])

    def _is_locked(self, entry: Entry) -> bool:
        return any(each.locked or (each.parent, each.name) in self.account.being_written for each in entry.walk())

    def _refuse_locked(self, entry: Entry) -> None:
        if self._is_locked(entry):
            raise locked(entry.path)

    def _remove(self, entry: Entry) -> None:
        for each in entry.walk():
            self.account.tags.forget(each.file_id)
        self.account.tree.remove(entry)

    def _done(self, environ: Environ, start_response: StartResponse, headers: Headers, *, created: bool) -> Body:
        if created:
            return answer(environ, start_response, HTTPStatus.CREATED, [*headers, HTML])
        return answer(environ, start_response, HTTPStatus.NO_CONTENT, headers)

    def _source_and_destination(self, environ: Environ) -> tuple[Entry, Entry, str, Entry | None]:
        """What to move or copy, the folder and name to take it to, and what is there; in Sabre's order of checks."""
        source = self._check_preconditions(environ)
        path = self._destination(environ)
        names, source_names = split(path), split(environ["PATH_INFO"])
        parent, name = self._parent(path) if names else (None, "")
        if parent is None:
            raise conflict("The destination node is not found")
        if not parent.is_folder:
            raise conflict("The destination node is not a collection")
        existing = self.account.tree.find(path)
        if existing and environ.get("HTTP_OVERWRITE", "T").upper() == "F":
            message = "The destination node already exists, and the overwrite header is set to false"
            raise precondition_failed(message, "Overwrite")
        if names == source_names:
            raise forbidden("Source and destination uri are identical.")
        if names[: len(source_names)] == source_names:
            raise conflict("The destination may not be part of the same subtree as the source path.")
        if source is None:
            raise self._missing_or_its_folder(environ["PATH_INFO"])
        return source, parent, name, existing

    def _destination(self, environ: Environ) -> str:
        if "HTTP_DESTINATION" not in environ:
            raise bad_request("The destination header was not supplied")
        raw = urlsplit(environ["HTTP_DESTINATION"].encode("latin-1").decode()).path
        path = unquote_to_bytes(raw).decode()
        top = self.provider.top
        if path != top and not path.startswith(top + "/"):
            raise forbidden("The destination is outside of this account's files")
        return path.removeprefix(top)

    @contextlib.contextmanager
    def _writing(self, environ: Environ) -> Iterator[tuple[Entry, str]]:
        """The folder and name that a PUT writes to, kept from everybody else until it is through."""
        with self.account.tree.lock:
            parent, name = self._check_put(environ)
            self.account.being_written.add((parent, name))
        try:
            yield parent, name
        finally:
            with self.account.tree.lock:
                self.account.being_written.discard((parent, name))

    def _check_put(self, environ: Environ) -> tuple[Entry, str]:
        path = environ["PATH_INFO"]
        entry = self._check_preconditions(environ)
        if "HTTP_CONTENT_RANGE" in environ:
            raise bad_request("Content-Range on PUT requests are forbidden.")
        if entry and entry.is_folder:
            raise conflict("PUT is not allowed on non-files.")
        if environ.get("HTTP_X_NC_WEBDAV_AUTO_MKCOL") == "1":
            self._make_parents(path)
        parent, name = self._parent(path)
        if parent is None or not parent.is_folder:
            raise self.missing(path.rstrip("/").rpartition("/")[0])
        if entry is None:
            check_name(name)
        if (parent, name) in self.account.being_written or (entry and entry.locked):
            raise locked(f"{parent.path.rstrip('/')}/{name}")
        length, free = int(environ.get("CONTENT_LENGTH") or 0), self.account.free()
        if free is not None and length > free:
            where = f"{parent.path.rstrip('/')}/{name}"
            raise insufficient_storage(f"Insufficient space in {where}, {length} required, {free} available")
        return parent, name

    def _make_parents(self, path: str) -> None:
        folder = self.account.tree.root
        for name in split(path)[:-1]:
            folder = self.account.tree.find(f"{folder.path}/{name}") or self.account.tree.add_folder(folder, name)

    def _receive(self, environ: Environ) -> tuple[Path, Headers]:
        """The body in a temporary file, and the headers that tell its hashes if they were asked for."""
        asked = environ.get("HTTP_X_HASH", "")
        hashes = [hashlib.new(kind) for kind in HASHES if asked in (kind, "all")]
        with tempfile.NamedTemporaryFile(dir=self.account.tree.spool, delete=False) as file:
            try:
                for block in self._blocks(environ):
                    file.write(block)
                    for digest in hashes:
                        digest.update(block)
            except _CutOffError:
                Path(file.name).unlink()
                raise
        return Path(file.name), [(f"X-Hash-{digest.name.upper()}", digest.hexdigest()) for digest in hashes]

    def _blocks(self, environ: Environ) -> Iterator[bytes]:
        if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
            return
        received, expected = 0, environ.get("CONTENT_LENGTH")
        try:
            while block := environ["wsgi.input"].read(BLOCK):
                received += len(block)
                yield block
        except (OSError, ValueError) as error:
            raise _CutOffError(expected, received) from error
        if expected and received != int(expected):
            raise _CutOffError(expected, received)

    def _abandon(self, parent: Entry, name: str) -> None:
        entry = parent.children.get(name)
        if entry is not None and self.account.tree.is_attached(entry):
            self.account.tree.truncate(entry)

    def _place(self, parent: Entry, name: str, content: Path, environ: Environ) -> tuple[bool, Entry]:
        if not self.account.tree.is_attached(parent):
            content.unlink()
            raise not_found(f"File with name {parent.path} could not be located")
        created = self.account.tree.find(f"{parent.path}/{name}") is None
        entry = self.account.tree.store(parent, name, content, _timestamp(environ.get("HTTP_X_OC_MTIME", "")))
        entry.checksum = environ.get("HTTP_OC_CHECKSUM", "")
        entry.creation_time = _timestamp(environ.get("HTTP_X_OC_CTIME", "")) or entry.creation_time
        return created, entry

    def _written_headers(self, entry: Entry, environ: Environ) -> Headers:
        dates = ("X-OC-MTime", "X-OC-CTime")
        accepted = [date for date in dates if "HTTP_" + date.upper().replace("-", "_") in environ]
        return [
            *((date, "accepted") for date in accepted),
            ("OC-FileId", oc_file_id(entry.file_id)),
            ("ETag", f'"{entry.etag}"'),
            ("OC-ETag", f'"{entry.etag}"'),
        ]


class _CutOffError(SabreError):
    """The client went away in the middle of a body."""

    def __init__(self, expected: str | None, received: int) -> None:
        message = f"Expected filesize of {expected} bytes but read (from Nextcloud client) and wrote {received} bytes."
        super().__init__(HTTPStatus.BAD_REQUEST, "BadRequest", message)


def _matches(header: str, entry: Entry) -> bool:
    if header.strip() == "*":
        return True
    # A folder's own ETag in If-Match never matches.
    return not entry.is_folder and entry.etag in (etag.strip().strip('"') for etag in header.split(","))


def _timestamp(value: str) -> int | None:
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None
