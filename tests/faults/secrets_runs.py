"""Runs of both daemons as real processes, and everything that they leave to be read."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).parents[2]
SECONDS_TO_END = 90.0


def spellings(secret: str) -> set[bytes]:
    """All the ways in which a secret may be written down."""
    quoted = {urllib.parse.quote(secret, safe=safe) for safe in ("", "/", "/ ", '/ "', "/+")}
    quoted |= {urllib.parse.quote_plus(secret)}
    texts = {secret, *quoted, *(_lower(text) for text in quoted), repr(secret)[1:-1], json.dumps(secret)[1:-1]}
    texts |= {ascii(secret)[1:-1], repr(secret.encode())[2:-1], secret.replace('"', "&quot;")}
    plain = {text.encode() for text in texts}
    return plain | {base64.b64encode(text) for text in plain} | {base64.urlsafe_b64encode(text) for text in plain}


def _lower(text: str) -> str:
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


@dataclass
class Run:
    """One start of a daemon.

    Attributes:
        says: what it is to say, so that it is known that what the run is about did happen.
        before: Python to be run in the process first.
        lasts: whether it goes on until it is told to stop, once it has said that.
    """

    daemon: str
    says: str
    environment: Mapping[str, str]
    arguments: Sequence[str] = ("--once",)
    before: str = ""
    lasts: bool = False
    output: bytes = field(default=b"", init=False)
    status: int | None = field(default=None, init=False)

    def go(self, folder: Path) -> None:
        """Run it to its end, with all that it writes below a folder."""
        for inner in ("home", "temporary"):
            (folder / inner).mkdir(parents=True)
        with (folder / "output").open("wb") as output:
            process = self._start(folder, output)
        try:
            if self.lasts:
                self._watch(process, folder)
                process.send_signal(signal.SIGTERM)
            self.status = process.wait(SECONDS_TO_END)
        finally:
            process.kill()
            process.wait()
        self.output = (folder / "output").read_bytes()

    def _start(self, folder: Path, output: BinaryIO) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore", "-c", f"{self.before}\nfrom {self.daemon}.main import main\nmain()"),
                *("--log-level", "TRACE", "--log-file", str(folder / "log.jsonl"), *self.arguments),
            ],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "LC_ALL": "C.UTF-8",
                "HOME": str(folder / "home"),
                "TMPDIR": str(folder / "temporary"),
                **self.environment,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def _watch(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        """Keep a copy of what is only there while it runs."""
        deadline = time.monotonic() + SECONDS_TO_END
        seen: set[str] = set()
        while self.says.encode() not in (folder / "output").read_bytes():
            assert process.poll() is None, (folder / "output").read_text()
            assert time.monotonic() < deadline
            for file in (folder / "temporary").rglob("*"):
                if file.is_file() and str(file) not in seen:
                    seen.add(str(file))
                    (folder / f"copy-{len(seen)}").write_bytes(_if_still_there(file))
            time.sleep(0.005)
        (folder / "command line").write_bytes(Path(f"/proc/{process.pid}/cmdline").read_bytes())


def _if_still_there(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def leaks(folder: Path, secrets: Sequence[str]) -> list[str]:
    """Where below a folder a secret can be read, in file names too."""
    needles = {needle: secret for secret in secrets for needle in spellings(secret)}
    found = []
    for file in folder.rglob("*"):
        content = os.fsencode(file.relative_to(folder)) + b"\n" + (file.read_bytes() if file.is_file() else b"")
        for needle, secret in needles.items():
            if needle in content:
                at = content.index(needle)
                found.append(f"{file.relative_to(folder)}: {secret} in {content[max(0, at - 80) : at + 120]!r}")
    return found
