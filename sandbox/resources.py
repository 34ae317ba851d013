"""WsgiDAV's resources over the account's files, and the properties that PROPFIND gets from them."""

import mimetypes
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import BinaryIO, NoReturn, override
from urllib.parse import quote, unquote_to_bytes, urlsplit

from lxml import etree
from wsgidav.dav_error import HTTP_FORBIDDEN, HTTP_NOT_FOUND, DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider

from sandbox.sabre import DAV_HEADERS, OLDER_DAV_HEADERS, clark, encode_path, forbidden, insufficient_storage
from sandbox.tags import Tags
from sandbox.tree import Entry, Tree
from sandbox.uploads import Upload
from sandbox.wsgi import Environ, Headers

INSTANCE_ID = "ocsandbox001"
UNLIMITED = "-3"

type Value = "str | etree._Element | None"

mimetypes.add_type("image/avif", ".avif")
mimetypes.add_type("image/webp", ".webp")
mimetypes.add_type("image/jp2", ".jp2")


def content_type(name: str) -> str:
    """The media type that Nextcloud derives from a name."""
    return mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"


def oc_file_id(file_id: int) -> str:
    """An id as headers and oc:id have it: eight digits and the instance's name."""
    return f"{file_id:08d}{INSTANCE_ID}"


class Account:
    """One account: its name, its files and uploads, the server's tags, and what it may store (bytes, None: any).

    before_marker: called between the content and the checksum of an assembled upload; what it raises is a 500.
    """

    def __init__(self, user_id: str, tree: Tree, tags: Tags, quota: int | None, base_path: str) -> None:
        self.user_id = user_id
        self.tree = tree
        self.tags = tags
        self.quota = quota
        self.base_path = base_path
        self.being_written: set[tuple[Entry, str]] = set()
        self.uploads: dict[str, Upload] = {}
        self.before_marker: Callable[[], None] | None = None

    def free(self) -> int | None:
        """Bytes left of the quota, None without one."""
        return None if self.quota is None else max(0, self.quota - self.tree.root.total_size())

    def check_space(self, path: str, size: int) -> None:
        """Raise 507 where so many bytes do not fit."""
        free = self.free()
        if free is not None and size > free:
            raise insufficient_storage(f"Insufficient space in {path}, {size} required, {free} available")


class Readable:
    """The properties of a resource, from a table of functions; unknown ones are 404."""

    table: dict[str, Callable[..., Value]]
    allprop: Sequence[str]

    def get_property_names(self, *, is_allprop: bool) -> list[str]:
        """The names of the properties that allprop gives, in Clark notation."""
        del is_allprop
        return [name for name in map(clark, self.allprop) if self.table[name](self) is not None]

    def get_property_value(self, name: str) -> "str | etree._Element":
        """The value of a property; DAVError 404 without it."""
        value = self.table[name](self) if name in self.table else None
        if value is None:
            raise DAVError(HTTP_NOT_FOUND)
        return value


def _not_allowed() -> NoReturn:
    raise DAVError(HTTP_FORBIDDEN)


class Folder(Readable, DAVCollection):  # type: ignore[misc]  # WsgiDAV has no types
    """A collection that WsgiDAV only reads; the request handlers do the writing."""

    @override
    def get_member_names(self) -> list[str]:
        _not_allowed()

    @override
    def get_member(self, name: str) -> None:
        del name
        _not_allowed()

    @override
    def get_member_list(self) -> Sequence[Readable]:
        raise NotImplementedError


class Leaf(Folder):
    """What has no members. To WsgiDAV it is a collection: only collections are spared its way of sending a file."""

    def __init__(self, environ: Environ, href: str) -> None:
        super().__init__("/", environ)
        self._href = href

    @override
    def get_href(self) -> str:
        return self._href

    @override
    def get_member_list(self) -> Sequence[Readable]:
        return []


