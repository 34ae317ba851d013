"""The servers as fixtures: started once for all tests, with an account of its own for each."""

from collections.abc import Callable, Iterator

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from tests.contract.memory import MemoryServer
from tests.servers.apache import Apache, apache
from tests.servers.lighttpd import Lighttpd, lighttpd
from tests.servers.nginx import Nginx, nginx
from tests.servers.rclone import Rclone, rclone
from tests.servers.site import DiskSite, Site, fresh_site
from tests.servers.wsgidav import WsgiDav, wsgidav

type MakeSite = Callable[..., DiskSite]


@pytest.fixture(scope="session")
def the_apache() -> Iterator[Apache]:
    """Apache without autoindex: a HEAD of a folder is 404."""
    with apache(autoindex=False) as server:
        yield server


@pytest.fixture(scope="session")
def the_apache_with_autoindex() -> Iterator[Apache]:
    """Apache with autoindex, which compresses what it sends."""
    with apache(autoindex=True) as server:
        yield server


@pytest.fixture(scope="session")
def the_rclone() -> Iterator[Rclone]:
    with rclone() as server:
        yield server


@pytest.fixture(scope="session")
def the_nginx() -> Iterator[Nginx]:
    with nginx() as server:
        yield server


@pytest.fixture(scope="session")
def the_lighttpd() -> Iterator[Lighttpd]:
    with lighttpd() as server:
        yield server


@pytest.fixture(scope="session")
def the_wsgidav() -> Iterator[WsgiDav]:
    with wsgidav() as server:
        yield server


@pytest.fixture(scope="session")
def the_nextcloud() -> Iterator[Nextcloud]:
    """The sandbox's, with the account's files as they are; `nextcloud_site` has a folder in it."""
    with Nextcloud() as server:
        yield server


@pytest.fixture(scope="session")
def the_nextcloud_without_versions() -> Iterator[Nextcloud]:
    """One on which images cannot be replaced in place, since their originals would be gone."""
    with Nextcloud() as server:
        server.versioning = False
        yield server


@pytest.fixture(scope="session")
def the_vault() -> Iterator[Vault]:
    """A real OpenBao; tests that seal it or turn it off start one of their own."""
    with Vault() as server:
        yield server


class FilesOf:
    """The account's files of a Nextcloud, as a server over a folder on disk."""

    def __init__(self, nextcloud: Nextcloud) -> None:
        self.url, self.folder = nextcloud.files_url, nextcloud.folder
        self.username, self.password = nextcloud.user, nextcloud.password


def site_on(request: pytest.FixtureRequest, kind: str, path: str = "") -> Site:
    """A fresh site of a kind in KINDS.

    Args:
        path: folders that its address leads through.
    """
    match kind:
        case "memory":
            return MemoryServer()
        case "memory, ignores If-Match":
            return MemoryServer(conditional=False, etag_tells=False)
        case "nextcloud":
            files = FilesOf(request.getfixturevalue("the_nextcloud"))
            return fresh_site(kind, files, path=path, hashes=True)
        case "nextcloud without versions":
            files = FilesOf(request.getfixturevalue("the_nextcloud_without_versions"))
            return fresh_site(kind, files, path=path, hashes=True)
        case "apache":
            return fresh_site(kind, request.getfixturevalue("the_apache"), path=path)
        case "apache with autoindex":
            return fresh_site(kind, request.getfixturevalue("the_apache_with_autoindex"), path=path)
        case "rclone":
            return fresh_site(kind, request.getfixturevalue("the_rclone"), path=path, conditional=False)
        case "nginx":
            quirks = ("no etags", "no dots", "makes folders")
            server = request.getfixturevalue("the_nginx")
            return fresh_site(kind, server, path=path, conditional=False, quirks=quirks)
        case "lighttpd":
            return fresh_site(kind, request.getfixturevalue("the_lighttpd"), path=path)
        case "wsgidav":
            return fresh_site(kind, request.getfixturevalue("the_wsgidav"), path=path, quirks=("cuts names",))
    raise ValueError(kind)


KINDS = [
    pytest.param("memory", id="memory"),
    pytest.param("memory, ignores If-Match", id="memory-unconditional"),
    pytest.param("nextcloud", id="nextcloud"),
    pytest.param("nextcloud without versions", id="nextcloud-without-versions"),
    pytest.param("apache", id="apache", marks=pytest.mark.server),
    pytest.param("apache with autoindex", id="apache-autoindex", marks=pytest.mark.server),
    pytest.param("rclone", id="rclone", marks=pytest.mark.server),
    pytest.param("lighttpd", id="lighttpd", marks=pytest.mark.server),
    pytest.param("wsgidav", id="wsgidav", marks=pytest.mark.server),
]
"""Every store that we claim to work with, except nginx."""

NGINX = pytest.param("nginx", id="nginx", marks=pytest.mark.server)
"""It lists no ETag, so an image has to be listed twice before it is taken."""

REAL_KINDS = [*KINDS[2:], NGINX]
"""Those that speak WebDAV."""


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest) -> Site:
    """An empty account on each kind of server in turn."""
    return site_on(request, request.param)


@pytest.fixture(params=[kind for kind in KINDS if kind.values != ("nextcloud",)])
def claim_site(request: pytest.FixtureRequest) -> Site:
    """An empty account on each kind of server where copies are published by claims."""
    return site_on(request, request.param)


@pytest.fixture
def nextcloud_site(request: pytest.FixtureRequest) -> Site:
    """An empty account on the sandbox's Nextcloud."""
    return site_on(request, "nextcloud")


@pytest.fixture
def apache_site(request: pytest.FixtureRequest) -> Site:
    """An empty account on Apache without autoindex; the test is to be marked `server`."""
    return site_on(request, "apache")


@pytest.fixture
def memory_site() -> MemoryServer:
    """An empty account in memory."""
    return MemoryServer()
