"""scaler: upscales the raw images on a WebDAV server.

It polls a raw folder every 30 seconds for images whose names start with a prefix, upscales them to twice their width
and height, and publishes them under a timestamped name in an unsorted folder. On a Nextcloud the file stays the same
file and its original becomes a version of it; elsewhere a copy is published and the original is deleted.

Its settings are in Vault, under `VAULT_KV_MOUNT` (`secret`) and `VAULT_KV_PREFIX` (empty), as two secrets:

    webdav/
      host_url   root of the server; used where url is missing
      url        folder that all folders below are relative to
      username   of the account
      password   of the account; an app password is faster and can be revoked
    scaler_constants/
      RAW_NAMES_PREFIXES    list of prefixes; images whose names start with one are upscaled
      RAW_REMOTE_DIR        folder that is polled
      UNSORTED_REMOTE_DIR   folder for the upscaled images

As JSON, for `./run.sh settings FILE.json`:

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

from shared.cli import Command, Options, Size, common_options, state_folder
from shared.start import importing

if TYPE_CHECKING:
    from shared.events.recorder import Recorder
    from shared.retry import RetryPolicy


@click.command(
    "scaler", cls=Command, context_settings={"auto_envvar_prefix": "SCALER", "help_option_names": ["-h", "--help"]}
)
@click.option(
    "--threads",
    type=click.IntRange(1, 10),
    default=10,
    show_default=True,
    help="Images processed concurrently; CPU work is limited to the number of cores.",
)
@click.option(
    "--max-memory",
    type=Size(),
    metavar="SIZE",
    help="Memory budget for image processing (default: derived from the container's limit).",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=95,
    help="Encoding quality for JPEG and for lossy WebP and AVIF (default 95).",
)
@click.option("--no-thumbnails", is_flag=True, help="Keep no thumbnails for the status page.")
@common_options
def main(options: Options, threads: int, max_memory: int | None, quality: int, *, no_thumbnails: bool) -> None:
    """Upscale the raw images on a WebDAV server to twice their width and height.

    Settings come from Vault; see the README.
    """
    # Imported here so that --help is quick.
    with importing():
        from shared.app import run

    def start(retry: "RetryPolicy", recorder: "Recorder") -> int:
        return work(options, retry, recorder, threads=threads, max_memory=max_memory, quality=quality)

    sys.exit(run("scaler", options, start, thumbnails=not no_thumbnails))


def work(
    options: Options,
    retry: "RetryPolicy",
    recorder: "Recorder | None" = None,
    *,
    threads: int,
    max_memory: int | None,
    quality: int,
) -> int:
    """Poll until asked to stop; return the exit status."""
    with importing():
        from scaler.check import check
        from scaler.config import read_config
        from scaler.memory_budget import limits
        from scaler.service import ScalerService
        from shared.config.settings import SettingsSource
        from shared.config.source import open_vault
        from shared.scheduler import PollLoop

    vault = open_vault(os.environ)
    bounds = limits(max_memory)
    state = state_folder("scaler")
    if options.check:
        return check(vault, bounds, retry, state)
    settings = SettingsSource(lambda: read_config(vault), retry.stop.clock)
    with ScalerService(
        threads=threads, limits=bounds, quality=quality, state=state, retry=retry, recorder=recorder
    ) as scaler:
        if options.dry_run:
            return scaler.dry_run(settings.current())
        poll_loop = PollLoop(retry.stop, options.frequency, once=options.once, recorder=recorder)
        for _ in poll_loop.polls():
            with poll_loop.poll():
                config = settings.current()
                retry.observer.token_expires(vault.token_expires_at)
                if poll_loop.auth_allowed(config.account):
                    poll_loop.record(scaler.poll(config, until_settled=options.once))
        return poll_loop.exit_status
