"""What the scaler tries on `--check`."""

import contextlib

from scaler import names
from scaler.claims import Folders, honours_conditions, inside
from scaler.config import read_config
from scaler.limits import Limits
from scaler.recovery import make_ready, not_there
from scaler.service import ScalerConfig
from scaler.upscale_job import load_opencv
from shared.checks import Checks, Skip
from shared.config.vault import Vault
from shared.errors import NotFound
from shared.webdav.store import Store


def check(vault: Vault, bounds: Limits) -> int:
    """Try everything that a poll needs; the exit status, 1 if something failed.

    Makes the two hidden folders, and in them a small file that is removed again: rights can only be found out by
    using them.
    """
    checks = Checks()
    with contextlib.suppress(Skip):
        _check_machine(checks, bounds)
    with contextlib.suppress(Skip):
        with checks.trying("Vault and settings") as found:
            config = read_config(vault)
            found += [vault.address, f"login by {vault.login.source}", vault.path("scaler_constants")]
        with config.account.connect() as store:
            _check_server(checks, store, config)
    return checks.exit_status


def _check_machine(checks: Checks, bounds: Limits) -> None:
    with checks.trying("OpenCV"):
        load_opencv()
    with checks.trying("This machine") as found:
        found += [f"{bounds.cores} images compute at a time", f"in {bounds.memory / 2**20:,.0f} MiB of memory"]


def _check_server(checks: Checks, store: Store, config: ScalerConfig) -> None:
    folders = Folders.of(store, config.raw, config.unsorted)
    with checks.trying("Server, user name and password") as found:
        base = store.href("")
        if store.stat(base) is None:
            raise NotFound(f"{base} is not there", "Correct webdav/url in Vault.")
        found.append(base)
    with checks.trying(f"RAW_REMOTE_DIR {config.raw}") as found:
        try:
            listing = store.list_folder(folders.raw)
        except NotFound:
            raise not_there(config.raw, "scaler_constants/RAW_REMOTE_DIR") from None
        found.append(f"{len(listing.entries)} entries")
        found.append("its ETag tells changes" if listing.folder_etag else "it is listed at each poll")
    with checks.trying(f"UNSORTED_REMOTE_DIR {config.unsorted}, and rights in both"):
        make_ready(store, folders)
    with checks.trying("Upload, move and delete") as found:
        found.append(_try_steps(store, folders))


def _try_steps(store: Store, folders: Folders) -> str:
    owner = names.new_owner()
    first, second, third = (inside(folders.uploads, names.new_id(owner)) for _ in range(3))
    there = first
    try:
        store.put(first, b"written by --check")
        conditional = honours_conditions(store, first, second)
        there = first if conditional else second
        for target in (third, inside(folders.claims, names.new_id(owner))):
            store.move(there, target)
            there = target
    finally:
        store.delete(there)
    return "If-Match is honoured" if conditional else "If-Match is ignored, so every original is looked at once more"
