"""Show the daemons at work on this machine. Nothing needs to be configured, and nothing is left behind.

Images are put into the raw folder of a throwaway Nextcloud, the scaler upscales them, they are tagged as a person would
do it, and the mover files them. Both daemons run as processes with settings from a Vault, as they do in production.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from sandbox.contact_sheet import Pair, draw_contact_sheet, size_of
from sandbox.drawings import draw
from sandbox.nextcloud import Nextcloud
from sandbox.seed import ORGANIZED, RAW, UNSORTED, exports, seed
from sandbox.vault import Vault

TAGS = ("ai:landscapes", "ai:patterns")
# The scaler leaves an image that changed within the last seconds to settle.
A_WHILE = 60.0


@click.command(help=__doc__)
@click.argument("images", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--keep", is_flag=True, help="Leave the servers running afterwards, and print how to reach them.")
def main(images: tuple[Path, ...], keep: bool) -> None:
    """Run the demo with copies of `images`, or with drawn ones."""
    # Exit as on Ctrl-C, so that the servers are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(0))
    with Vault() as vault, Nextcloud() as nextcloud, tempfile.TemporaryDirectory() as state:
        seed(vault, nextcloud)
        originals = Path(state, "originals")
        _fill(nextcloud.folder / RAW, images, originals)
        environ = _environ(vault, Path(state))
        failed = _scale(nextcloud, environ, originals)
        failed = _file(nextcloud, environ) or failed
        _print_next_steps()
        if keep:
            _keep(vault, nextcloud)
    sys.exit(failed)


def _fill(raw: Path, images: tuple[Path, ...], originals: Path) -> None:
    """Put images whose names start with the prefix into the raw folder, and files that the scaler must leave alone."""
    originals.mkdir()
    if images:
        for image in images:
            shutil.copyfile(image, originals / f"Unknown-{image.name}")
    else:
        draw(originals)
    for file in originals.iterdir():
        shutil.copyfile(file, raw / file.name)
    shutil.copyfile(min(originals.iterdir()), raw / "Holiday.jpg")
    (raw / "Unknown notes.txt").write_text("Not an image.\n")
    for file in raw.iterdir():
        os.utime(file, (time.time() - A_WHILE, time.time() - A_WHILE))


def _environ(vault: Vault, state: Path) -> dict[str, str]:
    """The environment of the daemons: ours, without settings that name other servers."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VAULT_", "SCALER_", "MOVER_", "WEBDAV_"))
    }
    return environ | {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token, "XDG_STATE_HOME": str(state)}


def _scale(nextcloud: Nextcloud, environ: dict[str, str], originals: Path) -> int:
    click.secho("Before", bold=True)
    _show(nextcloud.folder, RAW, UNSORTED)
    status, seconds = _run("scaler", environ)
    click.secho(f"\nAfter {seconds:.1f} s", bold=True)
    _show(nextcloud.folder, RAW, UNSORTED)
    pairs = _pairs(originals, nextcloud.folder / UNSORTED)
    if pairs:
        click.echo(f"\nContact sheet, before and after: {draw_contact_sheet(pairs, Path.cwd() / 'before-after.png')}")
    return status


def _pairs(originals: Path, unsorted: Path) -> list[Pair]:
    pairs: list[Pair] = []
    for original in sorted(originals.iterdir()):
        # The time of upscaling stands between stem and extension.
        found = sorted(unsorted.glob(f"{_literal(original.stem)}_*Z*{_literal(original.suffix)}"))
        pairs.extend(Pair(original, upscaled) for upscaled in found[:1])
    return pairs


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "[*?" else char for char in name)


def _file(nextcloud: Nextcloud, environ: dict[str, str]) -> int:
    click.secho("\nTagged", bold=True)
    for tag in TAGS:
        nextcloud.create_tag(tag)
    for number, image in enumerate(sorted(file for file in (nextcloud.folder / UNSORTED).iterdir() if file.is_file())):
        tag = TAGS[number % len(TAGS)]
        nextcloud.tag(f"{UNSORTED}/{image.name}", tag)
        click.echo(f"  {image.name}  ←  {tag}")
    status, seconds = _run("mover", environ)
    click.secho(f"\nFiled after {seconds:.1f} s", bold=True)
    _show(nextcloud.folder, UNSORTED, *(f"{ORGANIZED}/{tag.partition(':')[2]}" for tag in TAGS))
    return status


def _run(daemon: str, environ: dict[str, str]) -> tuple[int, float]:
    """One poll of a daemon; its exit status and the seconds it took."""
    click.secho(f"\n$ {daemon} --once", bold=True)
    started = time.monotonic()
    command = [sys.executable, "-c", f"from {daemon}.main import main; main()", "--once"]
    status = subprocess.run(command, env=environ, check=False).returncode  # noqa: S603 -- our own program
    return status, time.monotonic() - started


def _show(top: Path, *folders: str) -> None:
    for folder in folders:
        click.echo(f"  {folder}/")
        files = sorted(file for file in (top / folder).glob("*") if file.is_file())
        for file in files:
            size = size_of(file)
            pixels = f"{size[0]} x {size[1]}" if size else "-"
            click.echo(f"    {file.name: <52} {pixels: >13} {file.stat().st_size: >12,} bytes")
        if not files:
            click.echo("    (empty)")


def _print_next_steps() -> None:
    click.secho("\nOn your own server", bold=True)
    click.echo(
        "  1. Write your settings into your Vault (settings.json: see the top of scaler/main.py):\n"
        "       export VAULT_ADDR=https://vault.example.com:8200 VAULT_TOKEN=...\n"
        "       ./run.sh settings settings.json\n"
        "  2. Check that everything can be reached:  ./run.sh scaler --check;  ./run.sh mover --check\n"
        "  3. Start both:  ./run.sh"
    )


def _keep(vault: Vault, nextcloud: Nextcloud) -> None:
    click.secho("\nThe servers run until Ctrl-C", bold=True)
    click.echo(exports(vault, nextcloud))
    try:
        signal.pause()
    except KeyboardInterrupt:
        click.echo("Stopped. Everything was removed.")


if __name__ == "__main__":
    main()
