"""Debian's lighttpd with mod_webdav."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.servers.program import HOST, FileServer, need, running
from tests.servers.users import write_users

_MODULES = Path("/usr/lib/lighttpd")
_CONFIG = """
server.modules = ("mod_auth", "mod_authn_file", "mod_webdav")
server.document-root = "{folder}/files"
server.bind = "{host}"
server.port = {port}
server.errorlog = "{folder}/error.log"
server.upload-dirs = ("{folder}/uploads")
mimetype.assign = (".jpg" => "image/jpeg", ".png" => "image/png", "" => "application/octet-stream")
# What a test writes on disk is there at once.
server.stat-cache-engine = "disable"
webdav.activate = "enable"
auth.backend = "htpasswd"
auth.backend.htpasswd.userfile = "{folder}/users"
auth.require = ("/" => ("method" => "basic", "realm" => "images", "require" => "valid-user"))
"""


class Lighttpd(FileServer):
    """A running server; `folder` is what `url` leads to."""

    password = "s3cret of lighttpd"


@contextlib.contextmanager
def lighttpd() -> Iterator[Lighttpd]:
    """Run lighttpd."""
    program = need("lighttpd")
    if not (_MODULES / "mod_webdav.so").is_file():
        pytest.skip("lighttpd has no mod_webdav")

    def prepare(folder: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        for name in ("files", "uploads"):
            (folder / name).mkdir()
        write_users(folder / "users", Lighttpd.username, Lighttpd.password)
        config = folder / "lighttpd.conf"
        config.write_text(_CONFIG.format(folder=folder, host=HOST, port=port))
        return [program, "-D", "-f", str(config), "-m", str(_MODULES)], {"PATH": os.environ["PATH"]}

    with running(prepare) as (folder, port):
        yield Lighttpd(folder, port)
