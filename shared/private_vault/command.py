"""`./run.sh vault`: create, inspect, stop and remove the private Vault."""

import os
import sys

import click

from shared.cli import command_line
from shared.config.source import NAMING
from shared.logging import show
from shared.private_vault.layout import Layout, lock, try_lock


@click.command("vault")
@click.option("--status", "action", flag_value="status", help="Show whether there is one, and whether it is running.")
@click.option("--stop", "action", flag_value="stop", help="Stop its server.")
@click.option("--remove", "action", flag_value="remove", help="Remove it and the settings in it, after asking.")
@click.option("--make", "action", flag_value="make", default=True, hidden=True)
def main(action: str) -> None:
    """Create a private Vault in your home directory if you have none.

    It keeps the settings. The scaler and the mover start and stop it, unless the environment names another Vault or
    a login. It is as safe as your account's own files, and no safer.
    """
    from shared.private_vault.server import ServerError  # noqa: PLC0415 - usage errors need no client

    layout = Layout.of(os.environ)
    try:
        {"make": _make, "status": _status, "stop": _stop, "remove": _remove}[action](layout)
    except (ServerError, OSError) as error:
        show(f"{error}.", err=True)
        sys.exit(2)


def make(layout: Layout) -> None:
    """Create one, and say where and how safe it is.

    Raises:
        ServerError: it cannot be created.
    """
    from shared.private_vault.creation import create  # noqa: PLC0415 - only this needs the optional packages

    click.echo("Creating a private Vault …")
    if create(layout):
        show(
            f"Created in {layout.folder}. It is as safe as your account's own files, and no safer: its unseal key"
            " and its root token are stored next to its data, readable by you alone. Anyone who can read your files can"
            " read your settings."
        )


def _make(layout: Layout) -> None:
    if layout.exists:
        show(f"There is a private Vault in {layout.folder}.")
    else:
        make(layout)
    _say_if_unused()
    show(f"Write your settings into it with {command_line('settings')}; the daemons start and stop it.")


def _status(layout: Layout) -> None:
    from shared.private_vault.server import answers, installed_version  # noqa: PLC0415 - usage errors need no client

    if not layout.exists:
        show(f"There is no private Vault. Create one with {command_line('vault')}.")
        return
    show(f"Private Vault in {layout.folder}, OpenBao {layout.holds('version')}")
    if answers(layout):
        show(f"Running at {layout.holds('address')}; it stops with the last process that uses it")
    else:
        click.echo("Not running; it starts with the daemons")
    if layout.holds("version") != (installed := installed_version()):
        show(f"The next start upgrades it to OpenBao {installed}, after a copy of its data")
    for snapshot in sorted(layout.snapshots.glob("*")):
        show(f"Copy from before an upgrade: {snapshot}")
    _say_if_unused()


def _stop(layout: Layout) -> None:
    from shared.private_vault.supervisor import stop  # noqa: PLC0415 - usage errors need no client

    if not layout.exists or not stop(layout):
        click.echo("It is not running.")
    elif _is_used(layout):
        click.echo("Stopped. A daemon uses it, and starts it again when it needs it.")
    else:
        click.echo("Stopped.")


def _remove(layout: Layout) -> None:
    from shared.private_vault.creation import remove  # noqa: PLC0415 - usage errors need no client
    from shared.private_vault.server import ServerError  # noqa: PLC0415 - the same
    from shared.private_vault.supervisor import stop  # noqa: PLC0415 - the same

    if not layout.folder.exists():
        click.echo("There is no private Vault.")
        return
    click.confirm(f"Remove {layout.folder} and the settings in it, for good?", abort=True)
    # While the last user's server stops, nobody uses it any more.
    lock(layout.use_lock, shared=True).close()
    unused = try_lock(layout.use_lock)
    if unused is None:
        raise ServerError("It is in use: stop the scaler and the mover first")
    with unused:
        stop(layout)
        remove(layout)
    click.echo("Removed.")


def _is_used(layout: Layout) -> bool:
    unused = try_lock(layout.use_lock)
    if unused is not None:
        unused.close()
    return unused is None


def _say_if_unused() -> None:
    """Warn that the environment has precedence."""
    if names := [name for name in NAMING if os.environ.get(name)]:
        show(f"It is not used here, since the environment sets {' and '.join(names)}.")
