"""`python -m tests.faults`: try every fault, and write docs/faults.md anew."""

import sys
from pathlib import Path

import pytest

from tests.faults.tally import tally

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "faults.md"
FILES = [
    *("test_requests.py", "test_weather.py", "test_late.py", "test_two.py"),
    *("test_killed.py", "test_signals.py", "test_movers.py"),
]

TEXT = """# What was made to go wrong

Between the daemons and real servers on loopback stood a proxy that spoils requests: a Nextcloud (the sandbox's, held to
recordings of a real one), Apache's mod_dav, and `rclone serve webdav`, which ignores `If-Match`. After every fault a
fresh daemon without faults finished what was left, and then all images were counted: every original had to be in its
folder, untouched, or to have exactly one whole copy of twice its size; nothing was to be left in the hidden folders but
uploads that nobody claims, and nothing around the folders was to be changed.

`python -m tests.faults` does it all again and writes this page. "Instead" means that the request did not reach the
server; "after", that it took effect there and its answer was replaced.

| Fault | Tries | Lost or duplicated |
|---|---:|---:|
{rows}

## What each kind of server guarantees

| Server | An original replaced while it is upscaled |
|---|---|
| Nextcloud, Apache mod_dav | Is refused by `If-Match`, and upscaled as it is now in the next poll |
| `rclone serve webdav` | `If-Match` is ignored: size and date are compared after the claim; what differs goes back |

On each of them one `MOVE` of an original wins, so two scalers do not publish it twice.

No client can close these gaps: a replacement of the same size and the same date, set by the client, keeps its ETag on
a Nextcloud; a server may leave a file out of a listing *and* say 404 of it; and where two scalers publish under one
name at the same moment on Apache, both may get a 201, since its `MOVE` with `Overwrite: F` is not atomic.
"""


def main() -> int:
    """Run the tests; the exit status."""
    status = pytest.main([*(str(HERE / name) for name in FILES), "-q"])
    lost = sum(tally.lost.values())
    rows = [f"| {fault} | {tries} | {tally.lost[fault]} |" for fault, tries in tally.tries.items()]
    rows.append(f"| **all** | **{sum(tally.tries.values())}** | **{lost}** |")
    PAGE.write_text(TEXT.format(rows="\n".join(rows)))
    sys.stdout.write(f"{PAGE} is written\n")
    return int(status) or bool(lost)


if __name__ == "__main__":
    sys.exit(main())
