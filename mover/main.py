"""mover: files the tagged images in a Nextcloud.

It polls an unsorted folder every 30 seconds for images with a tag such as `ai:landscapes`, moves them to the folder of
that category (`landscapes`, created if it is missing), and removes the tag. Other tags stay.

Its settings are in Vault, under `VAULT_KV_MOUNT` (`secret`) and `VAULT_KV_PREFIX` (empty), as two secrets:

    webdav/
      host_url   root of the Nextcloud; used where url is missing
      url        folder that all folders below are relative to
      username   of the account
      password   of the account; an app password (Settings > Security) is faster and can be revoked
    mover_constants/
      IMAGES_ROOT_DIR       folder that contains a folder for each category
      UNSORTED_REMOTE_DIR   folder that is polled
      PARENT_TAG_VALUE      the part before the colon: "ai" for tags such as "ai:landscapes"

As JSON, for `./run.sh settings FILE.json`:

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

A tag is PARENT_TAG_VALUE, a colon and the category, case-sensitive. A category is the name of one folder: it may
contain spaces, colons and emoji, but neither / nor a backslash. Images whose tag names no such folder stay where they
are, and the log reports that once. If `scaler_constants` can be read, its RAW_REMOTE_DIR cannot be a category either.

If a mover is interrupted between move and untag, the next one removes the tag. If you tag an image that is already in
that category's folder, the mover just removes the tag.

An ordinary account with its own login is enough. AppAPI, the "Python API" of Nextcloud for external apps, is not
needed.

`--check` checks Vault and the settings, the login, the unsorted folder and whether its images may be moved away, the
right to create folders in IMAGES_ROOT_DIR, and the tags: how many name a category, and which do not. It also shows
where tags come from: the listing of the folder (one request per poll) or, on an older Nextcloud, a search for each tag.
"""

import os
import sys
from typing import TYPE_CHECKING

import click

from shared.cli import Command, Options, common_options
from shared.start import importing

if TYPE_CHECKING:
    from shared.events.recorder import Recorder
    from shared.retry import RetryPolicy


@click.command(
    "mover", cls=Command, context_settings={"auto_envvar_prefix": "MOVER", "help_option_names": ["-h", "--help"]}
)
@common_options
def main(options: Options) -> None:
    """File the tagged images in a Nextcloud.

    Settings come from Vault; see the README.
    """
    # Imported here so that --help is quick.
    with importing():
        from shared.app import run

    sys.exit(run("mover", options, lambda retry, recorder, _state: work(options, retry, recorder)))


def work(options: Options, retry: "RetryPolicy", recorder: "Recorder | None" = None) -> int:
    """Poll until asked to stop; return the exit status."""
    with importing():
        from loguru import logger

        from mover.check import check
        from mover.config import MoverSettings
        from mover.service import MoverService, NoNextcloud
        from shared.config.settings import SettingsSource
        from shared.config.source import open_vault
        from shared.scheduler import PollLoop

    vault = open_vault(_environment_of_vault())
    if options.check:
        return check(vault, retry)
    settings = SettingsSource(MoverSettings(vault).read, retry.stop.clock)
    with MoverService(retry, recorder) as mover:
        if options.dry_run:
            mover.dry_run(settings.current())
            return 0
        poll_loop = PollLoop(retry.stop, options.frequency, once=options.once, recorder=recorder)
        try:
            for _ in poll_loop.polls():
                with poll_loop.poll():
                    config = settings.current()
                    retry.observer.token_expires(vault.token_expires_at)
                    if poll_loop.auth_allowed(config.account):
                        poll_loop.record(mover.poll(config))
        except NoNextcloud as failure:
            # Set by run.sh, when it runs both daemons.
            if not os.environ.get("JUPYTERHUB_IMAGES_BOTH"):
                raise
            logger.info("{}: there is nothing for the mover to do, so the scaler runs alone", failure.message)
        return poll_loop.exit_status


def _environment_of_vault() -> dict[str, str]:
    """The environment for Vault, with WEBDAV_CACERT taking precedence over the CA bundles for all servers.

    niquests, which nc_py_api is built on, prefers those for all servers, so they are removed from the environment of
    this process; Vault keeps them.
    """
    if not os.environ.get("WEBDAV_CACERT"):
        return dict(os.environ)
    general = [os.environ.pop(name, "") for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")]
    cacert = os.environ.get("VAULT_CACERT") or os.environ.get("VAULT_CAPATH") or general[0] or general[1]
    return os.environ | {"VAULT_CACERT": cacert}
