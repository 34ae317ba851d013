"""`--check` of the scaler."""

import contextlib
import secrets
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scaler import names
from scaler.claim_moves import ClaimMoves, Folders
from scaler.config import ScalerConfig, read_config
from scaler.detection import detect_in_place
from scaler.in_place import PROPERTIES, InPlaceFolders
from scaler.memory_budget import Limits
from scaler.move_traits import honours_if_match, keeps_names
from scaler.moves import NameLock, inside
from scaler.notices import skipped_in
from scaler.recovery import Recovery, missing_folder
from scaler.rights import allowed, forbidden_folder
from scaler.selection import image_names, select, unreadable_format
from scaler.session import place_of
from scaler.skip_list import SkipList, summary
from scaler.upscaling import load_opencv
from shared.checks import Checks, Skip
from shared.config.source import SecretStore
from shared.errors import Failure, NotAccepted, NotFound, NotWebDav, PreconditionFailed
from shared.retry import RetryPolicy
from shared.webdav.account import open_as_nextcloud
from shared.webdav.store import THROWAWAY, Connections, Entry, Href, Listing, Store, strong

if TYPE_CHECKING:
    from scaler.dask_cluster import Cluster

_CONTENT = b"written by --check"


def check(vault: SecretStore, bounds: Limits, retry: RetryPolicy, state: Path, cluster: "Cluster | None" = None) -> int:
    """Check everything that a poll needs; return the exit status, 1 if something failed.

    Small test files go through every step of an image's path and are removed again, because rights, and how a server
    handles conditions and names, can only be determined by trying. If images are not replaced in place, the two
    hidden folders are created for that.

    Args:
        state: folder for state that survives a restart.
        cluster: for --dask.
    """
    checks = Checks()
    with contextlib.suppress(Skip):
        _check_machine(checks, bounds)
    if cluster:
        with contextlib.suppress(Skip), checks.trying("Dask cluster") as found:
            found.extend(cluster.check())
    with contextlib.suppress(Skip):
        with checks.trying("Vault and settings") as found:
            config = read_config(vault)
            found += [vault.where, vault.path("scaler_constants")]
        with checks.trying("Server, user name and password") as found:
            connections, base = _opened(config, retry)
            found.append(base)
        with contextlib.closing(connections), connections.connect() as store:
            listing = _check_raw(checks, store, config, state)
            if not (
                connections.user_id
                and _check_in_place(checks, store, connections, config, listing, pause=retry.stop.pause)
            ):
                _check_claims(checks, store, config, retry)
    return checks.exit_status


def _check_machine(checks: Checks, bounds: Limits) -> None:
    with checks.trying("OpenCV"):
        load_opencv()
    with checks.trying("This machine") as found:
        found += [f"{bounds.cores} images are processed at once", f"in {bounds.memory / 2**20:,.0f} MiB of memory"]


def _opened(config: ScalerConfig, retry: RetryPolicy) -> tuple[Connections, str]:
    """Connections to the account, and the path of its base."""
    connections = config.account.open(retry)
    try:
        with connections.connect() as store:
            return connections, _check_base(store)
    except (NotFound, NotWebDav):
        connections.close()
        nextcloud = open_as_nextcloud(config.account, retry)
        if nextcloud is None:
            raise
        with nextcloud.connect() as store:
            return nextcloud, _check_base(store)


def _check_base(store: Store) -> str:
    base = store.href("")
    if store.stat(base) is None:
        raise NotFound(f"{base} does not exist", "Correct webdav/url in Vault.")
    return base


def _check_raw(checks: Checks, store: Store, config: ScalerConfig, state: Path) -> Listing:
    with checks.trying(f"RAW_REMOTE_DIR {config.raw}") as found:
        raw = store.href(config.raw)
        try:
            listing = store.list_folder(raw, PROPERTIES)
        except NotFound as error:
            raise missing_folder(config.raw, "scaler_constants/RAW_REMOTE_DIR") from error
        found.append(f"{len(listing.entries)} entries")
        found.append("its ETag shows whether it changed" if listing.itself.tree_etag else "it is listed at each poll")
        found.extend(_images(listing, config, SkipList(state, place_of(config.account, raw))))
    return listing


def _images(listing: Listing, config: ScalerConfig, skip_list: SkipList) -> list[str]:
    """How many images would be upscaled, and which are skipped."""
    is_image = image_names(config.prefixes)
    selection = select(listing, is_image, skipped=skip_list.__contains__, before={}, now=0.0)
    skipped = skipped_in(selection, skip_list)
    images = f"{len(selection.take) + len(selection.wait)} to upscale"
    return [images, summary(skipped)] if skipped else [images]


