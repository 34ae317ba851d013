"""`jupyterhub-images`: the commands other than the daemons. `./run.sh` passes them on here."""

import importlib
import os
from typing import Any, override

import click

_MODULES = {
    "settings": "shared.config.write_settings",
    "vault": "shared.private_vault.command",
    "status": "status.main",
    "jupyter": "status.jupyter",
}
"""Where the `main` of each command is; they are imported when they are called."""


class _Commands(click.Group):
    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        command: click.Command = importlib.import_module(_MODULES[cmd_name]).main
        return command

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            # Packages that only some commands need are not dependencies of the wheel.
            raise click.ClickException(
                f"{error.name} is not installed. Start with ./run.sh, which installs what is missing, or run"
                f" pipx inject jupyterhub-images {error.name}"
            ) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="jupyterhub-images")
def commands() -> None:
    """Manage the settings of the scaler and the mover, and show what they did."""


def main() -> None:
    """Run a command."""
    commands.main(prog_name="./run.sh" if os.environ.get("RUN_SH") else "jupyterhub-images")


if __name__ == "__main__":
    main()
