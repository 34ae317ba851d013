"""WsgiDAV as its command starts it, which SeafDAV is built on: ETags without quotes, and names cut at `;` and `?`."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.servers.program import HOST, FileServer, running


class WsgiDav(FileServer):
    """A running server; `folder` is what `url` leads to."""

    password = "s3cret of wsgidav"


@contextlib.contextmanager
def wsgidav(*, basic: bool = True) -> Iterator[WsgiDav]:
    """Run WsgiDAV.

    Args:
        basic: whether it takes a password as it is, besides a digest.
    """

    def prepare(folder: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        (folder / "files").mkdir()
        config: dict[str, Any] = {
            "host": HOST,
            "port": port,
            "provider_mapping": {"/": str(folder / "files")},
            "simple_dc": {"user_mapping": {"*": {WsgiDav.username: {"password": WsgiDav.password}}}},
            "logging": {"enable": False},
        }
        if not basic:
            config["http_authenticator"] = {"accept_basic": False}
        file = folder / "wsgidav.json"
        file.write_text(json.dumps(config))
        command = [sys.executable, "-P", "-m", "wsgidav.server.server_cli", "--config", str(file), "--quiet"]
        return command, {"PATH": os.environ["PATH"], "HOME": str(folder)}

    with running(prepare) as (folder, port):
        yield WsgiDav(folder, port)
