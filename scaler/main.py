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

import contextlib
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shared.cli import Command, Options, Seconds, Size, common_options
from shared.start import importing

if TYPE_CHECKING:
    from scaler.dask_cluster import Cluster
    from scaler.memory_budget import Limits
    from shared.events.recorder import Recorder
    from shared.retry import RetryPolicy

# Images in flight on this machine at most.
MOST_THREADS = 10


@click.command(
    "scaler", cls=Command, context_settings={"auto_envvar_prefix": "SCALER", "help_option_names": ["-h", "--help"]}
)
@click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    default=MOST_THREADS,
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
    show_default=True,
    help="Encoding quality for JPEG and for lossy WebP and AVIF.",
)
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Upscale on the workers of a Dask cluster: tcp://HOST:PORT, tls://HOST:PORT, local or gateway[:NAME].",
)
@click.option(
    "--in-flight",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images in flight with --dask (default: twice the cluster's threads); without it the same as --threads.",
)
@click.option(
    "--dask-requests",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    metavar="N",
    help="With --dask: concurrent requests to the image server, from all workers and the daemon together.",
)
@click.option(
    "--dask-timeout",
    type=Seconds(min=1, max=86_400),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="With --dask: give up on an image that a worker has not finished in this time.",
)
@click.option(
    "--dask-fallback", is_flag=True, help="With --dask: upscale on this machine while the cluster is unavailable."
)
@click.option("--dask-insecure", is_flag=True, help="With --dask: let the password travel unencrypted.")
@click.option("--no-thumbnails", is_flag=True, help="Keep no thumbnails for the status page.")
@common_options
def main(
    options: Options, threads: int, max_memory: int | None, quality: int, *, no_thumbnails: bool, **cluster: Any
) -> None:
    """Upscale the raw images on a WebDAV server to twice their width and height.

    Settings come from Vault; see the README.
    """
    if cluster["dask"] == "local":
        from scaler.local_workers import prepare

        cluster["start_method"] = prepare()
    # Imported here so that --help is quick.
    with importing():
        from shared.app import run

    if not cluster["dask"] and cluster["in_flight"]:
        threads = cluster["in_flight"]
        if threads > MOST_THREADS:
            raise click.BadParameter(
                f"{threads} is more than {MOST_THREADS}, which needs --dask.", param_hint="--in-flight"
            )

    def start(retry: "RetryPolicy", recorder: "Recorder", state: Path) -> int:
        return work(
            options,
            retry,
            recorder,
            state / "scaler",
            threads=threads,
            max_memory=max_memory,
            quality=quality,
            cluster=cluster,
        )

    sys.exit(run("scaler", options, start, thumbnails=not no_thumbnails))


def work(
    options: Options,
    retry: "RetryPolicy",
    recorder: "Recorder | None",
    state: Path,
    *,
    threads: int,
    max_memory: int | None,
    quality: int,
    cluster: Mapping[str, Any] | None = None,
) -> int:
    """Poll until asked to stop; return the exit status.

    Args:
        state: folder for state that survives a restart.
    """
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
    with contextlib.ExitStack() as closing:
        workers = closing.enter_context(_cluster(cluster, bounds, max_memory, retry))
        if options.check:
            return check(vault, bounds, retry, state, workers)
        settings = SettingsSource(lambda: read_config(vault), retry.stop.clock)
        scaler = closing.enter_context(
            ScalerService(
                threads=threads,
                limits=bounds,
                quality=quality,
                state=state,
                retry=retry,
                recorder=recorder,
                cluster=workers,
            )
        )
        if options.dry_run:
            scaler.dry_run(settings.current())
            return 0
        poll_loop = PollLoop(retry.stop, options.frequency, once=options.once, recorder=recorder)
        for _ in poll_loop.polls():
            with poll_loop.poll():
                config = settings.current()
                retry.observer.token_expires(vault.token_expires_at)
                if poll_loop.auth_allowed(config.account):
                    poll_loop.record(scaler.poll(config, until_settled=options.once))
        return poll_loop.exit_status


def _cluster(
    options: Mapping[str, Any] | None, bounds: "Limits", max_memory: int | None, retry: "RetryPolicy"
) -> AbstractContextManager["Cluster | None"]:
    """The cluster for --dask; only then is distributed imported."""
    if not options or not options["dask"]:
        return contextlib.nullcontext()
    try:
        with importing():
            from scaler.dask_cluster import Cluster
            from scaler.dask_options import ClusterOptions
    except ImportError as error:
        from shared.errors import InvalidSettings

        raise InvalidSettings(
            f"--dask needs packages that are not installed ({error})",
            "Start with ./run.sh, which installs them, or install jupyterhub-images[dask].",
        ) from error
    return Cluster(ClusterOptions(**options, max_memory=max_memory), bounds, retry.stop)
