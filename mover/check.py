"""`--check` of the mover."""

import contextlib

from mover.config import MoverSettings
from mover.scanner import has_tags, list_tags, list_unsorted
from mover.selection import Rules, is_image, naming_tags, notes_of
from mover.service import open_nextcloud
from shared.checks import Checks, Skip
from shared.config.source import SecretStore
from shared.errors import Forbidden, NotFound
from shared.retry import RetryPolicy
from shared.webdav.store import Prop, Store

_RIGHTS = (Prop.TYPE, Prop.PERMISSIONS)


def check(vault: SecretStore, retry: RetryPolicy) -> int:
    """Check everything that a poll needs, and change nothing; return the exit status, 1 if something failed."""
    checks = Checks()
    with contextlib.suppress(Skip):
        with checks.trying("Vault and settings") as found:
            config = MoverSettings(vault).read()
            found += [vault.where, vault.path("mover_constants")]
        with checks.trying("Nextcloud, user name and password") as found:
            connections = open_nextcloud(config.account, retry)
            found.append(f"the account's id is {connections.user_id}")
        with contextlib.closing(connections), connections.connect() as store:
            _check_server(checks, store, connections.root_url, config.rules)
    return checks.exit_status


def _check_server(checks: Checks, store: Store, root_url: str, rules: Rules) -> None:
    with contextlib.suppress(Skip), checks.trying(f"UNSORTED_REMOTE_DIR {rules.unsorted}") as found:
        found.extend(_check_unsorted(store, rules))
    with contextlib.suppress(Skip), checks.trying(f"IMAGES_ROOT_DIR {rules.images}") as found:
        found.append(_check_images(store, rules.images))
    with contextlib.suppress(Skip), checks.trying(f"Tags that begin with {rules.parent!r}") as found:
        tags = list_tags(store, root_url, "systemtags")
        notes = notes_of(tags, rules)
        found += [f"categories: {len(naming_tags(tags, rules)) - len(notes)}", *notes]


def _check_unsorted(store: Store, rules: Rules) -> list[str]:
    try:
        listing = list_unsorted(store, rules)
    except NotFound as error:
        raise NotFound("it does not exist", error.hint) from error
    images = [file for file in listing.entries if is_image(file)]
    first = store.stat(images[0].href, _RIGHTS) if images else None
    if first is not None and first.permissions and "D" not in first.permissions:
        raise Forbidden(
            f"the account may not move {first.name}", "Give the account the right to delete in that folder."
        )
    way = "tags come with the listing" if has_tags(listing) else "older Nextcloud: images are searched for tag by tag"
    return [f"images: {len(images)}", way]


def _check_images(store: Store, images: str) -> str:
    folder = store.stat(store.href(images), _RIGHTS)
    if folder is None:
        return "it does not exist yet; it is created for the first image"
    if not folder.permissions:
        return "the server does not list the rights in it"
    if not {"C", "K"} <= set(folder.permissions):
        raise Forbidden("the account may not create files or folders in it", "Give it the right to create there.")
    return "the account may create files and folders in it"
