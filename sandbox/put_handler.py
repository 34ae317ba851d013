"""PUT: the body is received into a temporary file, which then replaces the file at once."""

from sandbox.names import check_name
from sandbox.paths import PathServer, written
from sandbox.receive import CutOffError, receive
from sandbox.sabre import conflict, forbidden, locked
from sandbox.tree import Entry
from sandbox.writing import place, releasing
from sandbox.wsgi import Body, Environ, StartResponse


class PutServer(PathServer):
    """Answers PUT."""

    def do_PUT(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Write a file; a body that is cut off empties the file that it was to replace."""
        with self.account.tree.lock:
            parent, name = self._check_put(environ)
            self.account.being_written.add((parent, name))
        with releasing(self.account, parent, name):
            try:
                content, hashes = receive(environ, self.account.tree.spool)
            except CutOffError:
                with self.account.tree.lock:
                    self._abandon(parent, name)
                raise
            created, headers = place(self.account, parent, name, content, environ)
        return written(environ, start_response, hashes + headers, created=created)

    def _check_put(self, environ: Environ) -> tuple[Entry, str]:
        """The folder and name to write to; SabreError if the file may not be written."""
        path = environ["PATH_INFO"]
        entry = self.check_preconditions(environ)
        if entry and entry.is_folder:
            raise conflict("PUT is not allowed on non-files.")
        parent, name = self.parent_of(path)
        if parent is None or not parent.is_folder:
            raise self.missing(path.rstrip("/").rpartition("/")[0])
        if entry is None:
            check_name(name)
        if (parent, name) in self.account.being_written or (entry and entry.locked):
            raise locked(parent.below(name))
        self.account.check_space(parent.below(name), int(environ.get("CONTENT_LENGTH") or 0))
        if not (entry.allows("update") if entry else parent.allows("create")):
            raise forbidden()
        return parent, name

    def _abandon(self, parent: Entry, name: str) -> None:
        entry = parent.children.get(name)
        if entry is not None and self.account.tree.is_attached(entry):
            self.account.tree.truncate(entry)
