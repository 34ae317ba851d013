"""One log line about the images of a poll."""

from collections import Counter
from dataclasses import dataclass, field

from loguru import logger

from shared.errors import Failure


@dataclass
class PollReport:
    """Counts of what happened in a poll, by the words of the log line, and the failures."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Failure] = field(default_factory=list)

    def add(self, later: "PollReport") -> None:
        """Add what happened in another part of the poll."""
        self.counts += later.counts
        self.failed += later.failed

    def log(self, seconds: float) -> None:
        """Write the line, at debug level if there was nothing to do."""
        counts = self.counts + Counter({"failed": len(self.failed)})
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        logger.log("INFO" if said else "DEBUG", "Poll finished in {:.1f} s: {}", seconds, said or "nothing to do")
