"""The process that is measured: thousands of polls over a folder that changes, in a time that passes at once.

Gets the account's folder on disk and the number of polls; prints one line of JSON with a sample for each quarter.
"""

import gc
import json
import os
import sys
import tempfile
import threading
from pathlib import Path

from shared import logging as log
from tests.faults.long_story import FREQUENCY, Events, run_scaler
from tests.scaler.harness import RAW, UNSORTED, image


def sample() -> dict[str, int]:
    """What must not grow."""
    gc.collect()
    descriptors = [_target(file) for file in Path("/proc/self/fd").iterdir()]
    return {
        "objects": len(gc.get_objects()),
        "resident": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        "threads": threading.active_count(),
        "descriptors": len(descriptors),
        "sockets": sum(target.startswith("socket:") for target in descriptors),
        "temporary": sum(1 for _ in Path(tempfile.gettempdir()).rglob("*")),
    }


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


def events(files: Path, polls: int, samples: list[dict[str, int]]) -> Events:
    """One image every few polls; some are damaged, and later taken away; what was published is taken away too."""
    raw = files / RAW
    for number in range(1, polls + 1):
        if number % 10 == 0:
            # A rename, so that it is there whole; dated as if it had lain there for long.
            fresh = raw / "fresh"
            fresh.write_bytes(image(number % 7)[: -10 if number % 40 == 0 else None])
            os.utime(fresh, (number, number))
            fresh.rename(raw / f"Unknown {number}.png")
        if number % 100 == 5:
            for old in [*raw.glob("Unknown*.png"), *(files / UNSORTED).glob("*.png")]:
                old.unlink()
        if number % (polls // 4) == 0:
            samples.append(sample())
        yield FREQUENCY


def main() -> None:
    """Run, and print."""
    files, polls = Path(sys.argv[1]), int(sys.argv[2])
    log.set_up("scaler", "INFO", None)
    samples: list[dict[str, int]] = []
    run_scaler(events(files, polls, samples))
    sys.stdout.write(json.dumps(samples))


if __name__ == "__main__":
    main()
