"""A simulated machine for run.sh: a home, a clone, stand-ins for the daemons, and a Poetry that logs its calls."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

# Everything that run.sh calls besides Python and Poetry; no interpreter of this machine may be on PATH.
TOOLS = (
    "awk",
    "bash",
    "cat",
    "cksum",
    "dirname",
    "env",
    "flock",
    "ln",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "sed",
    "sha256sum",
    "touch",
    "tr",
)

# The interpreter behind the environment in which the tests run.
PYTHON: str = os.path.realpath(sys.executable)

DAEMON = """\
import os, signal, sys, time

name = os.path.basename(sys.argv[0])
if os.environ.get("FAILS") == name:
    sys.exit(2)
if os.environ.get("ALONE") and name == "mover":
    sys.exit(0 if os.environ.get("JUPYTERHUB_IMAGES_BOTH") else 2)

def stop(number, frame):
    os.write(1, f"{name} got {signal.Signals(number).name}\\n".encode())
    os._exit(int(os.environ.get("LEAVES_WITH", 0)))

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, stop)
os.write(1, f"{name} runs {sys.argv[1:]} {os.getcwd()}\\n".encode())
while True:
    time.sleep(0.05)
"""

POETRY = """\
import json, os, shutil, subprocess, sys, time
from pathlib import Path

home = Path(os.environ["HOME"])
environment = home / "environment"
words = [word for word in sys.argv[1:] if not word.startswith("--no-") and word != "--directory"][1:]
with (home / "poetry.log").open("a") as log:
    log.write(json.dumps({"words": words, "env": dict(os.environ)}) + "\\n")
match words:
    case ["env", "use", python]:
        if os.environ.get("REFUSES"):
            sys.exit(1)
        subprocess.run([python, "-m", "venv", "--system-site-packages", "--without-pip", environment], check=True)
    case ["env", "info", "--path"]:
        print(environment)
    case ["env", "remove", "--all"]:
        shutil.rmtree(environment)
    case ["install", *_]:
        print("installing", os.environ.get("TELLS", ""), flush=True)
        if os.environ.get("TELLS"):
            sys.exit(1)
        time.sleep(float(os.environ.get("TAKES", 0)))
        packages = next(environment.glob("lib/python3.*/site-packages"))
        (packages / "cv2.py").touch()
        (packages / "opencv_python-5.0.dist-info").mkdir(exist_ok=True)
        for name in ("scaler", "mover"):
            shutil.copy(home / "daemon.py", environment / "bin" / name)
"""


@dataclass
class Machine:
    """Paths of a simulated machine: `home`, `clone` (with run.sh) and `bin`, the only folder on PATH.

    Attributes:
        folder: in which run.sh is called; the clone if None.
    """

    home: Path
    clone: Path
    bin: Path
    folder: Path | None = None

    @classmethod
    def make(cls, root: Path) -> "Machine":
        """Make a machine below `root`, with spaces in its paths and neither Python nor Poetry."""
        machine = cls(root / "a home", root / "a clone", root / "bin")
        for folder in (machine.home, machine.clone, machine.bin):
            folder.mkdir()
        for name in ("run.sh", "pyproject.toml", "poetry.toml", "poetry.lock"):
            shutil.copy(REPOSITORY / name, machine.clone)
        shutil.copytree(REPOSITORY / "scripts", machine.clone / "scripts")
        for tool in TOOLS:
            if path := shutil.which(tool):
                (machine.bin / tool).symlink_to(path)
        (machine.home / "daemon.py").write_text(DAEMON)
        return machine

    def add_poetry(self) -> None:
        """Put a Poetry on PATH that is new enough and has the mirror plugin, as its interpreter tells."""
        packages = self.home / "poetry"
        for name, version in (("poetry", "2.4.0"), ("poetry_plugin_pypi_mirror", "0.6.5")):
            metadata = packages / f"{name}-{version}.dist-info" / "METADATA"
            metadata.parent.mkdir(parents=True)
            metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        # A shebang line cannot contain a space.
        interpreter = self.bin / "poetrys-python"
        write_script(interpreter, f"PYTHONPATH='{packages}' exec '{PYTHON}' \"$@\"")
        (self.bin / "poetry").write_text(f"#!{interpreter}\n{POETRY}")
        (self.bin / "poetry").chmod(0o755)

    def add_python(self, path: Path | None = None) -> Path:
        """Link the interpreter of the tests at `path`, by default as python3 on PATH."""
        path = path or self.bin / "python3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(PYTHON)
        return path

    def add_odd_python(self, name: str, prelude: str) -> None:
        """Put an interpreter on PATH that runs `prelude` before the script on its standard input."""
        write_script(self.bin / name, f"exec '{PYTHON}' -c 'import sys; {prelude}; exec(sys.stdin.read())'")

    def env(self, **extra: str) -> dict[str, str]:
        """Return the whole environment of a run, with `extra` variables; it names a Vault."""
        return {"PATH": str(self.bin), "HOME": str(self.home), "VAULT_ADDR": "https://vault.invalid", **extra}

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `run.sh words…` until it exits."""
        command = [str(self.clone / "run.sh"), *words]
        return subprocess.run(
            command,
            cwd=self.folder or self.clone,
            env=self.env(**env),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start `run.sh words…` in its own session, with standard error on standard output."""
        return subprocess.Popen(
            [self.clone / "run.sh", *words],
            cwd=self.clone,
            env=self.env(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def poetry_calls(self) -> list[tuple[list[str], dict[str, str]]]:
        """Return Poetry's calls so far, each with its environment."""
        log = self.home / "poetry.log"
        entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [(entry["words"], entry["env"]) for entry in entries]

    def installs(self) -> list[str]:
        """Return the groups that Poetry was told to install, in order."""
        return [words[2] for words, _ in self.poetry_calls() if words[0] == "install"]


def write_script(path: Path, body: str) -> None:
    """Write an executable bash script."""
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
