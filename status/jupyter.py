"""The tile in the JupyterLab launcher, by jupyter-server-proxy.

Its settings are read from `jupyter_server_config.json` in Jupyter's own folder; `jupyter_server_config.d` is not read
for them. Administrators who build images can install the package next to jupyter-server-proxy instead: `server` is its
entry point `jupyter_serverproxy_servers`.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from shared.cli import Command

NAME = "jupyterhub-images"
_ARGUMENTS = ("status", "--web", "--socket", "{unix_socket}")
# Set in a terminal, they may be unknown to the Jupyter server.
_FOLDERS = ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
_ROOT = Path(__file__).parent.parent


class CannotInstall(Exception):
    """The tile cannot be added to the launcher; the text says why and what to do."""


def server() -> dict[str, Any]:
    """Tell jupyter-server-proxy to start the page on its own socket, and to show a tile."""
    run_sh = _ROOT / "run.sh"
    program = [str(run_sh)] if run_sh.is_file() else [sys.executable, "-m", "shared.commands"]
    return {
        # Braces are placeholders.
        "command": [*(part.replace("{", "{{").replace("}", "}}") for part in program), *_ARGUMENTS],
        "unix_socket": True,
        "environment": {name: os.environ[name] for name in _FOLDERS if name in os.environ},
        # The first start may have to install what the page needs.
        "timeout": 120,
        "launcher_entry": {"title": "Images", "icon_path": str(Path(__file__).parent / "static" / "icon.svg")},
    }


def install_tile() -> str:
    """Add the tile to the launcher; return what to do next.

    Raises:
        CannotInstall: Jupyter's settings cannot be read or written, or jupyter-server-proxy is missing.
    """
    config = _read()
    _servers(config)[NAME] = server()
    _write(config)
    if not _has_proxy():
        raise CannotInstall(
            f"The tile is in {_file()}, but this Jupyter server has no jupyter-server-proxy, which would show it."
            " Ask the hub's administrator to install jupyter-server-proxy into the image"
            " (pip install jupyter-server-proxy), then restart your server. Until then: ./run.sh status"
        )
    return (
        f"The tile is in {_file()}. Restart your Jupyter server (File > Hub Control Panel > Stop My Server, then start"
        " it again); the launcher then shows Images. ./run.sh jupyter --remove takes it out again."
    )


def remove_tile() -> str:
    """Remove the tile, and what was added around it; return a sentence.

    Raises:
        CannotInstall: Jupyter's settings cannot be read or written.
    """
    config = _read()
    if NAME not in _servers(config):
        return f"There is no tile in {_file()}"
    del config["ServerProxy"]["servers"][NAME]
    if not config["ServerProxy"]["servers"]:
        del config["ServerProxy"]["servers"]
    if not config["ServerProxy"]:
        del config["ServerProxy"]
    if config:
        _write(config)
    else:
        _file().unlink()
    return f"The tile was removed from {_file()}; it is gone after the next restart of your Jupyter server"


def _file() -> Path:
    folder = os.environ.get("JUPYTER_CONFIG_DIR") or Path.home() / ".jupyter"
    return Path(folder) / "jupyter_server_config.json"


def _read() -> dict[str, Any]:
    try:
        config = json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CannotInstall(f"{_file()} cannot be read ({error}). Correct it, then run this again.") from error
    if not isinstance(config, dict):
        raise CannotInstall(f"{_file()} is not a JSON object. Correct it, then run this again.")
    return config


def _servers(config: dict[str, Any]) -> dict[str, Any]:
    """The servers that are already configured; an empty table is added if there is none."""
    place: dict[str, Any] = config
    for key in ("ServerProxy", "servers"):
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise CannotInstall(f"{key} in {_file()} is not a JSON object. Correct it, then run this again.")
    return place


def _write(config: dict[str, Any]) -> None:
    # If the file is a symbolic link, its target is replaced, and the link stays.
    file = _file().resolve()
    fresh = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if file.exists():
            shutil.copymode(file, fresh)
        fresh.replace(file)
    except OSError as error:
        raise CannotInstall(f"{_file()} cannot be written ({error.strerror}). Make it writable first.") from error


def _has_proxy() -> bool:
    """Whether the Python that Jupyter runs on has jupyter-server-proxy."""
    program = shutil.which("jupyter-server") or shutil.which("jupyter-lab") or shutil.which("jupyter")
    if program is None:
        return False
    with Path(program).open("rb") as opened:
        shebang = opened.readline(4096).decode(errors="replace")
    python = shebang.removeprefix("#!").strip() if shebang.startswith("#!") else ""
    if not Path(python).is_file():
        return importlib.util.find_spec("jupyter_server_proxy") is not None
    found = subprocess.run([python, "-c", "import jupyter_server_proxy"], capture_output=True, check=False)  # noqa: S603 - Jupyter's
    return found.returncode == 0


@click.command("jupyter", cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--remove", is_flag=True, help="Remove the tile from the launcher.")
def main(*, remove: bool) -> None:
    """Add a tile for the status page to the JupyterLab launcher."""
    try:
        click.echo(remove_tile() if remove else install_tile())
    except CannotInstall as error:
        click.echo(str(error), err=True)
        sys.exit(2)
