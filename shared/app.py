"""Runs a daemon: logging, signals, the work, and the exit status."""

import atexit
import gc
import os
from collections.abc import Callable

from loguru import logger

from shared import logging as log
from shared.cli import Options, fail
from shared.errors import Cancelled, Failure
from shared.retry import RetryPolicy
from shared.shutdown import StopToken, stop_on_signals

_SECRET_VARIABLES = ("VAULT_TOKEN", "VAULT_SECRET_ID")


def run(name: str, options: Options, work: Callable[[RetryPolicy], int]) -> int:
    """Set up logging and signals, do the work, and turn its failures into a message and an exit status.

    Returns:
        what `work` returns; 0 if the daemon was asked to stop; 1 after an internal error; 2 if it cannot start.
    """
    try:
        log.set_up(name, options.log_level, options.log_file)
    except OSError as error:
        fail(f"{options.log_file} cannot be written ({error.strerror}). Name another file with --log-file.")
    log.hide(*(os.environ.get(variable, "") for variable in _SECRET_VARIABLES))
    # Otherwise the interpreter collects garbage at its exit, among everything that was imported.
    atexit.register(gc.freeze)
    stop = StopToken()
    with stop_on_signals(stop):
        try:
            return work(RetryPolicy(stop))
        except Cancelled:
            return 0
        except Failure as failure:
            logger.critical("{}", failure)
            return 2
        except Exception:  # noqa: BLE001 - the last resort: no traceback may reach the terminal unredacted
            logger.exception("Internal error (please report it). No image was lost; the next start recovers")
            return 1
        finally:
            if stop.requested:
                logger.info("Stopped")
