"""`./run.sh status`."""

import contextlib
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import NoReturn

import click

from shared.cli import Command, state_folder


@click.command("status", cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--web", is_flag=True, help="Serve the report as a page until Ctrl-C.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on loopback for --web (default: one that is free)."
)
@click.option(
    "--socket",
    "socket_file",
    type=click.Path(path_type=Path),
    help="Serve the page on this Unix socket instead, for a proxy of the same user.",
)
def main(*, as_json: bool, web: bool, port: int, socket_file: Path | None) -> None:
    """Show what the daemons did and are doing: in the terminal, or as a page."""
    state = state_folder("")
    if web or socket_file:
        _serve(state, port, socket_file)
        return
    from status.summary import load
    from status.terminal import report

    summary = load(state)
    if as_json:
        click.echo(summary.model_dump_json(indent=2))
    else:
        report(summary)


def fail(message: str) -> NoReturn:
    """Print a message and exit with status 2."""
    click.echo(message, err=True)
    sys.exit(2)


def _serve(state: Path, port: int, socket_file: Path | None) -> None:
    try:
        import uvicorn

        from status.web import application
    except ImportError as error:
        fail(f"The page needs {error.name}. Start it with ./run.sh status --web, which installs what is missing.")
    token = None if socket_file else secrets.token_hex(24)
    try:
        listening = _unix_socket(socket_file) if socket_file else socket.create_server(("127.0.0.1", port))
    except OSError as error:
        fail(f"The page cannot be served on {socket_file or f'port {port}'} ({error.strerror}). Choose another one.")
    if token:
        click.echo(f"Open http://127.0.0.1:{listening.getsockname()[1]}/?token={token}\nCtrl-C ends it.")
    config = uvicorn.Config(
        application(state, token),
        log_level="warning",
        # Requests carry cookies and tokens.
        access_log=False,
        lifespan="off",
        # Open pages keep a connection.
        timeout_graceful_shutdown=1,
    )
    # uvicorn passes the signal on once it has ended.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _unix_socket(file: Path) -> socket.socket:
    """Listen on a Unix socket that only this user can connect to; a stale one is replaced."""
    if file.is_socket():
        file.unlink()
    listening = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listening.bind(str(file))
    finally:
        os.umask(before)
    listening.listen()
    return listening
