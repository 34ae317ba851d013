"""Formats words and figures for the terminal and the page."""

from datetime import datetime

from shared.events.event import Event, Kind
from status.summary import Daemon


def moment(when: datetime | None, now: datetime) -> str:
    """A time in the local zone, with the date if it is another day."""
    if when is None:
        return "never"
    local = when.astimezone()
    return f"{local:%H:%M}" if local.date() == now.astimezone().date() else f"{local:%Y-%m-%d %H:%M}"


def size(count: int) -> str:
    """A number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def pixels(event: Event) -> str:
    """The sides before and after."""
    if not event.width:
        return "finished after an interruption" if event.kind is Kind.RECOVERED else ""
    return f"{event.width}x{event.height} → {2 * event.width}x{2 * event.height}"


def state(daemon: Daemon, now: datetime) -> list[str]:
    """One line for each process of a daemon, or one line if none runs."""
    if not daemon.running:
        seen = f", last seen {moment(daemon.stopped, now)}" if daemon.stopped else ""
        return [f"not running{seen}"]
    lines = []
    for process in daemon.running:
        failing = f"; the last poll failed: {process.failing}" if process.failing else ""
        lines.append(
            f"running as process {process.pid} on {process.host} since {moment(process.since, now)},"
            f" last poll {moment(process.last_poll, now)}{failing}"
        )
    return lines


def workers(counted: dict[str, int]) -> str:
    """Counts of images by worker."""
    return ", ".join(f"{count} by {worker}" for worker, count in counted.items())


def counts(counted: dict[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{count} {word}" for word, count in counted.items() if count) or "nothing"
