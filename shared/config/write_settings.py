"""Write the secrets that the daemons read into Vault, from one JSON file.

`./run.sh settings FILE.json` writes each top-level key of the file (`webdav`, `scaler_constants`, `mover_constants`)
as one secret, with the mount, prefix and login that the daemons use.
"""

import json
import os
import sys
from pathlib import Path
from typing import TextIO

import click

from shared.config.vault import Vault
from shared.errors import Failure
from shared.logging import redact


@click.command(help=__doc__)
@click.argument("file", type=click.File(encoding="utf-8"))
def main(file: TextIO) -> None:
    """Write the secrets, and print where each was written."""
    try:
        secrets = json.load(file)
    except ValueError as error:
        raise click.ClickException(f"{Path(file.name).name} is not JSON: {error}") from None
    if not isinstance(secrets, dict) or not all(isinstance(values, dict) for values in secrets.values()):
        raise click.ClickException(
            'The file must contain secrets by name: {"webdav": {...}, "scaler_constants": {...}}'
        )
    try:
        vault = Vault(os.environ)
        for name, values in secrets.items():
            vault.write(name, values)
            click.echo(f"{vault.path(name)}: {', '.join(values)}")
    except Failure as failure:
        click.echo(redact(str(failure)), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
