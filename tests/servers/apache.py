"""Debian's apache2 with mod_dav, run by any user, root included."""

import contextlib
import os
import pwd
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest
import requests

from tests.servers.program import HOST, need, running
from tests.servers.record import Record
from tests.servers.users import write_users

USERNAME, PASSWORD = "alice", "s3cret of apache"
_MODULES = Path("/usr/lib/apache2/modules")
_SERVANT = "www-data"
# In these folders nothing may be moved or deleted, as in a share that may only be read and added to.
_KEEP = "no-delete"

_CONFIG = """
ServerRoot "{folder}"
ServerName {host}
Listen {host}:{port}
PidFile "{folder}/pid"
ErrorLog "{folder}/error.log"
LogLevel warn
User {servant}
Group {group}
{modules}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
Timeout 30
ThreadsPerChild 64
LogFormat "%{{remote}}p %>s %m %U" requests
CustomLog "{folder}/access.log" requests
DavLockDB "{folder}/locks/db"
DocumentRoot "{folder}/dav"
Alias /dav "{folder}/dav"
<Directory "{folder}/dav">
    Dav On
    AuthType Basic
    AuthName images
    AuthUserFile "{folder}/users"
    Require valid-user
    {listing}
</Directory>
<LocationMatch "/{keep}/">
    <Limit MOVE DELETE>
        Require all denied
    </Limit>
</LocationMatch>
"""


class Apache:
    """A running server; `folder` is what `url` leads to."""

    username, password = USERNAME, PASSWORD

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder / "dav"
        self.root = f"http://{HOST}:{port}/"
        self.url = f"{self.root}dav/"
        self._log = folder / "access.log"
        self._start = 0

    def requests(self) -> list[Record]:
        """What was asked since the start or the last `clear_log`, in the order of the answers."""
        mark = f"mark-{time.monotonic_ns()}"
        requests.get(self.root + mark, timeout=10).close()
        deadline = time.monotonic() + 10
        # A line is written after its answer was sent.
        while mark not in (text := self._log.read_bytes()[self._start :].decode()):
            assert time.monotonic() < deadline, "the log of Apache does not grow"
            time.sleep(0.01)
        lines = [line.split(" ", 3) for line in text.splitlines()]
        return [
            Record(method, unquote(path), int(status), int(port))
            for port, status, method, path in lines
            if not path.startswith("/mark-")
        ]

    def clear_log(self) -> None:
        """Forget the requests up to now."""
        self.requests()
        self._start = self._log.stat().st_size


@contextlib.contextmanager
def apache(*, autoindex: bool, compressed: bool = True) -> Iterator[Apache]:
    """Run Apache.

    Args:
        autoindex: whether GET of a folder gives a page; else a HEAD of it is 404.
        compressed: whether all that it then sends is compressed, images too.
    """
    program = need("apache2")
    if not (_MODULES / "mod_dav_fs.so").is_file():
        pytest.skip("apache2 has no mod_dav")

    def prepare(folder: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        _lay_out(folder)
        config = folder / "apache2.conf"
        config.write_text(_config(folder, port, autoindex=autoindex, compressed=compressed))
        # One process, which can be ended by a single signal.
        return [program, "-X", "-f", str(config)], {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    with running(prepare) as (folder, port):
        yield Apache(folder, port)


def _lay_out(folder: Path) -> None:
    folder.chmod(0o755)
    write_users(folder / "users", USERNAME, PASSWORD)
    for name in ("dav", "locks"):
        (folder / name).mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder / name, _SERVANT)


def _config(folder: Path, port: int, *, autoindex: bool, compressed: bool) -> str:
    names = ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "alias", "dav"]
    names += ["dav_fs", "filter"] + (["autoindex", "deflate"] if autoindex else [])
    user = pwd.getpwuid(os.geteuid())
    return _CONFIG.format(
        folder=folder,
        host=HOST,
        port=port,
        keep=_KEEP,
        servant=_SERVANT if user.pw_uid == 0 else user.pw_name,
        group=f"#{pwd.getpwnam(_SERVANT).pw_gid if user.pw_uid == 0 else os.getegid()}",
        modules="\n".join(f'LoadModule {name}_module "{_MODULES}/mod_{name}.so"' for name in names),
        listing="Options +Indexes" + ("\n    SetOutputFilter DEFLATE" if compressed else "") if autoindex else "",
    )
