"""A state folder with events in it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.events.event import Event, Kind, Watch
from shared.events.history import History
from shared.events.presence import Presence

NOW = datetime.now(UTC)
HOSTILE = '"><svg onload=alert(1)>.jpg'
ESCAPES = "Unknown \x1b[31mred\x07\u202egpj.exe.jpg"
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
WATCH = Watch(
    account="https://cloud.example.com/remote.php/dav/files/alice/ as alice",
    folders=("data/AI/_raw", "data/AI/_unsorted"),
    prefixes=("Unknown",),
    frequency=30,
    way="replaced in place",
)


def upscaled(name: str, number: int = 1, minutes: float = 0, thumbnail: str = "", worker: str = "") -> Event:
    return Event(
        kind=Kind.UPSCALED,
        time=NOW - timedelta(minutes=minutes),
        daemon="scaler",
        name=name,
        target=f"Unknown {number}_20261127T120000Z.jpg",
        link=f"https://cloud.example.com/index.php/f/{number}",
        width=4000,
        height=3000,
        bytes_before=2_400_000,
        bytes_after=7_100_000,
        seconds={"download": 0.3, "compute": 1.4, "upload": 0.5, "publish": 0.2},
        thumbnail=thumbnail,
        worker=worker,
    )


def some() -> list[Event]:
    """One event of each kind, and names that try to break out."""
    return [
        upscaled("Unknown cat.jpg", 1, 1),
        upscaled(HOSTILE, 2, 2),
        upscaled(ESCAPES, 3, 3),
        Event(kind=Kind.FILED, time=NOW, daemon="mover", name="cat.jpg", target="landscapes/cat.jpg"),
        Event(kind=Kind.SKIPPED, time=NOW, daemon="scaler", name="Unknown bad.jpg", reason="it is damaged"),
        Event(kind=Kind.SKIPPED, time=NOW, daemon="scaler", name=HOSTILE, reason="<script>alert(2)</script>"),
        Event(
            kind=Kind.FAILED,
            time=NOW,
            daemon="mover",
            reason="The quota is used up",
            hint="Empty the trash bin.",
        ),
    ]


def record(state: Path, events: Iterable[Event]) -> None:
    """Write events into a state folder, as a daemon does."""
    kept = History(state / "events", "scaler")
    for event in events:
        kept.add(event)


def run_daemon(state: Path, daemon: str, pid: int, host: str) -> Presence:
    """Record that a daemon runs and has polled."""
    presence = Presence(state / "running")
    presence.add(Event(kind=Kind.STARTED, daemon=daemon, pid=pid, host=host, watch=WATCH))
    presence.add(Event(kind=Kind.POLLED, skipped=1))
    return presence
