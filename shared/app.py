"""From the command line to a running daemon, and from its end to an exit status."""

import atexit
import gc
import os
from collections.abc import Callable

from loguru import logger

from shared import logging as log
from shared import retry
from shared.cli import Options, fail
from shared.errors import Cancelled, Failure
from shared.retry import RetryPolicy
from shared.shutdown import StopToken, stop_on_signals

_SECRET_VARIABLES = ("VAULT_TOKEN", "VAULT_SECRET_ID")


def run(name: str, options: Options, work: Callable[[StopToken], int]) -> int:
    """Set up logging and signals, do the work, and turn its failures into a message and a status.

    Returns:
        what `work` returns; 0 if it was asked to stop; 2 if it cannot start.
    """
    try:
        log.set_up(name, options.log_level, options.log_file)
    except OSError as error:
        fail(f"{options.log_file} cannot be written ({error.strerror}). Name another file with --log-file.")
    log.hide(*(os.environ.get(variable, "") for variable in _SECRET_VARIABLES))
    # At its end the interpreter looks for garbage in all that was imported, which takes longer than to exit.
    atexit.register(gc.freeze)
    stop = StopToken()
    retry.adopt(RetryPolicy(stop))
    with stop_on_signals(stop):
        try:
            return work(stop)
        except Cancelled:
            return 0
        except Failure as failure:
            logger.critical("{}", failure)
            return 2
        except Exception:  # noqa: BLE001 - the last resort: no traceback may reach the terminal unredacted
            logger.exception("This is a mistake in the program; the images are as safe as after a power cut")
            return 1
        finally:
            if stop.requested:
                logger.info("Stopped")
