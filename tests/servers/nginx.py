"""Debian's nginx with its dav and dav-ext modules: a server that ignores If-Match on a MOVE."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.servers.program import HOST, FileServer, need, running
from tests.servers.users import write_users

_MODULE = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")
_CONFIG = """
load_module {module};
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  dav_ext_lock_zone zone=locks:1m;
  server {{
    listen {host}:{port};
    location / {{
      root {folder}/files;
      auth_basic images;
      auth_basic_user_file {folder}/users;
      dav_methods PUT DELETE MKCOL COPY MOVE;
      dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
      dav_ext_lock zone=locks;
    }}
  }}
}}
"""


class Nginx(FileServer):
    """A running server; `folder` is what `url` leads to."""

    password = "s3cret of nginx"


@contextlib.contextmanager
def nginx() -> Iterator[Nginx]:
    """Run nginx, in one process."""
    program = need("nginx")
    if not _MODULE.is_file():
        pytest.skip("nginx has no dav-ext")

    def prepare(folder: Path, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        (folder / "files").mkdir()
        write_users(folder / "users", Nginx.username, Nginx.password)
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(module=_MODULE, folder=folder, host=HOST, port=port))
        command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        return command, {"PATH": os.environ["PATH"]}

    with running(prepare) as (folder, port):
        yield Nginx(folder, port)
