"""WebDAV requests of chunked uploads: MKCOL, PUT of chunks, and the MOVE of `.file` that assembles them.

The steps: https://docs.nextcloud.com/server/latest/developer_manual/client_apis/WebDAV/chunking.html, version 1.
"""

import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import override

from sandbox.dav import NextcloudServer
from sandbox.names import check_name
from sandbox.paths import check_if, destination, written
from sandbox.receive import receive
from sandbox.sabre import (
    SabreError,
    already_there,
    bad_request,
    conflict,
    forbidden,
    locked,
    no_such_file,
    precondition_failed,
)
from sandbox.tree import Entry, split
from sandbox.upload_resources import WHOLE, UploadsProvider
from sandbox.uploads import Chunk, Upload
from sandbox.writing import place, releasing
from sandbox.wsgi import HTML, Body, Environ, StartResponse, answer


class UploadServer(NextcloudServer):
    """Answers one request on the account's uploads."""

    provider: UploadsProvider

    @override
    def missing(self, path: str) -> SabreError:
        return no_such_file("/" + "/".join(split(path)[:1]))

    def do_MKCOL(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Begin an upload."""
        with self.account.tree.lock:
            match split(environ["PATH_INFO"]):
                case [name]:
                    if name in self.account.uploads:
                        raise already_there()
                    now, etag = int(self.account.tree.clock()), self.account.tree.unique()
                    self.account.uploads[name] = Upload(name, now, etag)
                case [name, below] if name in self.account.uploads:
                    raise forbidden(f"Permission denied to create file (filename {below})")
                case _:
                    raise conflict("Parent node does not exist")
        return answer(environ, start_response, HTTPStatus.CREATED, [HTML])

    def do_PUT(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Receive a chunk: 507 at once if Destination and OC-Total-Length say that the file will not fit."""
        with self.account.tree.lock:
            upload, name = self._chunk(environ)
            if name not in upload.chunks:
                self._check_space_at_destination(environ)
        content, headers = receive(environ, self.account.tree.spool)
        with self.account.tree.lock:
            # It may have been deleted in the meantime.
            if self.account.uploads.get(upload.name) is not upload:
                content.unlink()
                raise self.missing(environ["PATH_INFO"])
            replaced = upload.chunks.get(name)
            chunk = Chunk(content, content.stat().st_size, int(self.account.tree.clock()))
            upload.chunks[name] = chunk
            upload.mtime, upload.etag = chunk.mtime, self.account.tree.unique()
        if replaced:
            replaced.content.unlink()
            headers += [("ETag", f'"{chunk.etag}"'), ("OC-ETag", f'"{chunk.etag}"')]
        return written(environ, start_response, headers, created=replaced is None)

    def do_DELETE(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Delete an upload."""
        with self.account.tree.lock:
            match split(environ["PATH_INFO"]):
                case [name] if name in self.account.uploads:
                    self.account.uploads.pop(name).remove()
                case _:
                    raise self.missing(environ["PATH_INFO"])
        return answer(environ, start_response, HTTPStatus.NO_CONTENT, [])

    def do_MOVE(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Assemble the chunks into a file, new or existing."""
        with self.account.tree.lock:
            self._check_if_headers(environ)
            parent, name = self._target(environ)
            upload = self._whole(environ)
            self._check_assembly(environ, upload, parent, name)
            with tempfile.NamedTemporaryFile(dir=self.account.tree.spool, delete=False) as file:
                content = Path(file.name)
            upload.assemble(content)
            self.account.being_written.add((parent, name))
        with releasing(self.account, parent, name):
            created, headers = place(self.account, parent, name, content, environ, self.account.before_marker)
        self._finish(upload)
        return written(environ, start_response, headers, created=created)

    def _check_if_headers(self, environ: Environ) -> None:
        """Check If-Match against the upload, which is what is moved, and If against the files that it names."""
        if_match = environ.get("HTTP_IF_MATCH", "")
        upload = self.account.uploads.get(split(environ["PATH_INFO"])[0])
        if if_match and (upload is None or if_match != f'"{upload.etag}"'):
            message = "An If-Match header was specified, but none of the specified ETags matched."
            raise precondition_failed(message, "If-Match", upload.etag if upload else "")
        check_if(environ, self.provider.files, f"uploads/{self.account.user_id}{environ['PATH_INFO']}")

    def _target(self, environ: Environ) -> tuple[Entry, str]:
        """The folder and name of the file to write."""
        path = destination(environ, self.provider.files)
        *folders, name = split(path) or [""]
        parent = self.account.tree.find("/".join(folders))
        if parent is None:
            raise conflict("The destination node is not found")
        if not parent.is_folder or not name:
            raise conflict("The destination node is not a collection")
        existing = self.account.tree.find(path)
        if existing and environ.get("HTTP_OVERWRITE", "T").upper() == "F":
            message = "The destination node already exists, and the overwrite header is set to false"
            raise precondition_failed(message, "Overwrite")
        if existing and existing.is_folder:
            where = self.provider.files.relative(existing.path)
            raise bad_request(f"The given destination {where} is a directory.")
        return parent, name

    def _whole(self, environ: Environ) -> Upload:
        match split(environ["PATH_INFO"]):
            case [name, file] if file == WHOLE and name in self.account.uploads:
                return self.account.uploads[name]
        raise self.missing(environ["PATH_INFO"])

    def _check_assembly(self, environ: Environ, upload: Upload, parent: Entry, name: str) -> None:
        existing = self.account.tree.find(parent.below(name))
        self.account.check_space(existing.path if existing else parent.path, upload.size)
        expected = environ.get("HTTP_OC_TOTAL_LENGTH")
        if expected is not None and expected != str(upload.size):
            raise bad_request(f"Chunks on server do not sum up to {expected} but to {upload.size} bytes")
        # SabreDAV calls createFile even if the file exists, so the folder must allow it too.
        if not parent.allows("create") or (existing and not existing.allows("update")):
            self.account.uploads.pop(upload.name).remove()
            raise forbidden()
        check_name(name)
        if (parent, name) in self.account.being_written or (existing and existing.locked):
            raise locked(parent.below(name))

    def _finish(self, upload: Upload) -> None:
        """Delete the upload. 403 if that was done in the meantime, although the file has its new content."""
        with self.account.tree.lock:
            if self.account.uploads.get(upload.name) is not upload:
                raise forbidden()
            self.account.uploads.pop(upload.name).remove()

    def _chunk(self, environ: Environ) -> tuple[Upload, str]:
        match split(environ["PATH_INFO"]):
            case [name, chunk] if name in self.account.uploads and chunk != WHOLE:
                return self.account.uploads[name], chunk
        raise self.missing(environ["PATH_INFO"])

    def _check_space_at_destination(self, environ: Environ) -> None:
        total = environ.get("HTTP_OC_TOTAL_LENGTH", "")
        if "HTTP_DESTINATION" not in environ or not total.isdigit():
            return
        path = destination(environ, self.provider.files)
        folder = path.rpartition("/")[0]
        where = self.account.tree.find(path) or self.account.tree.find(folder)
        if where is None:
            raise no_such_file("/" + "/".join(split(folder)))
        self.account.check_space(where.path, int(total))
