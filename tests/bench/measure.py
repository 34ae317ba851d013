"""Run a command as a whole process and ask the operating system what it took.

python measure.py SECONDS OUTPUT COMMAND…  (prints three numbers: wall and processor time in seconds, peak in bytes)
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 400.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and those it started took.

    Attributes:
        wall, cpu: seconds.
        peak: bytes that the largest of the processes held at one time.
    """

    wall: float
    cpu: float
    peak: int


class Failed(Exception):
    """A command ended with another status than 0."""


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Usage:
    """Run a command to its end in a folder; what it prints goes to the file `output` there.

    Raises:
        Failed: with the end of what it printed.
    """
    output = folder / "output"
    # A process counts what its parent held when it was started as its own: so the parent is a bare interpreter.
    parent = [sys.executable, "-I", "-S", __file__, str(TIMEOUT), str(output), *command]
    done = subprocess.run(parent, cwd=folder, env=dict(environment), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}: {output.read_text(errors='replace')[-2000:]}")
    wall, cpu, peak = done.stdout.split()
    return Usage(float(wall), float(cpu), int(peak))


def _main(timeout: float, output: Path, *command: str) -> int:
    with output.open("wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        killer = threading.Timer(timeout, process.kill)
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        killer.cancel()
    print(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)  # noqa: T201 - read by its caller
    return 1 if status else 0


def cpu_of(pid: int) -> float:
    """Seconds of processor time that a running process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(_main(float(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