class _FileProperties(Readable):
    """The properties of files and folders."""

    entry: Entry
    account: Account
    with_tags: bool

    def support_etag(self) -> bool:
        return not self.entry.is_folder

    def _content_length(self) -> Value:
        return None if self.entry.is_folder else str(self.entry.size)

    def _content_type(self) -> Value:
        return None if self.entry.is_folder else content_type(self.entry.name)

    def _resource_type(self) -> Value:
        element = etree.Element(clark("d:resourcetype"))
        if self.entry.is_folder:
            etree.SubElement(element, clark("d:collection"))
        return element

    def _size(self) -> Value:
        return str(self.entry.total_size())

    def _permissions(self) -> Value:
        """As Nextcloud's DavUtil::getDavPermissions writes them; the top of a share may always be moved away."""
        entry = self.entry
        is_share, updates = entry.rights is not None, entry.allows("update")
        letters = {
            "S": any(each.rights is not None for each in entry.lineage()),
            "R": entry.allows("share"),
            "G": True,
            "D": entry.allows_removal(),
            "NV": updates or is_share,
            "W": updates and not entry.is_folder,
            "CK": entry.is_folder and entry.allows("create"),
        }
        return "".join(letter for letter, has in letters.items() if has)

    def _download_url(self) -> Value:
        return None if self.entry.is_folder else ""

    def _checksums(self) -> Value:
        if not self.entry.checksum:
            return None
        element = etree.Element(clark("oc:checksums"))
        for checksum in self.entry.checksum.split():
            etree.SubElement(element, clark("oc:checksum")).text = checksum
        return element

    def _system_tags(self) -> Value:
        if not self.with_tags:
            return None
        element = etree.Element(clark("nc:system-tags"))
        for tag in self.account.tags.on(self.entry.file_id):
            assignable = "true" if tag.user_assignable else "false"
            child = etree.SubElement(element, clark("nc:system-tag"))
            child.set(clark("oc:can-assign"), assignable)
            child.set(clark("oc:id"), str(tag.tag_id))
            child.set(clark("oc:user-assignable"), assignable)
            child.set(clark("oc:user-visible"), "true")
            child.set(clark("nc:color"), "")
            child.text = tag.name
        return element

    def _upload_time(self) -> Value:
        return None if self.entry.is_folder else str(self.entry.upload_time)

    def _used(self) -> Value:
        return str(self.entry.total_size()) if self.entry.is_folder else None

    def _available(self) -> Value:
        if not self.entry.is_folder:
            return None
        free = self.account.free()
        return UNLIMITED if free is None else str(free)

    table = {  # noqa: RUF012 -- shared by all, changed by none
        clark("d:displayname"): lambda self: self.entry.name,
        clark("d:resourcetype"): _resource_type,
        clark("d:getlastmodified"): lambda self: formatdate(self.entry.mtime, usegmt=True),
        clark("d:creationdate"): lambda _: "1970-01-01T00:00:00+00:00",
        clark("d:getcontentlength"): _content_length,
        clark("d:getcontenttype"): _content_type,
        clark("d:getetag"): lambda self: f'"{self.entry.etag}"',
        clark("d:quota-used-bytes"): _used,
        clark("d:quota-available-bytes"): _available,
        clark("oc:fileid"): lambda self: str(self.entry.file_id),
        clark("oc:id"): lambda self: oc_file_id(self.entry.file_id),
        clark("oc:size"): _size,
        clark("oc:permissions"): _permissions,
        clark("oc:downloadURL"): _download_url,
        clark("oc:checksums"): _checksums,
        clark("oc:share-types"): lambda _: etree.Element(clark("oc:share-types")),
        clark("oc:comments-count"): lambda self: str(len(self.entry.comments)),
        clark("oc:favorite"): lambda self: str(int(self.entry.favorite)),
        clark("nc:system-tags"): _system_tags,
        clark("nc:upload_time"): _upload_time,
        clark("nc:creation_time"): lambda _: "0",
    }
    allprop = (
        "d:getlastmodified",
        "d:getcontentlength",
        "d:resourcetype",
        "d:quota-used-bytes",
        "d:quota-available-bytes",
        "d:getetag",
        "d:getcontenttype",
    )


