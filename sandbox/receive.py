"""Receiving the body of a PUT."""

import hashlib
import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from sandbox.sabre import SabreError
from sandbox.wsgi import Environ, Headers

HASHES = ("sha256", "sha1", "md5")
BLOCK = 1 << 20


class CutOffError(SabreError):
    """The client disconnected in the middle of a body."""

    def __init__(self, expected: str | None, received: int) -> None:
        message = f"Expected filesize of {expected} bytes but read (from Nextcloud client) and wrote {received} bytes."
        super().__init__(HTTPStatus.BAD_REQUEST, "BadRequest", message)


def receive(environ: Environ, spool: Path) -> tuple[Path, Headers]:
    """The body in a temporary file in `spool`, and headers with the hashes that X-Hash asked for.

    Raises CutOffError and leaves no file if the body ends early.
    """
    asked = environ.get("HTTP_X_HASH", "")
    hashes = [hashlib.new(kind) for kind in HASHES if asked in (kind, "all")]
    with tempfile.NamedTemporaryFile(dir=spool, delete=False) as file:
        try:
            for block in _blocks(environ):
                file.write(block)
                for digest in hashes:
                    digest.update(block)
        except CutOffError:
            Path(file.name).unlink()
            raise
    return Path(file.name), [(f"X-Hash-{digest.name.upper()}", digest.hexdigest()) for digest in hashes]


def _blocks(environ: Environ) -> Iterator[bytes]:
    if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
        return
    received, expected = 0, environ.get("CONTENT_LENGTH")
    try:
        while block := environ["wsgi.input"].read(BLOCK):
            received += len(block)
            yield block
    except (OSError, ValueError) as error:
        raise CutOffError(expected, received) from error
    if expected and received != int(expected):
        raise CutOffError(expected, received)
