"""What the scaler tries on `--check`."""

import contextlib

from scaler import names
from scaler.limits import Limits
from scaler.one_pass import Task
from scaler.publish import Folders, honours_conditions, inside
from scaler.recover import make_ready, not_there
from scaler.scale import load_opencv
from scaler.settings import read_task
from shared.checks import Checks, Skip
from shared.errors import Missing
from shared.store import Store
from shared.vault import Vault


def check(vault: Vault, bounds: Limits) -> int:
    """Try everything that a pass needs; the exit status, 1 if something failed.

    Makes the two hidden folders, and in them a small file that is removed again: rights can only be found out by
    using them.
    """
    checks = Checks()
    with contextlib.suppress(Skip):
        _check_machine(checks, bounds)
    with contextlib.suppress(Skip):
        with checks.trying("Vault and settings") as found:
            task = read_task(vault)
            found += [vault.address, f"login by {vault.login.source}", vault.path("scaler_constants")]
        with task.account.connect() as store:
            _check_server(checks, store, task)
    return checks.exit_status


def _check_machine(checks: Checks, bounds: Limits) -> None:
    with checks.trying("OpenCV"):
        load_opencv()
    with checks.trying("This machine") as found:
        found += [f"{bounds.cores} pictures compute at a time", f"in {bounds.memory / 2**20:,.0f} MiB of memory"]


def _check_server(checks: Checks, store: Store, task: Task) -> None:
    folders = Folders.of(store, task.raw, task.unsorted)
    with checks.trying("Server, user name and password") as found:
        base = store.href("")
        if store.look(base) is None:
            raise Missing(f"{base} is not there", "Correct webdav/url in Vault.")
        found.append(base)
    with checks.trying(f"RAW_REMOTE_DIR {task.raw}") as found:
        try:
            listing = store.list_folder(folders.raw)
        except Missing:
            raise not_there(task.raw, "scaler_constants/RAW_REMOTE_DIR") from None
        found.append(f"{len(listing.entries)} entries")
        found.append("its ETag tells changes" if listing.folder_etag else "it is listed at each pass")
    with checks.trying(f"UNSORTED_REMOTE_DIR {task.unsorted}, and rights in both"):
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