class FileResource(_FileProperties, DAVNonCollection):  # type: ignore[misc]  # WsgiDAV has no types
    """A file. For a GET, `content` is its open bytes, which belong to the entry as it was when they were opened."""

    def __init__(self, path: str, environ: Environ, provider: "FilesProvider", entry: Entry) -> None:
        super().__init__(path, environ)
        self.provider = provider
        self.account = provider.account
        self.with_tags = provider.with_tags
        self.entry = entry
        self.content: BinaryIO | None = None

    def opened(self, content: BinaryIO) -> "FileResource":
        """This resource with an open file to send."""
        self.content = content
        return self

    @override
    def get_href(self) -> str:
        return encode_path(self.provider.top + self.entry.path)

    @override
    def get_content_length(self) -> int:
        return self.entry.size

    @override
    def get_content_type(self) -> str:
        kind = content_type(self.entry.name)
        return f"{kind};charset=UTF-8" if kind.startswith("text/") else kind

    @override
    def get_etag(self) -> str:
        return self.entry.etag

    @override
    def support_ranges(self) -> bool:
        return False

    @override
    def get_last_modified(self) -> int:
        return self.entry.mtime

    @override
    def get_content(self) -> BinaryIO | None:
        return self.content

    @override
    def finalize_headers(self, environ: Environ, response_headers: Headers) -> None:
        del environ
        response_headers[:] = [header for header in response_headers if header[0] not in ("Accept-Ranges", "Date")]
        name = quote(self.entry.name, safe="")
        response_headers += [
            ("OC-ETag", f'"{self.entry.etag}"'),
            ("Content-Disposition", f"attachment; filename*=UTF-8''{name}; filename=\"{name}\""),
            ("X-Accel-Buffering", "no"),
        ]
        if self.entry.checksum:
            response_headers.append(("OC-Checksum", self.entry.checksum))


class FolderResource(_FileProperties, Folder):
    """A folder of the account."""

    def __init__(self, path: str, environ: Environ, provider: "FilesProvider", entry: Entry) -> None:
        super().__init__(path, environ)
        self.provider = provider
        self.account = provider.account
        self.with_tags = provider.with_tags
        self.entry = entry

    @override
    def get_href(self) -> str:
        return encode_path(self.provider.top + self.entry.path.rstrip("/") + "/")

    @override
    def get_member_list(self) -> Sequence[Readable]:
        members = self.entry.children
        return [self.provider.resource(members[name], self.environ) for name in sorted(members)]


class FilesProvider(DAVProvider):  # type: ignore[misc]  # WsgiDAV has no types
    """The account's files below one of two addresses; only the newer one shows tags."""

    def __init__(self, account: Account, *, older: bool) -> None:
        super().__init__()
        self.account = account
        self._base = account.base_path + ("/remote.php/webdav" if older else "/remote.php/dav")
        self._below_base = "" if older else f"files/{account.user_id}"
        self.top = f"{self._base}/{self._below_base}".rstrip("/")
        self.with_tags = not older
        self.dav_headers = OLDER_DAV_HEADERS if older else DAV_HEADERS

    def relative(self, path: str) -> str:
        """A path in the account ("/a.txt") relative to the base of the address ("files/alice/a.txt")."""
        return (self._below_base + path).lstrip("/")

    def path_below_base(self, header: str) -> str:
        """The decoded path of the address in a header, relative to the base; 403 if it is not below it."""
        path = unquote_to_bytes(urlsplit(header.encode("latin-1").decode()).path).decode()
        if path != self._base and not path.startswith(f"{self._base}/"):
            raise forbidden(f"Requested uri ({path}) is out of base uri ({self._base}/)")
        return path.removeprefix(self._base).strip("/")

    @override
    def get_resource_inst(self, path: str, environ: Environ) -> "FileResource | FolderResource | None":
        if "sandbox.opened" in environ:
            opened: FileResource = environ["sandbox.opened"]
            return opened
        entry = self.account.tree.find(path)
        if entry is not None and entry.is_folder:
            # Its ETag depends on everything below it.
            self.account.tree.refresh(entry)
        return self.resource(entry, environ) if entry else None

    def resource(self, entry: Entry, environ: Environ) -> "FileResource | FolderResource":
        """The resource of an entry."""
        kind = FolderResource if entry.is_folder else FileResource
        return kind(entry.path, environ, self, entry)
