"""What the scaler and the baselines are given to do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from tests.bench.baselines import baselines
from tests.bench.measure import Failed
from tests.bench.servers import Run, Scenario


@dataclass(frozen=True, slots=True)
class Load:
    """So many images of one size, on a server with a round trip of `latency` seconds.

    Attributes:
        options: of the scaler.
    """

    title: str
    count: int
    width: int
    height: int
    latency: float = 0.0
    options: tuple[str, ...] = ()


LOADS = {
    "many": Load("150 images of 2000 x 1500", 150, 2000, 1500),
    "far": Load("200 images of 320 x 240, round trip of 40 ms", 200, 320, 240, latency=0.040),
    "huge": Load("6 images of 8000 x 6000, --max-memory 1GiB", 6, 8000, 6000, options=("--max-memory", "1GiB")),
}


@dataclass(slots=True)
class Result:
    """The runs of each way on one load, and the ways that could not do it."""

    load: Load
    runs: dict[str, list[Run]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def middle(self, baseline: str, figure: Callable[[Run], float]) -> float:
        """The median of one figure."""
        return median(figure(run) for run in self.runs[baseline])

    def times(self, other: str, baseline: str) -> float:
        """How many times as long as another it takes."""
        return self.middle(baseline, wall) / self.middle(other, wall)


def wall(run: Run) -> float:
    """Seconds from start to end."""
    return run.usage.wall


def measure(scenario: Scenario, load: Load, rounds: int, say: Callable[[str], None], *, quick: bool) -> Result:
    """Let all ways work in turn, round after round; the slow ones in the first only, or not at all if `quick`."""
    result = Result(load)
    with scenario.scene(scenario.draw(load.count, load.width, load.height), load.latency, load.options) as scene:
        for number in range(rounds):
            for baseline in baselines():
                if baseline.slow and (number or quick):
                    continue
                try:
                    run = scenario.run(baseline, scene)
                except Failed as failure:
                    # ImageMagick, as Debian configures it, rejects the largest images.
                    if not baseline.slow:
                        raise
                    result.failed.append(baseline.name)
                    say(f"{load.title}: {failure}")
                else:
                    result.runs.setdefault(baseline.name, []).append(run)
                    say(f"{load.title}: {baseline.name}, {run.usage.wall:.1f} s")
    return result
