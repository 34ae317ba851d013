"""Whether a Nextcloud can replace a file in place, determined with a throwaway file."""

import contextlib
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from scaler import names
from scaler.in_place import PROPERTIES, InPlaceFolders
from scaler.moves import inside
from shared.errors import ErrorPolicy, Failure, Forbidden, NotFound, PreconditionFailed
from shared.scheduler import ends_poll
from shared.webdav.store import THROWAWAY, Assembly, Connections, Entry, Href, Listing, Store, strong

_WORD = "TRIED:in-place"
_LEFTOVER_AFTER = 60.0
_TRIES, _PAUSE = 3, 2.0


@dataclass(frozen=True, slots=True)
class Capability:
    """Whether files are replaced in place, and why not if they are not."""

    supported: bool
    reason: str = ""


def detect_in_place(
    store: Store, connections: Connections, folders: InPlaceFolders, pause: Callable[[float], object]
) -> Capability:
    """Test whether the server honours `If`, lists the checksum of an assembly, and keeps versions.

    Args:
        pause: waits this many seconds before the next attempt.

    Raises:
        Failure: the server cannot be reached at the moment.
    """

    def detect() -> Capability:
        capabilities = store.get_json(Href(_path(connections.root_url) + "ocs/v2.php/cloud/capabilities"))
        if not _has_versions(capabilities):
            return Capability(supported=False, reason="the server keeps no versions of files")
        return _try_on_throwaway(store, folders)

    def wait(seconds: float) -> None:
        pause(seconds)

    try:
        # A single wrong answer of a proxy must not decide how images are published from now on.
        capability: Capability = Retrying(
            sleep=wait,
            wait=wait_fixed(_PAUSE),
            retry=retry_if_exception(_inconclusive),
            stop=stop_after_attempt(_TRIES),
            reraise=True,
        )(detect)
    except Failure as error:
        if not _inconclusive(error):
            raise
        return Capability(supported=False, reason=f"trying it failed: {error.message}")
    return capability


def _inconclusive(error: BaseException) -> bool:
    """Whether a failure may mean that the server lacks the feature; a busy server is asked again in a later poll."""
    return isinstance(error, Failure) and not ends_poll(error) and error.policy is not ErrorPolicy.RETRY


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def _has_versions(capabilities: object) -> bool:
    try:
        return bool(capabilities["ocs"]["data"]["capabilities"]["files"]["versioning"])  # type: ignore[index]  # or LookupError, TypeError
    except (LookupError, TypeError):
        return False


def _try_on_throwaway(store: Store, folders: InPlaceFolders) -> Capability:
    href = inside(folders.raw, THROWAWAY + secrets.token_hex(8))
    upload = Href(inside(folders.uploads, names.new_id(names.new_owner())) + "/")
    assembled = False
    try:
        etag = store.put(href, b"").etag
        if etag is None or not strong(etag):
            return Capability(supported=False, reason="the server returns no strong ETag for an upload")
        # 405 means that it exists, as it does if the answer to a first attempt was lost.
        store.make_folder(upload)
        with contextlib.suppress(NotFound, PreconditionFailed):
            store.assemble(upload, _entry(href, '"no-such-version"'), _assembly())
            return Capability(supported=False, reason="the server ignores the condition `If`")
        store.assemble(upload, _entry(href, etag), _assembly())
        assembled = True
        there = store.stat(href, PROPERTIES)
        if there is None:
            raise NotFound("the throwaway file has disappeared")
        if _WORD not in there.checksums:
            return Capability(supported=False, reason="the server does not keep checksums")
        return Capability(supported=True)
    finally:
        with contextlib.suppress(Failure):
            store.delete(href, for_good=True)
        if not assembled:
            with contextlib.suppress(Failure):
                store.delete(upload)


def _entry(href: Href, etag: str) -> Entry:
    return Entry("", href, is_folder=False, size=0, etag=etag, modified=None)


def _assembly() -> Assembly:
    """An empty assembly: without a chunk, one request less."""
    return Assembly(0, 1_000_000_000, f"SHA256:{hashlib.sha256(b'').hexdigest()} {_WORD}")


def remove_leftovers(store: Store, listing: Listing) -> bool:
    """Remove the throwaway files left by killed processes; return whether recent ones remain."""
    left = False
    for entry in listing.entries:
        if not entry.name.startswith(THROWAWAY) or entry.size != 0 or not listing.now or not entry.uploaded:
            continue
        if listing.now - entry.uploaded <= _LEFTOVER_AFTER:
            left = True
            continue
        # If the account may create files but not delete them, it has to stay.
        with contextlib.suppress(Forbidden):
            store.delete(entry.href, for_good=True)
    return left
