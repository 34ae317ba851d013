"""WsgiDAV's resources over tags, and the properties that PROPFIND gets from them."""

from collections.abc import Iterable, Sequence
from typing import override
from urllib.parse import quote

from lxml import etree

from sandbox.resources import Folder, Leaf, Readable, Value
from sandbox.sabre import clark
from sandbox.tags import Tag
from sandbox.wsgi import Environ


class TagResource(Leaf):
    """One tag. files: the ids of what has it, where the list is one of tags in use; otherwise None."""

    def __init__(self, environ: Environ, href: str, tag: Tag, files: Iterable[int] | None = None) -> None:
        super().__init__(environ, href)
        self.tag = tag
        self.files = None if files is None else sorted(files)

    def _assignable(self) -> Value:
        return "true" if self.tag.user_assignable else "false"

    table = {  # noqa: RUF012 -- shared by all, changed by none
        clark("d:resourcetype"): lambda _: etree.Element(clark("d:resourcetype")),
        clark("d:getetag"): lambda self: f'"{self.tag.etag}"',
        clark("oc:id"): lambda self: str(self.tag.tag_id),
        clark("oc:display-name"): lambda self: self.tag.name,
        clark("oc:user-visible"): lambda _: "true",
        clark("oc:user-assignable"): _assignable,
        clark("oc:can-assign"): _assignable,
        clark("nc:files-assigned"): lambda self: "-1" if self.files is None else str(len(self.files)),
        clark("nc:reference-fileid"): lambda self: "-1" if self.files is None else str(self.files[-1]),
    }
    allprop: Sequence[str] = ("d:resourcetype", "d:getetag")


class ListResource(Folder):
    """A collection with members and no property but its type."""

    def __init__(self, environ: Environ, href: str, members: Sequence[Readable]) -> None:
        super().__init__("/", environ)
        self.href = href
        self.members = members

    @override
    def get_href(self) -> str:
        return self.href

    @override
    def get_member_list(self) -> Sequence[Readable]:
        return self.members

    def _resource_type(self) -> Value:
        element = etree.Element(clark("d:resourcetype"))
        etree.SubElement(element, clark("d:collection"))
        return element

    table = {clark("d:resourcetype"): _resource_type}  # noqa: RUF012 -- shared by all, changed by none
    allprop = ("d:resourcetype",)


class TopResource(ListResource):
    """The top of all, which says who asks (RFC 5397)."""

    def __init__(self, environ: Environ, href: str, user_id: str) -> None:
        super().__init__(environ, href, [])
        self.user_id = user_id

    def _principal(self) -> Value:
        element = etree.Element(clark("d:current-user-principal"))
        address = f"{self.href}principals/users/{quote(self.user_id, safe='')}/"
        etree.SubElement(element, clark("d:href")).text = address
        return element

    table = {**ListResource.table, clark("d:current-user-principal"): _principal}  # noqa: RUF012 -- shared by all, changed by none
