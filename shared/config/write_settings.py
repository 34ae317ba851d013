"""`./run.sh settings`: ask for the settings, or read them from a file, and write them into Vault."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import click

from shared import logging as log
from shared import redaction
from shared.cli import command_line
from shared.config.secrets import KINDS
from shared.config.source import SecretStore, names_vault, open_vault
from shared.config.validation import problems_of
from shared.config.vault import has_token_file
from shared.errors import Failure, VaultForbidden
from shared.private_vault.command import make
from shared.private_vault.layout import Layout


@click.command("settings")
@click.argument("file", type=click.File(encoding="utf-8"), required=False)
@click.option("--show", is_flag=True, help="Print the settings in Vault, with the password hidden.")
def main(file: TextIO | None, show: bool) -> None:
    """Write the settings that the daemons read into Vault.

    Without FILE it asks for them and tests each answer on the server. FILE is JSON with the secrets by name (webdav,
    scaler_constants, mover_constants); nothing is written unless all of it is valid.
    """
    log.set_up("settings", "WARNING", None)
    try:
        if show:
            _show(open_vault(os.environ))
            return
        given = _read(file) if file else None
        store = _open()
        _write(store, _ask(store) if given is None else given)
    except click.Abort:
        raise click.ClickException("Stopped: no settings were written.") from None
    except Failure as failure:
        log.show(str(failure), err=True)
        sys.exit(2)


def _read(file: TextIO) -> dict[str, Any]:
    """The secrets in a file.

    Raises:
        ClickException: it names everything that is wrong.
    """
    name = Path(file.name).name
    try:
        found = json.load(file)
    except ValueError as error:
        raise click.ClickException(f"{name} is not JSON: {error}") from None
    if problems := problems_of(found):
        message = "\n  ".join([f"{name} is invalid; nothing was written:", *problems])
        raise click.ClickException(redaction.safe(message))
    return dict(found)


def _open() -> SecretStore:
    """The Vault of the environment, or the private one, which is offered if there is none."""
    layout = Layout.of(os.environ)
    if not names_vault(os.environ) and not layout.exists:
        log.show(
            "The settings are kept in a Vault, and VAULT_ADDR names none. If you have one, stop here and set VAULT_ADDR"
            " and a login."
        )
        if click.confirm(f"Create a private one in {layout.folder}?", default=True):
            _make_private(layout)
        elif not has_token_file(os.environ):
            raise VaultForbidden("No Vault is set", "Set VAULT_ADDR and a login, or create a private Vault.")
    return open_vault(os.environ, as_root=True)


def _make_private(layout: Layout) -> None:
    from shared.private_vault.server import ServerError  # noqa: PLC0415 - most people have a Vault

    try:
        make(layout)
    except (ServerError, OSError) as error:
        raise VaultForbidden(str(error)) from error


def _ask(store: SecretStore) -> dict[str, Any]:
    from shared.config.ask import ask  # noqa: PLC0415 - a file needs no WebDAV client

    current: dict[str, Mapping[str, Any]] = {}
    for name in KINDS:
        try:
            current[name] = store.read(name) or {}
        except VaultForbidden:
            # It may only be written.
            continue
    answers = ask(current)
    click.echo()
    return answers


def _write(store: SecretStore, secrets: Mapping[str, Mapping[str, Any]]) -> None:
    for name, values in secrets.items():
        store.write(name, values)
        log.show(f"{store.path(name)}: {', '.join(values)}")
    log.show(f"Written to {store.where}. Test it with {command_line('scaler')} --check")


def _show(store: SecretStore) -> None:
    log.show(f"From {store.where}")
    for name, kind in KINDS.items():
        values = store.read(name)
        log.show(f"{store.path(name)}{'' if values else ' is missing'}")
        for key in kind.model_fields:
            if values and key in values:
                shown = redaction.HIDDEN if key == "password" else json.dumps(values[key], ensure_ascii=False)
                log.show(f"  {key: <20} {shown}")
