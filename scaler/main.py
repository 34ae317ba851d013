"""scaler: doubles the size of the raw pictures on a WebDAV server.

It looks every 30 seconds into a raw folder for pictures whose names start with a prefix, doubles their width and
height, puts them under a timestamped name into an unsorted folder, and then deletes the originals.

Its settings lie in Vault, under `VAULT_KV_MOUNT` (`secret`) and `VAULT_KV_PREFIX` (empty), as two secrets:

    webdav/
      host_url   root of the server; used where url is missing
      url        folder that all folders below are relative to
      username   of the account
      password   of the account; an app password is faster and can be revoked
    scaler_constants/
      RAW_NAMES_PREFIXES    list of prefixes; what starts with one of them is scaled
      RAW_REMOTE_DIR        folder that is looked into
      UNSORTED_REMOTE_DIR   folder that the scaled pictures go to

As JSON, the way `./run.sh settings FILE.json` takes it:

    {
      "webdav": {
        "host_url": "https://webdav.example.com/remote.php/webdav/",
        "url": "https://webdav.example.com/remote.php/webdav/user_folder/",
        "username": "your_username",
        "password": "your_password"
      },
      "scaler_constants": {
        "RAW_NAMES_PREFIXES": ["Unknown"],
        "RAW_REMOTE_DIR": "data/AI/_raw",
        "UNSORTED_REMOTE_DIR": "data/AI/_unsorted"
      }
    }
"""

import os
import sys
from typing import TYPE_CHECKING

import click

from shared.options import Options, Size, common_options, state_folder
from shared.start import importing

if TYPE_CHECKING:
    from shared.stop import Stop


@click.command(context_settings={"auto_envvar_prefix": "SCALER", "help_option_names": ["-h", "--help"]})
@click.option(
    "--threads",
    type=click.IntRange(1, 10),
    default=10,
    show_default=True,
    help="Pictures in hand at one time; only as many compute as there are processors.",
)
@click.option(
    "--max-memory",
    type=Size(),
    metavar="SIZE",
    help="What pictures may take while they compute, such as 1GiB; by default what the container leaves.",
)
@click.option(
    "--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG and of lossy WebP and AVIF."
)
@common_options
def main(options: Options, threads: int, max_memory: int | None, quality: int) -> None:
    """Double the size of the raw pictures on a WebDAV server.

    Settings come from Vault; the README says which.
    """
    # --help needs none of what follows.
    with importing():
        from shared.run import run

    sys.exit(run("scaler", options, lambda stop: work(options, stop, threads, max_memory, quality)))


def work(options: Options, stop: "Stop", threads: int, max_memory: int | None, quality: int) -> int:
    """Pass after pass until asked to stop; the exit status."""
    with importing():
        from scaler.check import check
        from scaler.limits import limits
        from scaler.one_pass import Scaler
        from scaler.settings import read_task
        from shared.pace import Pace
        from shared.settings import SettingsSource
        from shared.vault import Vault

    vault = Vault(os.environ)
    bounds = limits(max_memory)
    if options.check:
        return check(vault, bounds)
    settings = SettingsSource(lambda: read_task(vault), stop.clock)
    with Scaler(threads, bounds, quality, state_folder("scaler"), stop) as scaler:
        if options.dry_run:
            return scaler.dry_run(settings.current())
        pace = Pace(stop, options.frequency, once=options.once)
        for _ in pace.passes():
            with pace.one_pass():
                task = settings.current()
                if pace.may_ask(task.account):
                    pace.judge(scaler.one_pass(task, until_settled=options.once))
        return pace.exit_status
