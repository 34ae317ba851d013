"""Show the daemons at work on this machine. Nothing needs to be configured, and nothing is left behind.

Images are put into the raw folder of a throwaway Nextcloud, the scaler upscales them, they are tagged as a person would
do it, and the mover files them. Both daemons run as processes with settings from a Vault, as they do in production.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from sandbox.contact_sheet import Pair, draw_contact_sheet, size_of
from sandbox.drawings import draw, draw_other
from sandbox.nextcloud import Nextcloud
from sandbox.seed import ORGANIZED, RAW, UNSORTED, exports, seed
from sandbox.vault import Vault
from shared.cli import Command
from shared.filenames import IMAGES, READABLE, numbered, split

TAGS = ("ai:landscapes", "ai:patterns")
# The scaler leaves an image that changed within the last seconds to settle.
A_WHILE = 60.0


@click.command("demo", cls=Command, help=__doc__)
@click.argument("images", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--keep", is_flag=True, help="Leave the servers running afterwards, and print how to reach them.")
def main(images: tuple[Path, ...], keep: bool) -> None:
    """Run the demo with copies of `images`, or with drawn ones."""
    files = _files(images)
    # Exit as on Ctrl-C, so that the servers are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(0))
    with Vault() as vault, Nextcloud() as nextcloud, tempfile.TemporaryDirectory() as state:
        originals = Path(state, "originals")
        originals.mkdir()
        if files:
            _copy(files, originals)
        else:
            draw(originals)
        # The user's own images keep their names.
        seed(vault, nextcloud, prefixes=[file.name for file in originals.iterdir()] if files else ["Unknown"])
        _fill(nextcloud.folder / RAW, originals)
        environ = _environ(vault, Path(state))
        failed = _scale(nextcloud, environ, originals)
        failed = _file(nextcloud, environ) or failed
        _print_next_steps()
        if keep:
            _keep(vault, nextcloud)
    sys.exit(failed)


def _files(images: Sequence[Path]) -> list[Path]:
    """The images themselves, and those in the folders among them."""
    files: list[Path] = []
    for image in images:
        inside = sorted(file for file in image.glob("*") if file.suffix.lower() in IMAGES and file.is_file())
        if image.is_dir() and not inside:
            raise click.BadParameter(f"there are no images in the folder {image}", param_hint="IMAGES")
        files += inside or [image]
    return files


def _copy(files: Sequence[Path], originals: Path) -> None:
    """Copy images under their own names; of two with one name the second gets a number."""
    for file in files:
        names = (numbered(file.name, number) for number in itertools.count(1))
        shutil.copyfile(file, next(originals / name for name in names if not (originals / name).exists()))


def _fill(raw: Path, originals: Path) -> None:
    """Put the images into the raw folder, and files that the scaler must leave alone."""
    draw_other(raw / "Holiday.jpg")
    (raw / "Unknown notes.txt").write_text("Not an image.\n")
    for file in originals.iterdir():
        shutil.copyfile(file, raw / file.name)
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
    for original in sorted({*originals.iterdir()} - {pair.before for pair in pairs}):
        why = "" if original.suffix.lower() in READABLE else ": this format is not read"
        click.echo(f"  Not upscaled: {original.name}{why}")
    if pairs:
        _draw_sheet(pairs)
    return status


def _draw_sheet(pairs: list[Pair]) -> None:
    target = Path.cwd() / "before-after.png"
    try:
        if draw_contact_sheet(pairs, target):
            click.echo(f"\nContact sheet, before and after: {target}")
    except OSError as error:
        click.echo(f"\nThe contact sheet cannot be written to {target} ({error.strerror}).")


def _pairs(originals: Path, unsorted: Path) -> list[Pair]:
    """The originals that were upscaled; the time of upscaling is between stem and extension."""
    pairs: list[Pair] = []
    for original in sorted(originals.iterdir()):
        stem, extension = map(re.escape, split(original.name))
        name = re.compile(rf"{stem}_\d{{8}}T\d{{6}}Z(-\d+)?{extension}")
        pairs.extend(Pair(original, file) for file in unsorted.iterdir() if name.fullmatch(file.name))
    return pairs


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
        "  1. Enter your settings:  ./run.sh settings\n"
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
