"""Whether the everyday path became slower: processor time of this checkout against another's, in one run.

python -m tests.bench.everyday CHECKOUT [FUNCTION]

150 JPEG images of 2000 x 1500 pixels are upscaled, bytes to bytes, by each checkout in turn, ten times, each in a new
process of this interpreter. FUNCTION is what upscales in the other checkout (`scaler.images.codecs:upscale`).
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import click

from tests.bench import images

COUNT, WIDTH, HEIGHT, ROUNDS = 150, 2000, 1500, 10
_OURS, _FUNCTION = Path(__file__).parents[2], "scaler.images.codecs:upscale"
_WORK = """
import sys, time
from importlib import import_module
from pathlib import Path
module, name = sys.argv[2].split(":")
upscale = getattr(import_module(module), name)
files = [path.read_bytes() for path in sorted(Path(sys.argv[1]).iterdir())]
upscale(files[0])
start = time.process_time()
for data in files:
    upscale(data)
print(time.process_time() - start)
"""


def _seconds(checkout: Path, function: str, folder: Path) -> float:
    environment = os.environ | {"PYTHONPATH": str(checkout), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", _WORK, str(folder), function]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main(other: Path, function: str = _FUNCTION) -> None:
    """Print each round, then the medians and their ratio."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        images.draw(folder, COUNT, WIDTH, HEIGHT)
        for number in range(ROUNDS):
            ours.append(_seconds(_OURS, _FUNCTION, folder))
            theirs.append(_seconds(other, function, folder))
            click.echo(f"{number + 1:2}  this {ours[-1]:.2f} s  other {theirs[-1]:.2f} s")
    ratio = median(ours) / median(theirs)
    click.echo(f"median  this {median(ours):.2f} s  other {median(theirs):.2f} s  ratio {ratio:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:3])