def _check_in_place(
    checks: Checks,
    store: Store,
    connections: Connections,
    config: ScalerConfig,
    listing: Listing,
    *,
    pause: Callable[[float], object],
) -> bool:
    """Whether images are replaced in place."""
    with checks.trying(f"Rights in {config.raw} and {config.unsorted}"):
        unsorted = store.stat(store.href(config.unsorted), PROPERTIES)
        if unsorted is None:
            raise missing_folder(config.unsorted, "scaler_constants/UNSORTED_REMOTE_DIR")
        _check_rights(config, listing, unsorted)
    with checks.trying("Replacing a file in place") as found:
        in_place = InPlaceFolders.of(connections, store.href(config.raw), store.href(config.unsorted))
        capability = detect_in_place(store, connections, in_place, pause)
        found.append(
            "works: everything attached to an image stays, and its original becomes a version of it"
            if capability.supported
            else f"does not work, so copies are published and originals deleted: {capability.reason}"
        )
        if capability.supported:
            source, target = (inside(folder, _new_name()) for folder in (in_place.raw, in_place.unsorted))
            with _removed(store, source, target):
                _try_original(store, source, target, conditional=True)
    return capability.supported


def _check_rights(config: ScalerConfig, listing: Listing, unsorted: Entry) -> None:
    is_image = image_names(config.prefixes)
    named = (entry for entry in listing.entries if not entry.is_folder and is_image(entry.name))
    images = [entry for entry in named if not unreadable_format(entry.name)]
    paths = (config.raw, config.unsorted)
    failures = allowed(images, listing.itself, unsorted, paths).failures
    if failure := forbidden_folder(listing.itself, unsorted, paths) or next(iter(failures), None):
        raise failure


def _check_claims(checks: Checks, store: Store, config: ScalerConfig, retry: RetryPolicy) -> None:
    folders = Folders.of(store, config.raw, config.unsorted)
    with checks.trying(f"UNSORTED_REMOTE_DIR {config.unsorted}, and rights in both"):
        Recovery(store, ClaimMoves(folders, retry, NameLock()), names.new_owner()).make_ready()
    with checks.trying("Upload, move and delete") as found:
        found.append(_try_steps(store, folders))


def _try_steps(store: Store, folders: Folders) -> str:
    """Move one small file along the path of an original, and another along that of its copy."""
    owner = names.new_owner()
    upload, elsewhere, claimed = (
        inside(folder, names.new_id(owner)) for folder in (folders.uploads, folders.uploads, folders.claims)
    )
    original, published = inside(folders.raw, _new_name()), inside(folders.unsorted, _new_name())
    with _removed(store, upload, elsewhere, claimed, original, published):
        store.put(upload, _CONTENT)
        conditional = honours_if_match(store, upload, elsewhere)
        accepted = _try_original(store, original, claimed, conditional=conditional)
        store.move(upload if conditional else elsewhere, published)
        if store.stat(published) is None:
            raise NotAccepted(f"The server says that it moved a file to {folders.unsorted_path}, but it did not")
    found = "If-Match is honoured"
    if not conditional:
        found = "If-Match is ignored, so each original is checked again after it is claimed"
    elif not accepted:
        found = "the server rejects the ETags that it lists, so each original is checked again after it is claimed"
    if not keeps_names(store, folders.uploads, lambda: names.new_id(owner)):
        found += '; names are cut at ";" and "?", so these become "_"'
    return found


def _try_original(store: Store, source: Href, target: Href, *, conditional: bool) -> bool:
    """List, download and move a small file like an original; return whether its ETag was accepted.

    Raises:
        Failure: one of these steps failed.
    """
    store.put(source, _CONTENT)
    listed = store.stat(source)
    if listed is None:
        raise NotFound(f"{urllib.parse.unquote(source)} was uploaded but cannot be found", "Try again later.")
    with tempfile.TemporaryDirectory() as folder:
        store.get(listed, Path(folder) / "file")
    works = True
    try:
        store.move(source, target, if_match=listed.etag if conditional and strong(listed.etag) else None)
    except PreconditionFailed:
        works = False
        store.move(source, target)
    moved = store.stat(target)
    if moved is None or (moved.size, moved.modified) != (listed.size, listed.modified):
        raise NotAccepted("The server changes the size or date of files when it moves them")
    return works


@contextlib.contextmanager
def _removed(store: Store, *hrefs: Href) -> Iterator[None]:
    """Remove these files at the end.

    Raises:
        Failure: something cannot be removed.
    """
    try:
        yield
    except BaseException:
        _remove(store, hrefs)
        raise
    if failure := _remove(store, hrefs):
        raise failure


def _remove(store: Store, hrefs: Sequence[Href]) -> Failure | None:
    """Remove the files; return the last failure, if any."""
    failed = None
    for href in hrefs:
        try:
            store.delete(href, for_good=True)
        except Failure as failure:
            failed = failure
    return failed


def _new_name() -> str:
    return THROWAWAY + secrets.token_hex(8)
