"""`--check` of the scaler."""

import contextlib
from pathlib import Path

from scaler import names
from scaler.claims import ClaimMoves, Folders, honours_if_match
from scaler.config import ScalerConfig, read_config
from scaler.detection import detect_in_place
from scaler.in_place import PROPERTIES, InPlaceFolders
from scaler.memory_budget import Limits
from scaler.moves import NameLock, inside
from scaler.recovery import Recovery, missing_folder
from scaler.rights import allowed, forbidden_folder
from scaler.selection import image_names, select, unreadable_format
from scaler.session import place_of, skipped_in
from scaler.skip_list import SkipList, summary
from scaler.upscaling import load_opencv
from shared.checks import Checks, Skip
from shared.config.source import SecretStore
from shared.errors import NotFound
from shared.retry import RetryPolicy
from shared.webdav.store import Connections, Entry, Listing, Store


def check(vault: SecretStore, bounds: Limits, retry: RetryPolicy, state: Path) -> int:
    """Check everything that a poll needs; return the exit status, 1 if something failed.

    On a Nextcloud a small file is replaced in place and removed again. Elsewhere the two hidden folders are created,
    and a small file is moved through them, because rights can only be found out by using them.

    Args:
        state: folder for what is remembered across restarts.
    """
    checks = Checks()
    with contextlib.suppress(Skip):
        _check_machine(checks, bounds)
    with contextlib.suppress(Skip):
        with checks.trying("Vault and settings") as found:
            config = read_config(vault)
            found += [vault.where, vault.path("scaler_constants")]
        with checks.trying("Server, user name and password") as found:
            connections = config.account.open(retry)
            with connections.connect() as store:
                found.append(_check_base(store))
        with contextlib.closing(connections), connections.connect() as store:
            listing = _check_raw(checks, store, config, state)
            if not (connections.user_id and _check_in_place(checks, store, connections, config, listing)):
                _check_claims(checks, store, config, retry)
    return checks.exit_status


def _check_machine(checks: Checks, bounds: Limits) -> None:
    with checks.trying("OpenCV"):
        load_opencv()
    with checks.trying("This machine") as found:
        found += [f"{bounds.cores} images are computed at a time", f"in {bounds.memory / 2**20:,.0f} MiB of memory"]


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
        found.append("its ETag shows changes" if listing.itself.tree_etag else "it is listed at each poll")
        found.extend(_images(listing, config, SkipList(state, place_of(config.account, raw))))
    return listing


def _images(listing: Listing, config: ScalerConfig, skip_list: SkipList) -> list[str]:
    """How many images would be upscaled, and which are skipped."""
    is_image = image_names(config.prefixes)
    selection = select(listing, is_image, skipped=skip_list.__contains__, before={}, clock=0.0)
    skipped = skipped_in(selection, skip_list)
    images = f"{len(selection.take) + len(selection.wait)} to upscale"
    return [images, summary(skipped)] if skipped else [images]


def _check_in_place(
    checks: Checks,
    store: Store,
    connections: Connections,
    config: ScalerConfig,
    listing: Listing,
) -> bool:
    """Whether images are replaced in place."""
    with checks.trying(f"Rights in {config.raw} and {config.unsorted}"):
        unsorted = store.stat(store.href(config.unsorted), PROPERTIES)
        if unsorted is None:
            raise missing_folder(config.unsorted, "scaler_constants/UNSORTED_REMOTE_DIR")
        _check_rights(config, listing, unsorted)
    with checks.trying("Replacing a file in place") as found:
        in_place = InPlaceFolders.of(connections, store.href(config.raw), store.href(config.unsorted))
        capability = detect_in_place(store, connections, in_place)
        found.append(
            "works: everything attached to an image stays, and its original becomes a version of it"
            if capability.supported
            else f"does not work, so copies are published and originals deleted: {capability.reason}"
        )
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
    owner = names.new_owner()
    first, second, third = (inside(folders.uploads, names.new_id(owner)) for _ in range(3))
    there = first
    try:
        store.put(first, b"written by --check")
        conditional = honours_if_match(store, first, second)
        there = first if conditional else second
        for target in (third, inside(folders.claims, names.new_id(owner))):
            store.move(there, target)
            there = target
    finally:
        store.delete(there)
    return (
        "If-Match is honoured" if conditional else "If-Match is ignored, so every claimed original is checked once more"
    )
