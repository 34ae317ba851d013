"""Reading what a Nextcloud answers about files and tags."""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from mover.selection import File, Path, Tag
from shared.errors import NotWebDav
from shared.webdav.multistatus import path_of, resources

_D, _OC, _NC = "{DAV:}", "{http://owncloud.org/ns}", "{http://nextcloud.org/ns}"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and its direct children.

    Attributes:
        tags_told: whether the listing has the tags of each file; older servers leave them out.
    """

    itself: File
    files: tuple[File, ...]
    tags_told: bool


def folder(body: bytes, top: Path, asked: Path) -> Folder:
    """Read the listing of a folder, or of a file, which has no children.

    Args:
        body: a multistatus.
        top: what stands in each address before the account's own files.
        asked: the folder, from there on.

    Raises:
        NotWebDav: not a multistatus, or about something else.
    """
    itself: File | None = None
    files: list[File] = []
    tags_told = False
    for file, properties in _files(body, top):
        if file.path == asked:
            itself, tags_told = file, properties.find(f"{_NC}system-tags") is not None
        elif file.path[:-1] == asked:
            files.append(file)
    # The first servers that told them told no ids.
    tags_told = tags_told and all(tag.id for file in files for tag in file.tags)
    if itself is None:
        raise NotWebDav(
            f"The listing of {'/'.join(asked)} does not speak of it", "Is webdav/url the address of a Nextcloud?"
        )
    return Folder(itself, tuple(files), tags_told)


def files(body: bytes, top: Path) -> list[File]:
    """Read files from anywhere in the account.

    Raises:
        NotWebDav: not a multistatus.
    """
    return [file for file, _ in _files(body, top)]


def tags(body: bytes) -> list[Tag]:
    """Read the list of all tags that the account can see.

    Raises:
        NotWebDav: not a multistatus.
    """
    found = []
    for _, properties in resources(body):
        tag_id = properties.findtext(f"{_OC}id", "")
        if _is_id(tag_id):
            may = properties.findtext(f"{_OC}can-assign", "true")
            found.append(Tag(properties.findtext(f"{_OC}display-name", ""), tag_id, may != "false"))
    return found


def permissions(body: bytes) -> str:
    """The letters that tell what the account may do with the first resource.

    Raises:
        NotWebDav: not a multistatus.
    """
    return next((properties.findtext(f"{_OC}permissions", "") for _, properties in resources(body)), "")


def _files(body: bytes, top: Path) -> Iterator[tuple[File, etree._Element]]:
    for href, properties in resources(body):
        parts = path_of(href)
        file_id = properties.findtext(f"{_OC}fileid", "")
        if parts is None or tuple(parts[: len(top)]) != top or not _is_id(file_id):
            continue
        yield (
            File(
                id=file_id,
                path=tuple(parts[len(top) :]),
                href=href,
                etag=properties.findtext(f"{_D}getetag") or None,
                is_folder=properties.find(f"{_D}resourcetype/{_D}collection") is not None,
                type=properties.findtext(f"{_D}getcontenttype", ""),
                tags=tuple(_tag(element) for element in properties.iterfind(f"{_NC}system-tags/{_NC}system-tag")),
            ),
            properties,
        )


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _tag(element: etree._Element) -> Tag:
    tag_id = element.get(f"{_OC}id", "")
    may = element.get(f"{_OC}can-assign", "true") != "false"
    return Tag(element.text or "", tag_id if _is_id(tag_id) else "", may)
