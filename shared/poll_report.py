"""What happened in a poll."""

from collections import Counter
from dataclasses import dataclass, field

from shared.errors import Failure
from shared.events.event import Event, Kind


@dataclass
class PollReport:
    """Counts of what happened in a poll, by the words of the log line, and the failures."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Failure] = field(default_factory=list)

    def add(self, later: "PollReport") -> None:
        """Add the report of another part of the poll."""
        self.counts += later.counts
        self.failed += later.failed

    def event(self, seconds: float, skipped: int) -> Event:
        """The end of the poll.

        Args:
            seconds: that it took.
            skipped: images that are skipped at present.
        """
        counts = self.counts + Counter({"failed": len(self.failed)})
        return Event(kind=Kind.POLLED, counts=dict(counts), seconds={"compute": seconds}, skipped=skipped)
