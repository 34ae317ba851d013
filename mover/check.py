"""What the mover tries on `--check`."""

import contextlib

from mover.config import Settings
from mover.nextcloud import Nextcloud
from mover.selection import Path, Rules, category_of, note_of
from shared.checks import Checks, Skip
from shared.config.vault import Vault
from shared.errors import Forbidden, NotFound
from shared.retry import of_process


async def check(vault: Vault) -> int:
    """Try everything that a poll needs, and change nothing; the exit status, 1 if something failed."""
    checks = Checks()
    with contextlib.suppress(Skip):
        with checks.trying("Vault and settings") as found:
            config = Settings(vault).read()
            found += [vault.address, f"login by {vault.login.source}", vault.path("mover_constants")]
        nextcloud = Nextcloud(config.account)
        try:
            await _check_server(checks, nextcloud, config.rules)
        finally:
            await nextcloud.close()
    return checks.exit_status


async def _check_server(checks: Checks, nextcloud: Nextcloud, rules: Rules) -> None:
    patient = of_process().call_async
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
        listing = await of_process().call_async(lambda: nextcloud.list_folder(unsorted))
    except NotFound:
        raise NotFound("it is not there", "Make it, or correct mover_constants/UNSORTED_REMOTE_DIR in Vault.") from None
    way = "tags come with the listing" if listing.tags_told else "an older Nextcloud: images are asked for tag by tag"
    images = [file for file in listing.files if file.is_image]
    if images and "D" not in (await nextcloud.permissions(images[0].path) or "D"):
        raise Forbidden(
            f"{images[0].name} in it may not be moved away", "Give the account the right to delete in that folder."
        )
    return [f"{len(images)} images", way]


async def _check_images(nextcloud: Nextcloud, images: Path) -> str:
    letters = await of_process().call_async(lambda: nextcloud.permissions(images))
    if letters is None:
        return "it is not there yet, and made for the first image"
    if letters and not {"C", "K"} <= set(letters):
        raise Forbidden("no folders and files may be made in it", "Give the account the right to create there.")
    return "folders and files may be made in it" if letters else "the server does not tell the rights in it"


async def _check_tags(nextcloud: Nextcloud, rules: Rules) -> list[str]:
    tags = await of_process().call_async(nextcloud.tags)
    ours = [(tag, category) for tag in sorted(tags) if (category := category_of(tag.name, rules))]
    notes = [note for tag, category in ours if (note := note_of(tag, category))]
    return [f"{len(ours) - len(notes)} name a category", *notes]
