"""The folder for state that survives a restart, and its replacement if it cannot be written."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loguru import logger

from shared.files import write_atomically

# As long as a block of most file systems: a full one may still take a file of one byte.
_TRIED = bytes(4096)


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[Path]:
    """The folder itself or, with one warning, a temporary one: state never gets in the way of the work."""
    tried = folder / ".tried"
    try:
        write_atomically(tried, _TRIED)
        tried.unlink(missing_ok=True)
    except OSError as error:
        logger.warning(
            "The state folder {} cannot be written ({}): nothing is kept across restarts, and `status` shows nothing;"
            " the work continues without it",
            folder,
            error.strerror,
        )
        with contextlib.ExitStack() as stack:
            # If there is no room for temporary files either, each part reports that itself.
            with contextlib.suppress(OSError):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            yield folder
    else:
        yield folder
