"""Writing a file: its content first, then its date, then its checksum. PUT and chunked upload end here."""

import contextlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

from sandbox.resources import Account, oc_file_id
from sandbox.sabre import SabreError, not_found
from sandbox.tree import Entry
from sandbox.wsgi import Environ, Headers

LONGEST_CHECKSUM = 255
# Nextcloud rejects dates of the first day, to be safe in any time zone.
EARLIEST_DATE = 86_400


@contextlib.contextmanager
def releasing(account: Account, parent: Entry, name: str) -> Iterator[None]:
    """Unlock a file at the end that the caller has locked by adding it to `being_written`."""
    try:
        yield
    finally:
        with account.tree.lock:
            account.being_written.discard((parent, name))


def place(
    account: Account,
    parent: Entry,
    name: str,
    content: Path,
    environ: Environ,
    before_marker: Callable[[], None] | None = None,
) -> tuple[bool, Headers]:
    """Make a received file the content of `name` in `parent`; whether the file is new, and headers for the answer.

    before_marker: called in between, when listings show the new size and ETag, but the old date and no checksum.
    As in Nextcloud's File::put, an invalid header is answered with 500 after the content was replaced.
    """
    tree = account.tree
    with tree.lock:
        if not tree.is_attached(parent):
            content.unlink()
            raise not_found(f"File with name {parent.path} could not be located")
        existing = tree.find(parent.below(name))
        old_date = existing.mtime if existing else None
        entry = tree.store(parent, name, content, dated="HTTP_X_OC_MTIME" in environ)
        if "HTTP_X_OC_MTIME" in environ:
            tree.set_mtime(entry, _date(environ["HTTP_X_OC_MTIME"]))
        new_date = entry.mtime
    if before_marker and old_date is not None:
        entry.mtime = old_date
        try:
            before_marker()
        finally:
            entry.mtime = new_date
    with tree.lock:
        entry.upload_time = int(tree.clock())
        entry.checksum = _checksum(environ)
        return existing is None, _headers(entry, environ)


def _date(header: str) -> int:
    """X-OC-MTime in seconds, validated as in Nextcloud's MtimeSanitizer."""
    try:
        date = int(float(header))
    except (ValueError, OverflowError) as error:
        raise _invalid_date("integer (unix timestamp)", header) from error
    if date <= EARLIEST_DATE:
        raise _invalid_date("positive unix timestamp greater than one day", header)
    return date


def _invalid_date(expected: str, header: str) -> SabreError:
    message = f'X-OC-MTime header must be a valid {expected}, got "{header}".'
    return SabreError(HTTPStatus.INTERNAL_SERVER_ERROR, "InvalidArgumentException", message)


def _checksum(environ: Environ) -> str:
    """OC-Checksum, which is stored and never verified; 500 if it does not fit into the database."""
    checksum: str = environ.get("HTTP_OC_CHECKSUM", "").strip()
    if len(checksum) > LONGEST_CHECKSUM:
        message = (
            "An exception occurred while executing a query: SQLSTATE[22001]: "
            "String data, right truncated: 1406 Data too long for column 'checksum' at row 1"
        )
        raise SabreError(HTTPStatus.INTERNAL_SERVER_ERROR, r"OC\DB\Exceptions\DbalException", message)
    return checksum


def _headers(entry: Entry, environ: Environ) -> Headers:
    accepted = [("X-OC-MTime", "accepted")] if "HTTP_X_OC_MTIME" in environ else []
    return [
        *accepted,
        ("OC-FileId", oc_file_id(entry.file_id)),
        ("ETag", f'"{entry.etag}"'),
        ("OC-ETag", f'"{entry.etag}"'),
    ]
