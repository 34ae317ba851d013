"""WsgiDAV's resources over an account's uploads, and the properties that PROPFIND gets from them."""

from collections.abc import Sequence
from email.utils import formatdate
from typing import Any, override

from lxml import etree
from wsgidav.dav_provider import DAVProvider

from sandbox.resources import Account, FilesProvider, Folder, Leaf, Readable, Value
from sandbox.sabre import DAV_HEADERS, clark
from sandbox.tree import split
from sandbox.uploads import Chunk, Upload
from sandbox.wsgi import Environ

WHOLE = ".file"


class UploadFolder(Folder):
    """The folder of one upload, or of all uploads."""

    def __init__(self, environ: Environ, href: str, mtime: int, members: Sequence[Readable]) -> None:
        super().__init__("/", environ)
        self._href = href
        self._mtime = mtime
        self._members = members

    @override
    def get_href(self) -> str:
        return self._href

    @override
    def get_member_list(self) -> Sequence[Readable]:
        return self._members

    def _resource_type(self) -> Value:
        element = etree.Element(clark("d:resourcetype"))
        etree.SubElement(element, clark("d:collection"))
        return element

    table = {  # noqa: RUF012 -- shared by all, changed by none
        clark("d:resourcetype"): _resource_type,
        clark("d:getlastmodified"): lambda self: formatdate(self._mtime, usegmt=True),
    }
    allprop = ("d:getlastmodified", "d:resourcetype")


class UploadedFile(Leaf):
    """A chunk, or `.file`, which means the assembled chunks."""

    def __init__(self, environ: Environ, href: str, file: Chunk | Upload) -> None:
        super().__init__(environ, href)
        self._file = file

    table = {  # noqa: RUF012 -- shared by all, changed by none
        clark("d:resourcetype"): lambda _: etree.Element(clark("d:resourcetype")),
        clark("d:getlastmodified"): lambda self: formatdate(self._file.mtime, usegmt=True),
        clark("d:getcontentlength"): lambda self: str(self._file.size),
        clark("d:getetag"): lambda self: f'"{self._file.etag}"',
        clark("d:getcontenttype"): lambda _: "application/octet-stream",
    }
    allprop = ("d:getlastmodified", "d:getcontentlength", "d:resourcetype", "d:getetag", "d:getcontenttype")


class UploadsProvider(DAVProvider):  # type: ignore[misc]  # WsgiDAV has no types
    """The account's upload folders."""

    dav_headers = DAV_HEADERS

    def __init__(self, account: Account, files: FilesProvider) -> None:
        super().__init__()
        self.account = account
        self.files = files
        self._top = f"{account.base_path}/remote.php/dav/uploads/{account.user_id}"

    @override
    def get_resource_inst(self, path: str, environ: Environ) -> Any:
        uploads = self.account.uploads
        match split(path):
            case []:
                now = int(self.account.tree.clock())
                members = [self._folder(environ, uploads[name]) for name in sorted(uploads)]
                return UploadFolder(environ, f"{self._top}/", now, members)
            case [name] if name in uploads:
                return self._folder(environ, uploads[name])
        return None

    def _folder(self, environ: Environ, upload: Upload) -> UploadFolder:
        href = f"{self._top}/{upload.name}/"
        files: list[tuple[str, Chunk | Upload]] = [(WHOLE, upload), *sorted(upload.chunks.items())]
        members = [UploadedFile(environ, href + name, file) for name, file in files]
        return UploadFolder(environ, href, upload.mtime, members)
