"""What the scaler and its rivals are given to do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from tests.bench.measure import Failed
from tests.bench.rivals import rivals
from tests.bench.stage import Run, Stage


@dataclass(frozen=True, slots=True)
class Load:
    """So many pictures of one size, on a server with a round trip of `latency` seconds.

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
    "many": Load("150 pictures of 2000 x 1500", 150, 2000, 1500),
    "far": Load("200 pictures of 320 x 240, round trip of 40 ms", 200, 320, 240, latency=0.040),
    "huge": Load("6 pictures of 8000 x 6000, --max-memory 1GiB", 6, 8000, 6000, options=("--max-memory", "1GiB")),
}


@dataclass(slots=True)
class Result:
    """The runs of each rival on one load, and the rivals that could not do it."""

    load: Load
    runs: dict[str, list[Run]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def middle(self, rival: str, figure: Callable[[Run], float]) -> float:
        """The median of one figure."""
        return median(figure(run) for run in self.runs[rival])

    def times(self, other: str, rival: str) -> float:
        """How many times as long as another it takes."""
        return self.middle(rival, wall) / self.middle(other, wall)


def wall(run: Run) -> float:
    """Seconds from start to end."""
    return run.usage.wall


def measure(stage: Stage, load: Load, rounds: int, say: Callable[[str], None], *, quick: bool) -> Result:
    """Let all rivals work in turn, round after round; the slow ones in the first only, or not at all if `quick`."""
    result = Result(load)
    with stage.scene(stage.draw(load.count, load.width, load.height), load.latency, load.options) as scene:
        for number in range(rounds):
            for rival in rivals():
                if rival.slow and (number or quick):
                    continue
                try:
                    run = stage.run(rival, scene)
                except Failed as failure:
                    # ImageMagick, as Debian configures it, refuses the largest pictures.
                    if not rival.slow:
                        raise
                    result.failed.append(rival.name)
                    say(f"{load.title}: {failure}")
                else:
                    result.runs.setdefault(rival.name, []).append(run)
                    say(f"{load.title}: {rival.name}, {run.usage.wall:.1f} s")
    return result
