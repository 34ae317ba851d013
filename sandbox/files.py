"""WebDAV requests on the account's files."""

from dataclasses import replace
from http import HTTPStatus
from typing import BinaryIO

from sandbox.names import check_name
from sandbox.paths import destination, matches, written
from sandbox.put_handler import PutServer
from sandbox.report import report
from sandbox.resources import oc_file_id
from sandbox.sabre import (
    SabreError,
    already_there,
    conflict,
    forbidden,
    insufficient_storage,
    locked,
    locked_in_move,
    precondition_failed,
)
from sandbox.tree import Entry, split
from sandbox.wsgi import HTML, Body, Environ, StartResponse, answer


class FileServer(PutServer):
    """Answers one request on the files."""

    def do_GET(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Send a file; a folder's body is empty."""
        path = environ["PATH_INFO"]
        with self.account.tree.lock:
            entry = self.check_preconditions(environ)
            if entry is None:
                raise self.missing(path)
            if entry.is_folder:
                return answer(environ, start_response, HTTPStatus.OK, [HTML])
            self._check_unlocked(entry)
            if environ.get("HTTP_IF_NONE_MATCH") and matches(environ["HTTP_IF_NONE_MATCH"], entry):
                return answer(environ, start_response, HTTPStatus.NOT_MODIFIED, [("ETag", f'"{entry.etag}"')])
            # A copy of the entry and an open file, so that concurrent writes stay out of this answer.
            resource = self.provider.resource(replace(entry), environ)
            content = self.account.tree.disk_path(entry).open("rb")
        environ["sandbox.opened"] = resource.opened(content)
        environ["HTTP_DEPTH"] = "0"
        return self._send(environ, start_response, content)

    do_HEAD = do_GET  # noqa: N815 -- WsgiDAV's name

    def do_DELETE(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Delete a file or folder, into the trash bin unless `X-NC-Skip-Trashbin: true` says otherwise."""
        with self.account.tree.lock:
            entry = self.check_preconditions(environ)
            if entry is None:
                raise self._missing_or_its_folder(environ["PATH_INFO"])
            if entry.parent is None:
                raise forbidden("Permission denied to delete home folder")
            self._check_unlocked(entry)
            if not entry.allows_removal():
                raise forbidden()
            if environ.get("HTTP_X_NC_SKIP_TRASHBIN") == "true":
                self._remove(entry)
            else:
                self.account.tree.trash(entry)
        return answer(environ, start_response, HTTPStatus.NO_CONTENT, [])

    def do_MKCOL(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Make a folder."""
        path = environ["PATH_INFO"]
        with self.account.tree.lock:
            if self.check_preconditions(environ):
                raise already_there()
            parent, name = self.parent_of(path)
            if parent is None:
                raise conflict("Parent node does not exist")
            if not parent.is_folder:
                raise conflict("Parent node is not a collection")
            check_name(name)
            if not parent.allows("create"):
                raise forbidden()
            if self.account.free() == 0:
                message = f"Insufficient space in {parent.path}. 0 available. Cannot create directory"
                raise insufficient_storage(message)
            entry = self.account.tree.add_folder(parent, name)
            headers = [("OC-FileId", oc_file_id(entry.file_id)), HTML]
        return answer(environ, start_response, HTTPStatus.CREATED, headers)

    def do_MOVE(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Move or rename a file or folder with all that belongs to it. A locked one gets 500, not 423."""
        with self.account.tree.lock:
            source, parent, name, existing = self._source_and_destination(environ)
            for entry in filter(None, (source, existing)):
                if self._is_locked(entry):
                    raise locked_in_move(entry.path)
            if (parent, name) in self.account.being_written:
                raise locked_in_move(f"{parent.path.rstrip('/')}/{name}")
            self._check_rights_to_move(source, parent, existing)
            check_name(name)
            if existing:
                self.account.tree.trash(existing)
            self.account.tree.move(source, parent, name)
            headers = [("OC-FileId", oc_file_id(source.file_id))]
            if not source.is_folder:
                headers += [("OC-ETag", f'"{source.etag}"'), ("ETag", f'"{source.etag}"')]
        return written(environ, start_response, headers, created=existing is None)

    def do_COPY(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Copy a file or folder: new ids, no tags, no checksum."""
        with self.account.tree.lock:
            source, parent, name, existing = self._source_and_destination(environ)
            self._check_unlocked(source)
            check_name(name)
            self.account.check_space(parent.path, source.total_size())
            if not parent.allows("update" if existing else "create"):
                raise forbidden("No permissions to copy object.")
            if existing:
                self.account.tree.trash(existing)
            entry = self.account.tree.copy(source, parent, name)
            headers = [("OC-FileId", oc_file_id(entry.file_id))]
        return written(environ, start_response, headers, created=existing is None)

    def do_REPORT(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Find what carries certain tags."""
        return report(self.account, self.provider, environ, start_response)

    def _send(self, environ: Environ, start_response: StartResponse, content: BinaryIO) -> Body:
        try:
            yield from self._send_resource(environ, start_response, is_head_method=environ["REQUEST_METHOD"] == "HEAD")
        finally:
            content.close()

    def _missing_or_its_folder(self, path: str) -> SabreError:
        parent, _ = self.parent_of(path)
        return self.missing(path) if parent else self.missing(path.rstrip("/").rpartition("/")[0])

    def _is_locked(self, entry: Entry) -> bool:
        return any(each.locked or (each.parent, each.name) in self.account.being_written for each in entry.walk())

    def _check_unlocked(self, entry: Entry) -> None:
        if self._is_locked(entry):
            raise locked(entry.path)

    def _check_rights_to_move(self, source: Entry, parent: Entry, existing: Entry | None) -> None:
        """As Nextcloud's Directory::moveInto does."""
        stays = source.parent is parent
        if source.rights is None and not (parent.allows("update") if stays or existing else parent.allows("create")):
            raise forbidden()
        if not stays and not source.allows_removal():
            raise forbidden()

    def _remove(self, entry: Entry) -> None:
        for each in entry.walk():
            self.account.tags.forget(each.file_id)
        self.account.tree.remove(entry)

    def _source_and_destination(self, environ: Environ) -> tuple[Entry, Entry, str, Entry | None]:
        """What to move or copy, the target's folder and name, and what is there; checked in SabreDAV's order."""
        source = self.check_preconditions(environ)
        path = destination(environ, self.provider)
        names, source_names = split(path), split(environ["PATH_INFO"])
        parent, name = self.parent_of(path) if names else (None, "")
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
