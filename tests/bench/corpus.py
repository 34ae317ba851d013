"""What becomes of every kind of image: upscaled right, skipped and why, or wrong.

python -m tests.bench.corpus [FORMAT]...     the kinds of `tests.bench.kinds`, all or of these formats
python -m tests.bench.corpus FOLDER...       the images in these folders
python -m tests.bench.corpus --write FOLDER  writes the kinds as files

`tests.bench.judge` says what is right. Exits with 1 if any is wrong.
"""

import multiprocessing
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from scaler.images.codecs import upscale
from scaler.images.probe import UnsupportedImage, memory_needed, read_header
from shared.filenames import READABLE
from tests.bench import judge, kinds
from tests.bench.kinds import Kind

_MEMORY, _PIXELS = 6 << 30, 2_000_000
_UNJUDGED = "upscaled, and no other library reads the original"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    name: str
    kind: str
    outcome: str
    detail: str = ""


def examine(kind: Kind) -> Outcome:
    """Upscale one file and judge the result."""
    name, format_ = kind.name, kind.format
    try:
        header = read_header(kind.data)
        format_ = header.format
        if memory_needed(header) + len(kind.data) > _MEMORY // 4 or header.width * header.height > _PIXELS:
            return Outcome(name, format_, "skipped", "it is too large for this run")
        result = upscale(kind.data)
    except UnsupportedImage as skipped:
        return Outcome(name, format_, "skipped", skipped.reason)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return Outcome(name, format_, "wrong", f"{type(error).__name__}: {error}")
    fault = judge.fault(kind.data, result, header, kind.truth)
    if fault is None:
        return Outcome(name, format_, _UNJUDGED)
    return Outcome(name, format_, "wrong" if fault else "right", fault)


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _in_folders(folders: list[Path]) -> Iterator[Kind]:
    paths = (path for folder in folders for path in sorted(folder.rglob("*")))
    for path in paths:
        if path.suffix.lower() in READABLE and path.is_file():
            yield Kind("none", str(path), path.read_bytes())


def _write(folder: Path) -> None:
    for kind in kinds.every():
        path = folder / kind.format / (kind.name.replace("/", "-") + "." + kinds.FORMATS[kind.format])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kind.data)


def main(arguments: list[str]) -> int:
    """Print the outcome by kind, then all that are wrong."""
    if arguments[:1] == ["--write"]:
        _write(Path(arguments[1]))
        return 0
    if set(arguments) <= kinds.FORMATS.keys():
        files = kinds.every(*arguments)
    else:
        files = _in_folders([Path(argument) for argument in arguments])
    counts: Counter[tuple[str, str, str]] = Counter()
    wrong = []
    with multiprocessing.get_context("spawn").Pool(2, _limited, maxtasksperchild=50) as pool:
        for outcome in pool.imap_unordered(examine, files):
            counts[outcome.kind, outcome.outcome, outcome.detail if outcome.outcome == "skipped" else ""] += 1
            wrong += [outcome] if outcome.outcome == "wrong" else []
    with suppress(BrokenPipeError):
        for (kind, what, reason), count in sorted(counts.items()):
            click.echo(f"{kind:10} {count:6} {what}{': ' if reason else ''}{reason}")
        for outcome in wrong:
            click.echo(f"WRONG {outcome.kind} {outcome.name}: {outcome.detail}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
