"""What the mover tries on `--check`."""

import contextlib

from mover.nextcloud import Nextcloud
from mover.plan import Path, Rules, category_of, note_of
from mover.settings import Settings
from shared.checks import Checks, Skip
from shared.errors import Forbidden, Missing
from shared.patience import of_process
from shared.vault import Vault


async def check(vault: Vault) -> int:
    """Try everything that a pass needs, and change nothing; the exit status, 1 if something failed."""
    checks = Checks()
    with contextlib.suppress(Skip):
        with checks.trying("Vault and settings") as found:
            task = Settings(vault).read()
            found += [vault.address, f"login by {vault.login.source}", vault.path("mover_constants")]
        nextcloud = Nextcloud(task.account)
        try:
            await _check_server(checks, nextcloud, task.rules)
        finally:
            await nextcloud.close()
    return checks.exit_status


async def _check_server(checks: Checks, nextcloud: Nextcloud, rules: Rules) -> None:
    patient = of_process().awaiting
    with checks.trying("Nextcloud, user name and password") as found:
        await patient(nextcloud.log_in)
        found.append(f"the account's id is {nextcloud.user_id}")
    with contextlib.suppress(Skip), checks.trying(f"UNSORTED_REMOTE_DIR {'/'.join(rules.unsorted)}") as found:
        found += await _check_unsorted(nextcloud, rules.unsorted)
    with contextlib.suppress(Skip), checks.trying(f"IMAGES_ROOT_DIR {'/'.join(rules.images)}") as found:
        found.append(await _check_images(nextcloud, rules.images))
    with contextlib.suppress(Skip), checks.trying(f"Tags that begin with {rules.parent!r}") as found:
        found += await _check_tags(nextcloud, rules)


async def _check_unsorted(nextcloud: Nextcloud, unsorted: Path) -> list[str]:
    try:
        listing = await of_process().awaiting(lambda: nextcloud.list_folder(unsorted))
    except Missing:
        raise Missing("it is not there", "Make it, or correct mover_constants/UNSORTED_REMOTE_DIR in Vault.") from None
    way = "tags come with the listing" if listing.tags_told else "an older Nextcloud: pictures are asked for tag by tag"
    images = [file for file in listing.files if file.is_image]
    if images and "D" not in (await nextcloud.permissions(images[0].path) or "D"):
        raise Forbidden(
            f"{images[0].name} in it may not be moved away", "Give the account the right to delete in that folder."
        )
    return [f"{len(images)} pictures", way]


async def _check_images(nextcloud: Nextcloud, images: Path) -> str:
    letters = await of_process().awaiting(lambda: nextcloud.permissions(images))
    if letters is None:
        return "it is not there yet, and made for the first picture"
    if letters and not {"C", "K"} <= set(letters):
        raise Forbidden("no folders and files may be made in it", "Give the account the right to create there.")
    return "folders and files may be made in it" if letters else "the server does not tell the rights in it"


async def _check_tags(nextcloud: Nextcloud, rules: Rules) -> list[str]:
    tags = await of_process().awaiting(nextcloud.tags)
    ours = [(tag, category) for tag in sorted(tags) if (category := category_of(tag.name, rules))]
    notes = [note for tag, category in ours if (note := note_of(tag, category))]
    return [f"{len(ours) - len(notes)} name a category", *notes]
