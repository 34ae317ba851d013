"""Run a command as a whole process and ask the operating system what it took."""

import os
import subprocess
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

    The peak is never below what this process itself holds, so nothing large is imported here.

    Raises:
        Failed: with the end of what it printed.
    """
    output = folder / "output"
    with output.open("wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=file, stderr=subprocess.STDOUT)
        killer = threading.Timer(TIMEOUT, process.kill)
        killer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            killer.cancel()
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{command[0]} ended with {process.returncode}: {output.read_text(errors='replace')[-2000:]}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def cpu_of(pid: int) -> float:
    """Seconds of processor time that a running process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
