"""`python -m tests.faults`: try every fault, and write docs/faults.md."""

import hashlib
import sys
from pathlib import Path

import pytest

from tests.faults.tally import tally

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "faults.md"
FILES = [
    *("test_requests.py", "test_chaos.py", "test_late.py", "test_two.py"),
    *("test_killed.py", "test_signals.py", "test_movers.py"),
]
SOURCES = ("scaler", "mover", "shared", "sandbox")

TEXT = """# Fault injection

A proxy between the daemons and real servers on loopback injected faults into requests. The scaler replaced files in
place on a Nextcloud (the sandbox's, compared with recordings of a real one), and published copies by claims on a
Nextcloud without versions, on Apache's mod_dav, and on `rclone serve webdav`, which ignores `If-Match`. After every
fault a fresh daemon without faults finished the remaining work, and then all images were counted: every original had
to be in its folder, untouched, or to have exactly one complete copy of twice its size, and not of four times. In
place, the original had to be a version of that file, and only an empty throwaway file of a killed scaler was allowed
in the raw folder. By claims, only uploads without a claim were allowed in the hidden folders. Nothing around the
folders was allowed to change.

`python -m tests.faults` repeats all of it and writes this page. "Instead" means that the request did not reach the
server; "after", that it took effect there and its answer was replaced.

These are the results for the sources of {sources} with the SHA-256 `{digest}`.

| Fault | Tries | Lost, duplicated or upscaled twice |
|---|---:|---:|
{rows}

## What each kind of server guarantees

| Server | An original replaced while it is upscaled |
|---|---|
| Nextcloud, in place | `If` rejects the replacement, and the next poll upscales what is there now |
| By claims: Nextcloud, Apache mod_dav | `If-Match` rejects the claim, and the next poll upscales what is there now |
| By claims: `rclone serve webdav` | `If-Match` is ignored: size and date are compared after the claim |

By claims, only one `MOVE` of an original succeeds on each of them, so two scalers do not publish it twice. In place
there is one file, which two scalers can replace at the same moment but not duplicate: the marker shows both that it is
upscaled.

No client can close these gaps: a replacement of the same size and the same date, set by the client, keeps its ETag on
a Nextcloud; a server may leave a file out of a listing *and* answer 404 for it; and where two scalers publish under one
name at the same moment on Apache, both may get a 201, since its `MOVE` with `Overwrite: F` is not atomic.
"""


def digest() -> str:
    """The SHA-256 of all sources that were tried: of each file's path and content, in the order of the paths."""
    found = hashlib.sha256()
    for file in sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")):
        found.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    return found.hexdigest()


def main() -> int:
    """Run the tests; the exit status."""
    sources = digest()
    status = pytest.main([*(str(HERE / name) for name in FILES), "-q", "-n", "0"])
    lost = sum(tally.lost.values())
    rows = [f"| {fault} | {tries} | {tally.lost[fault]} |" for fault, tries in tally.tries.items()]
    rows.append(f"| **all** | **{sum(tally.tries.values())}** | **{lost}** |")
    names = ", ".join(f"`{name}/`" for name in SOURCES)
    PAGE.write_text(TEXT.format(rows="\n".join(rows), sources=names, digest=sources))
    sys.stdout.write(f"{PAGE} is written\n")
    return int(status) or bool(lost)


if __name__ == "__main__":
    sys.exit(main())
