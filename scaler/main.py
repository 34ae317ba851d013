"""scaler: doubles the size of the raw images on a WebDAV server.

It looks every 30 seconds into a raw folder for images whose names start with a prefix, doubles their width and
height, puts them under a timestamped name into an unsorted folder, and then deletes the originals.

Its settings lie in Vault, under `VAULT_KV_MOUNT` (`secret`) and `VAULT_KV_PREFIX` (empty), as two secrets:

    webdav/
      host_url   root of the server; used where url is missing
      url        folder that all folders below are relative to
      username   of the account
      password   of the account; an app password is faster and can be revoked
    scaler_constants/
      RAW_NAMES_PREFIXES    list of prefixes; what starts with one of them is upscaled
      RAW_REMOTE_DIR        folder that is looked into
      UNSORTED_REMOTE_DIR   folder that the upscaled images go to

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

from shared.cli import Options, Size, common_options, state_folder
from shared.start import importing

if TYPE_CHECKING:
    from shared.shutdown import StopToken


@click.command(context_settings={"auto_envvar_prefix": "SCALER", "help_option_names": ["-h", "--help"]})
@click.option(
    "--threads",
    type=click.IntRange(1, 10),
    default=10,
    show_default=True,
    help="Images in flight at one time; only as many compute as there are processors.",
)
@click.option(
    "--max-memory",
    type=Size(),
    metavar="SIZE",
    help="What images may take while they compute, such as 1GiB; by default what the container leaves.",
)
@click.option(
    "--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG and of lossy WebP and AVIF."
)
@common_options
def main(options: Options, threads: int, max_memory: int | None, quality: int) -> None:
    """Double the size of the raw images on a WebDAV server.

    Settings come from Vault; the README says which.
    """
    # --help needs none of what follows.
    with importing():
        from shared.app import run

    sys.exit(run("scaler", options, lambda stop: work(options, stop, threads, max_memory, quality)))


def work(options: Options, stop: "StopToken", threads: int, max_memory: int | None, quality: int) -> int:
    """Poll after poll until asked to stop; the exit status."""
    with importing():
        from scaler.check import check
        from scaler.config import read_config
        from scaler.limits import limits
        from scaler.service import ScalerService
        from shared.config.settings import SettingsSource
        from shared.config.vault import Vault
        from shared.scheduler import PollLoop

    vault = Vault(os.environ)
    bounds = limits(max_memory)
    if options.check:
        return check(vault, bounds)
    settings = SettingsSource(lambda: read_config(vault), stop.clock)
    with ScalerService(threads, bounds, quality, state_folder("scaler"), stop) as scaler:
        if options.dry_run:
            return scaler.dry_run(settings.current())
        poll_loop = PollLoop(stop, options.frequency, once=options.once)
        for _ in poll_loop.polls():
            with poll_loop.poll():
                config = settings.current()
                if poll_loop.auth_allowed(config.account):
                    poll_loop.record(scaler.poll(config, until_settled=options.once))
        return poll_loop.exit_status
