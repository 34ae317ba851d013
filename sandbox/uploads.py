"""PUT: a body received beside the tree, then put in its place at once."""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from sandbox.names import check_name
from sandbox.paths import PathServer, timestamp
from sandbox.resources import oc_file_id
from sandbox.sabre import SabreError, bad_request, conflict, insufficient_storage, locked, not_found
from sandbox.tree import Entry, split
from sandbox.wsgi import Body, Environ, Headers, StartResponse

HASHES = ("sha256", "sha1", "md5")
BLOCK = 1 << 20


class UploadServer(PathServer):
    """Answers PUT."""

    def do_PUT(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
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
        if garbage is not None and timestamp(garbage) is None:
            message = f'X-OC-MTime header must be a valid integer (unix timestamp), got "{garbage}".'
            raise SabreError(HTTPStatus.INTERNAL_SERVER_ERROR, "InvalidArgumentException", message)
        return self.written(environ, start_response, headers, created=created)

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
        entry = self.check_preconditions(environ)
        if "HTTP_CONTENT_RANGE" in environ:
            raise bad_request("Content-Range on PUT requests are forbidden.")
        if entry and entry.is_folder:
            raise conflict("PUT is not allowed on non-files.")
        if environ.get("HTTP_X_NC_WEBDAV_AUTO_MKCOL") == "1":
            self._make_parents(path)
        parent, name = self.parent_of(path)
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
        entry = self.account.tree.store(parent, name, content, timestamp(environ.get("HTTP_X_OC_MTIME", "")))
        entry.checksum = environ.get("HTTP_OC_CHECKSUM", "")
        entry.creation_time = timestamp(environ.get("HTTP_X_OC_CTIME", "")) or entry.creation_time
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
