"""How a server handles MOVE, determined with our own test files."""

import contextlib
import re
from collections.abc import Callable

from scaler.moves import OutcomeUnknown, inside, parent_and_name
from shared.errors import Failure, NotAccepted, PreconditionFailed, ServerUnavailable
from shared.webdav.store import Href, Store

# The client tries up to three forms of the target, the next one after each rejection.
_FORMS = 3
# Some servers truncate the target's name at these, although they are percent-encoded.
_ODD = re.compile(r"[;?#%]")


def is_odd(name: str) -> bool:
    """Whether a name contains a character at which some servers truncate it."""
    return _ODD.search(name) is not None


def plain(name: str) -> str:
    """The name without such characters."""
    return _ODD.sub("_", name)


def honours_if_match(store: Store, upload: Href, elsewhere: Href) -> bool:
    """Whether the server rejects a MOVE whose If-Match is wrong; tested with one of our uploads.

    If it does not, the upload is at `elsewhere` afterwards. This also detects which form of `Destination` it accepts.

    Raises:
        Failure: it accepts no form, or cannot be reached.
    """
    for left in reversed(range(_FORMS)):
        try:
            with contextlib.suppress(PreconditionFailed):
                store.move(upload, elsewhere, if_match='"no-such-version"')
            break
        except (NotAccepted, ServerUnavailable) as error:
            if not left or getattr(error, "status", None) not in (None, 502):
                raise
    # A listing, since a single 404 may come from a proxy, and the upload must be where it is looked for later.
    folder, name = parent_and_name(upload)
    there = store.list_folder(folder).names
    if name not in there and parent_and_name(elsewhere)[1] not in there:
        raise OutcomeUnknown("The server gave contradictory answers about an upload; will retry")
    return name in there


def keeps_names(store: Store, folder: Href, new_name: Callable[[], str]) -> bool:
    """Whether a MOVE keeps every character of its target's name; tested with an empty file.

    Args:
        folder: where the file is created.
        new_name: makes unique names.
    """
    source, cut = (inside(folder, new_name()) for _ in range(2))
    target = Href(cut + "%3B%3F%23%25.jpg")
    store.put(source, b"")
    try:
        store.move(source, target)
        return store.stat(target) is not None
    finally:
        for left in (source, target, cut, Href(cut + "%3B"), Href(cut + "%3B%3F")):
            # Recovery removes it later.
            with contextlib.suppress(Failure):
                store.delete(left)
