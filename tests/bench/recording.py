"""What the history and its thumbnails take of the processor time of images: `python -m tests.bench.recording`.

Whole processes in turn on the same images, ten times: the scaler as it is, and one that records nothing but its log.
"""

import sys
from statistics import median

import click

from tests.bench.baselines import Baseline, Scene
from tests.bench.servers import scenario

ROUNDS = 10
SIZES = ((60, 2000, 1500), (60, 1600, 1200), (150, 800, 600))
_WITH, _WITHOUT = "recording", "not recording"


def _way(name: str) -> Baseline:
    def command(scene: Scene) -> list[str]:
        return [sys.executable, "-m", "tests.bench.recording", name, "--once", *scene.options]

    return Baseline(name, command, lambda scene: scene.vault)


def main() -> None:
    """Print the processor time of both for each size, their requests, and the share of recording."""
    ways = _way(_WITH), _way(_WITHOUT)
    with scenario() as servers:
        for count, width, height in SIZES:
            seconds: dict[str, list[float]] = {_WITH: [], _WITHOUT: []}
            requests = set()
            with servers.scene(servers.draw(count, width, height), 0, ()) as scene:
                for number in range(ROUNDS):
                    for way in ways if number % 2 else reversed(ways):
                        run = servers.run(way, scene)
                        seconds[way.name].append(run.usage.cpu)
                        requests.add(run.requests)
            more = [own / other - 1 for own, other in zip(seconds[_WITH], seconds[_WITHOUT], strict=True)]
            click.echo(
                f"{count} images of {width} x {height}: {median(seconds[_WITH]):.2f} s, without"
                f" {median(seconds[_WITHOUT]):.2f} s; pairs differ by {median(more):+.1%}"
                f" ({min(more):+.1%} to {max(more):+.1%}); requests: {sorted(requests)}"
            )


def _scaler(name: str, *options: str) -> None:
    """In the measured process."""
    import scaler.main
    from shared import recording

    if name == _WITHOUT:
        from shared.events.recorder import Recorder
        from shared.retry import RequestObserver

        def only_the_log(*_: object, **__: object) -> tuple[Recorder, RequestObserver]:
            return Recorder("scaler"), RequestObserver()

        recording.open_recorder = only_the_log
    scaler.main.main(options)


if __name__ == "__main__":
    if sys.argv[1:]:
        _scaler(*sys.argv[1:])
    else:
        main()
