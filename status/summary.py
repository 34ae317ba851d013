"""The content of the report, computed from recorded events only."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel

from shared.events.event import Event, Kind
from shared.events.history import read
from shared.events.presence import Running, running

DAEMONS = ("scaler", "mover")
DAYS = 30
HOURS = 48
_DONE = {Kind.UPSCALED: "upscaled", Kind.FILED: "filed", Kind.RECOVERED: "finished after an interruption"}
_COUNTED = _DONE | {Kind.SKIPPED: "skipped", Kind.FAILED: "failed"}
_MOST = {"images": 24, "filed": 60, "skipped": 200, "failures": 30, "workers": 40}


class Hour(BaseModel):
    """One bar of the chart.

    Attributes:
        start: of the hour, in UTC.
    """

    start: datetime
    upscaled: int
    filed: int


class Daemon(BaseModel):
    """A daemon.

    Attributes:
        running: all its processes that run.
        stopped: when it was last seen, if none runs; None if it never ran.
    """

    name: str
    running: list[Running]
    stopped: datetime | None


class Summary(BaseModel):
    """The whole content.

    Attributes:
        today, month: how many images were upscaled, filed and so on, since midnight here and in the last 30 days.
        workers: how many images each Dask worker upscaled since midnight, the most first.
        hours: the last 48, the current one last.
        images: the latest that were upscaled, newest first, as are `filed` and `failures`.
        skipped: images that were skipped and have not been upscaled or filed since.
        more: how many of each list are left out.
    """

    now: datetime
    daemons: list[Daemon]
    today: dict[str, int]
    month: dict[str, int]
    workers: dict[str, int]
    hours: list[Hour]
    images: list[Event]
    filed: list[Event]
    skipped: list[Event]
    failures: list[Event]
    more: dict[str, int]


def load(state: Path, now: datetime | None = None) -> Summary:
    """Read everything under the state folder and sum it up."""
    now = now or datetime.now(UTC)
    events = read(state / "events", (now - timedelta(days=DAYS)).timestamp())
    return summarize(events, [found for _, found in running(state / "running")], now)


def summarize(events: Iterable[Event], found: Sequence[Running], now: datetime) -> Summary:
    """Sum up the events of the last 30 days.

    Args:
        found: the daemons that left a file, whether they run or not.
    """
    newest = sorted(events, key=lambda event: event.time, reverse=True)
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    today = [event for event in newest if event.time >= midnight]
    lists = {
        "images": [event for event in newest if event.kind in (Kind.UPSCALED, Kind.RECOVERED) and event.name],
        "filed": [event for event in newest if event.kind is Kind.FILED],
        "skipped": _still_skipped(newest),
        "failures": [event for event in newest if event.kind is Kind.FAILED],
    }
    return Summary(
        now=now,
        daemons=[_daemon(name, newest, found, now) for name in DAEMONS],
        today=_counts(today),
        month=_counts(newest),
        workers=_by_worker(today),
        hours=_hours(newest, now),
        more={name: max(0, len(found) - _MOST[name]) for name, found in lists.items()},
        **{name: found[: _MOST[name]] for name, found in lists.items()},
    )


def _daemon(name: str, newest: Sequence[Event], found: Sequence[Running], now: datetime) -> Daemon:
    alive = [process for process in found if process.daemon == name and process.is_alive(now)]
    seen = [process.seen for process in found if process.daemon == name]
    seen += [event.time for event in newest if event.daemon == name][:1]
    return Daemon(name=name, running=alive, stopped=None if alive or not seen else max(seen))


def _counts(events: Iterable[Event]) -> dict[str, int]:
    counted = Counter(event.kind for event in events)
    return {word: counted[kind] for kind, word in _COUNTED.items()}


def _by_worker(events: Iterable[Event]) -> dict[str, int]:
    return dict(Counter(event.worker for event in events if event.worker).most_common(_MOST["workers"]))


def _hours(newest: Iterable[Event], now: datetime) -> list[Hour]:
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    done = Counter(
        (event.time.astimezone(UTC).replace(minute=0, second=0, microsecond=0), event.kind) for event in newest
    )
    starts = [last - timedelta(hours=ago) for ago in reversed(range(HOURS))]
    return [Hour(start=start, upscaled=done[start, Kind.UPSCALED], filed=done[start, Kind.FILED]) for start in starts]


def _still_skipped(newest: Sequence[Event]) -> list[Event]:
    """Images whose latest event is that they were skipped."""
    last: dict[tuple[str, str], Event] = {}
    for event in newest:
        if event.name and event.kind in (*_DONE, Kind.SKIPPED):
            last.setdefault((event.daemon, event.name), event)
    return [event for event in last.values() if event.kind is Kind.SKIPPED]
