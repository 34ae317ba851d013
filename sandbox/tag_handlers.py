"""WebDAV requests on the root and on tags: on everything that is neither files nor uploads nor versions."""

import json
from http import HTTPStatus
from typing import Any, override

from wsgidav.dav_provider import DAVProvider

from sandbox.dav import NextcloudServer
from sandbox.resources import Account, FilesProvider, content_type
from sandbox.sabre import (
    DAV_HEADERS,
    SabreError,
    bad_request,
    conflict,
    forbidden,
    not_found,
    precondition_failed,
)
from sandbox.tag_resources import ListResource, TagResource, TopResource
from sandbox.tags import Tag
from sandbox.tree import split
from sandbox.wsgi import HTML, Body, Environ, StartResponse, answer, read_body

TOP = "/remote.php/dav"
UNAVAILABLE = "Entity does not exist or is not available"


class RootProvider(DAVProvider):  # type: ignore[misc]  # WsgiDAV has no types
    """The resources directly below /remote.php/dav."""

    dav_headers = DAV_HEADERS

    def __init__(self, account: Account, files: FilesProvider) -> None:
        super().__init__()
        self.account = account
        self.files = files
        self.top = account.base_path + TOP

    @override
    def get_resource_inst(self, path: str, environ: Environ) -> Any:
        match split(path):
            case []:
                return TopResource(environ, f"{self.top}/", self.account.user_id)
            case ["files", user]:
                return ListResource(environ, f"{self.top}/files/{user}/", [])
            case ["systemtags"]:
                return self._all_tags(environ)
            case ["systemtags", tag_id]:
                return self._tag(environ, tag_id)
            case ["systemtags-relations", "files", file_id]:
                return self._tags_of(environ, file_id)
            case ["systemtags-assigned", media]:
                return self._tags_on(environ, media)
        return None

    def tag(self, tag_id: str) -> Tag | None:
        """The tag with an id as it appears in a path; None if the user cannot see one."""
        return self.account.tags.visible(int(tag_id)) if tag_id.isdigit() else None

    def has_file(self, file_id: str) -> bool:
        """Whether there is a file or folder of this id."""
        return file_id.isdigit() and self.account.tree.by_id(int(file_id)) is not None

    def _all_tags(self, environ: Environ) -> ListResource:
        tags = self.account.tags.all_visible()
        members = [TagResource(environ, f"{self.top}/systemtags/{tag.tag_id}/", tag) for tag in tags]
        return ListResource(environ, f"{self.top}/systemtags/", members)

    def _tag(self, environ: Environ, tag_id: str) -> TagResource | None:
        tag = self.tag(tag_id)
        return TagResource(environ, f"{self.top}/systemtags/{tag_id}/", tag) if tag else None

    def _tags_of(self, environ: Environ, file_id: str) -> ListResource | None:
        if not self.has_file(file_id):
            return None
        top = f"{self.top}/systemtags-relations/files/{file_id}/"
        tags = self.account.tags.on(int(file_id))
        return ListResource(environ, top, [TagResource(environ, f"{top}{tag.tag_id}", tag) for tag in tags])

    def _tags_on(self, environ: Environ, media: str) -> ListResource:
        top = f"{self.top}/systemtags-assigned/{media}/"
        used = [(tag, self._existing(tag, media)) for tag in self.account.tags.all_visible()]
        members = [TagResource(environ, f"{top}{tag.tag_id}/", tag, files) for tag, files in used if files]
        return ListResource(environ, top, members)

    def _existing(self, tag: Tag, media: str = "") -> list[int]:
        """The ids of the files and folders with a tag; with `media` ("image") only of files of that type."""
        entries = filter(None, map(self.account.tree.by_id, sorted(self.account.tags.files_with(tag.tag_id))))
        if not media:
            return [entry.file_id for entry in entries]
        of_type = (entry for entry in entries if not entry.is_folder)
        return [entry.file_id for entry in of_type if content_type(entry.name).startswith(f"{media}/")]


class RootServer(NextcloudServer):
    """Answers one request on the root or on tags."""

    provider: RootProvider

    def do_MKCOL(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """No folder can be made here, such as in another account's uploads."""
        del environ, start_response
        raise conflict("Parent node does not exist")

    def do_POST(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Create a tag; if sent to a file's relations, also assign it."""
        body = read_body(environ)
        with self.account.tree.lock:
            match split(environ["PATH_INFO"]):
                case ["systemtags"]:
                    tag = self._create_tag(body)
                case ["systemtags-relations", "files", file_id] if self.provider.has_file(file_id):
                    tag = self._create_tag(body)
                    self.account.tags.assign(int(file_id), tag)
                case _:
                    raise not_found(UNAVAILABLE)
        headers = [("Content-Location", f"{self.provider.top}/systemtags/{tag.tag_id}"), HTML]
        return answer(environ, start_response, HTTPStatus.CREATED, headers)

    def do_PUT(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Assign a tag to a file or folder."""
        file_id, tag_id = self._relation(environ)
        if not tag_id.isdigit():
            raise bad_request("Invalid tag id")
        with self.account.tree.lock:
            tag = self.provider.tag(tag_id)
            if tag is None:
                raise precondition_failed(f"Tag with id {tag_id} does not exist, cannot assign")
            if tag in self.account.tags.on(file_id):
                raise conflict("PUT is not allowed on non-files.")
            if not tag.user_assignable:
                raise forbidden(f"No permission to assign tag {tag_id}")
            self.account.tags.assign(file_id, tag)
        return answer(environ, start_response, HTTPStatus.CREATED, [HTML])

    def do_DELETE(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """Unassign a tag from a file or folder; users cannot delete tags."""
        if environ["PATH_INFO"].startswith("/systemtags/"):
            raise forbidden(f"No permission to delete tag {split(environ['PATH_INFO'])[-1]}")
        file_id, tag_id = self._relation(environ)
        with self.account.tree.lock:
            if not self.account.tags.exists(tag_id):
                raise not_found(f"Tag with id {tag_id} not found")
            tag = self.provider.tag(tag_id)
            if tag is None or tag not in self.account.tags.on(file_id):
                raise not_found(f"Tag with id {tag_id} not present for object {file_id}")
            if not tag.user_assignable:
                raise forbidden(f"No permission to unassign tag {tag_id}")
            self.account.tags.unassign(file_id, tag)
        return answer(environ, start_response, HTTPStatus.NO_CONTENT, [])

    @override
    def missing(self, path: str) -> SabreError:
        match split(path):
            case ["files", user, *below]:
                return not_found(f"File not found: {'/'.join(below)} in '{user}'")
            case ["systemtags", tag_id]:
                return not_found(f"Tag with id {tag_id} not found")
        return not_found(UNAVAILABLE)

    def _relation(self, environ: Environ) -> tuple[int, str]:
        """The ids of the file and the tag in the path; 404 if there is no such file."""
        match split(environ["PATH_INFO"]):
            case ["systemtags-relations", "files", file_id, tag_id]:
                with self.account.tree.lock:
                    if self.provider.has_file(file_id):
                        return int(file_id), tag_id
        raise not_found(UNAVAILABLE)

    def _create_tag(self, body: bytes) -> Tag:
        wanted = json.loads(body or b"{}")
        if "name" not in wanted:
            raise bad_request('Missing "name" attribute')
        if not wanted.get("userVisible", True) or not wanted.get("userAssignable", True):
            raise bad_request("Not sufficient permissions")
        tag = self.account.tags.create(wanted["name"], user_visible=True, user_assignable=True)
        if tag is None:
            raise conflict("Tag already exists")
        return tag
