"""mover: files the tagged images in a Nextcloud.

It looks every 30 seconds into an unsorted folder for images that carry a tag such as `ai:landscapes`, moves them into
the folder of that category (`landscapes`, made if it is missing), and takes the tag off. Other tags stay.

Its settings lie in Vault, under `VAULT_KV_MOUNT` (`secret`) and `VAULT_KV_PREFIX` (empty), as two secrets:

    webdav/
      host_url   root of the Nextcloud; used where url is missing
      url        folder that all folders below are relative to
      username   of the account
      password   of the account; an app password (Settings > Security) is faster and can be revoked
    mover_constants/
      IMAGES_ROOT_DIR       folder that holds a folder for each category
      UNSORTED_REMOTE_DIR   folder that is looked into
      PARENT_TAG_VALUE      what stands before the colon: "ai" for tags such as "ai:landscapes"

As JSON, the way `./run.sh settings FILE.json` takes it:

    {
      "webdav": {
        "host_url": "https://nextcloud.example.com/",
        "url": "https://nextcloud.example.com/remote.php/dav/files/your_user_id/",
        "username": "your_username",
        "password": "your_app_password"
      },
      "mover_constants": {
        "IMAGES_ROOT_DIR": "data/AI/organized",
        "UNSORTED_REMOTE_DIR": "data/AI/_unsorted",
        "PARENT_TAG_VALUE": "ai"
      }
    }

A tag is PARENT_TAG_VALUE, a colon and the category, in exactly these letters. A category is the name of one folder: it
may hold spaces, colons and emoji, but neither / nor a backslash. Images whose tag names no such folder stay where
they are, and the log says so once. Where `scaler_constants` can be read too, its RAW_REMOTE_DIR is no category either.

An image that already lies in the folder of its category loses the tag as well: so a mover that was stopped between the
move and the tag is completed by the next.

The account is an ordinary one: its own login is enough. AppAPI, the "Python API" extension of Nextcloud for external
apps, is not needed.

`--check` looks at Vault and the settings, at the login, at the unsorted folder and whether its images may be moved
away, at the right to make folders in IMAGES_ROOT_DIR, and at the tags: how many name a category, and which do not. It
also says how tags are found out: with the listing of the folder, one request a poll, or, on an older Nextcloud, tag by
tag.
"""

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click

from shared.cli import Options, common_options
from shared.start import importing

if TYPE_CHECKING:
    from shared.shutdown import StopToken


@click.command(context_settings={"auto_envvar_prefix": "MOVER", "help_option_names": ["-h", "--help"]})
@common_options
def main(options: Options) -> None:
    """File the tagged images in a Nextcloud.

    Settings come from Vault; the README says which.
    """
    # --help needs none of what follows.
    with importing():
        from shared.app import run

    sys.exit(run("mover", options, lambda stop: work(options, stop)))


def work(options: Options, stop: "StopToken") -> int:
    """Poll after poll until asked to stop; the exit status."""
    with importing():
        from mover.check import check
        from mover.config import Settings
        from mover.service import MoverService
        from shared.config.settings import SettingsSource
        from shared.config.vault import Vault
        from shared.retry import of_process
        from shared.scheduler import PollLoop

    vault = Vault(os.environ)
    if options.check:
        return asyncio.run(check(vault))
    settings = SettingsSource(Settings(vault).read, stop.clock)
    mover = MoverService(of_process())
    with asyncio.Runner() as loop:
        try:
            if options.dry_run:
                loop.run(mover.dry_run(settings.current()))
                return 0
            poll_loop = PollLoop(stop, options.frequency, once=options.once)
            for _ in poll_loop.polls():
                with poll_loop.poll():
                    config = settings.current()
                    if poll_loop.auth_allowed(config.account):
                        poll_loop.record(loop.run(mover.poll(config)))
            return poll_loop.exit_status
        finally:
            loop.run(mover.close())
