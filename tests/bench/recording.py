"""What the history and its thumbnails take of the processor time of images: `python -m tests.bench.recording`.

Whole processes in turn on the same images, ten times: the scaler as it is, and one that records nothing but its log. Of
the first, the time within recording is measured, without that of the log, which both write; the difference of both is
less than the noise of most machines.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click

from tests.bench.baselines import Baseline, Scene
from tests.bench.servers import Scenario, scenario

ROUNDS = 10
SIZES = ((60, 2000, 1500), (60, 1600, 1200), (100, 1000, 750), (150, 800, 600))
_WITH, _WITHOUT = "recording", "not recording"


def _way(name: str, output: Path) -> Baseline:
    def command(scene: Scene) -> list[str]:
        return [sys.executable, "-m", "tests.bench.recording", name, str(output), "--once", *scene.options]

    return Baseline(name, command, lambda scene: scene.vault)


def _measure(servers: Scenario, count: int, width: int, height: int) -> str:
    shares, requests = [], dict[str, set[int]]({_WITH: set(), _WITHOUT: set()})
    with tempfile.TemporaryDirectory() as folder, servers.scene(servers.draw(count, width, height), 0, ()) as scene:
        output = Path(folder) / "seconds"
        for number in range(ROUNDS):
            for name in (_WITH, _WITHOUT) if number % 2 else (_WITHOUT, _WITH):
                run = servers.run(_way(name, output), scene)
                requests[name].add(run.requests)
                if name == _WITH:
                    shares.append(float(output.read_text()) / run.usage.cpu)
    return (
        f"{count} images of {width} x {height}: {median(shares):.2%} of the processor time ({min(shares):.2%} to"
        f" {max(shares):.2%}); requests with it {sorted(requests[_WITH])}, without {sorted(requests[_WITHOUT])}"
    )


def main() -> None:
    """Print the share for each size, and the requests of both."""
    with scenario() as servers:
        for size in SIZES:
            click.echo(_measure(servers, *size))


class _Stopwatch:
    """Adds up the processor time within functions, whichever thread calls them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def timed(self, function: Callable[..., Any], sign: int = 1) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                with self._lock:
                    self.seconds += sign * (time.thread_time() - start)

        return call


def _scaler(name: str, output: Path, *options: str) -> None:
    """In the measured process."""
    import scaler.main
    from scaler.images.codecs import preview
    from shared import recording
    from shared.events.recorder import Recorder
    from shared.retry import RequestObserver

    watch = _Stopwatch()
    if name == _WITH:
        Recorder.record = watch.timed(Recorder.record)  # type: ignore[method-assign]
        Recorder._log = watch.timed(Recorder._log, -1)  # type: ignore[method-assign]
        preview.Collected.take = watch.timed(preview.Collected.take)  # type: ignore[method-assign]
    else:
        recording.open_recorder = lambda *_, **__: (Recorder("scaler"), RequestObserver())
    try:
        scaler.main.main(options)
    finally:
        output.write_text(str(watch.seconds))


if __name__ == "__main__":
    if sys.argv[1:]:
        _scaler(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    else:
        main()
