"""Runs a daemon: logging, signals, the work, and the exit status."""

import atexit
import contextlib
import gc
import os
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from loguru import logger

from shared import logging as log
from shared import redaction
from shared.cli import Options, state_folder
from shared.errors import Cancelled, Failure
from shared.events.event import Event, Kind
from shared.events.recorder import Recorder
from shared.recording import open_recorder
from shared.retry import RetryPolicy
from shared.shutdown import StopToken, stop_on_signals
from shared.state_folder import writable
from shared.systemd import start_watchdog
from shared.terminal import hang_up_with_terminal

_SECRET_VARIABLES = ("VAULT_TOKEN", "VAULT_SECRET_ID", "JUPYTERHUB_API_TOKEN")


def run(
    name: str, options: Options, work: Callable[[RetryPolicy, Recorder, Path], int], *, thumbnails: bool = False
) -> int:
    """Set up logging, signals and recording, do the work, and turn its failures into a message and an exit status.

    Args:
        work: gets the state folder of all daemons, too.
        thumbnails: keep them.

    Returns:
        what `work` returns; 0 if the daemon was asked to stop; 1 after an internal error; 2 if it cannot start.
    """
    try:
        log.set_up(name, options.log_level, options.log_file)
    except OSError as error:
        log.show(
            f"{options.log_file} cannot be written ({error.strerror}). Name another file with --log-file.", err=True
        )
        return 2
    redaction.hide(*(os.environ.get(variable, "").strip() for variable in _SECRET_VARIABLES))
    _hide_passwords_of_proxies()
    # Otherwise the interpreter runs a full garbage collection at exit.
    atexit.register(gc.freeze)
    stop = StopToken()
    recorder = Recorder(name)
    with stop_on_signals(stop), _state_folder(options) as state:
        hang_up_with_terminal(stop)
        start_watchdog(stop)
        try:
            recorder, observer = open_recorder(name, options, state, thumbnails=thumbnails)
            return work(RetryPolicy(stop, observer=observer), recorder, state)
        except Cancelled:
            return 0
        except Failure as failure:
            recorder.failed(failure, level="CRITICAL")
            return 2
        except Exception:  # noqa: BLE001 - the last resort: no traceback may reach the terminal unredacted
            logger.exception("Internal error (please report it). No image was lost; the next start recovers")
            return 1
        finally:
            recorder.record(Event(kind=Kind.STOPPED), level="INFO" if stop.requested else "DEBUG")


def _state_folder(options: Options) -> AbstractContextManager[Path]:
    folder = state_folder("")
    return contextlib.nullcontext(folder) if options.check or options.dry_run else writable(folder)


def _hide_passwords_of_proxies() -> None:
    for proxy in urllib.request.getproxies().values():
        with contextlib.suppress(ValueError):
            password = urllib.parse.urlsplit(proxy if "://" in proxy else f"//{proxy}").password
            redaction.hide(urllib.parse.unquote(password or ""))
