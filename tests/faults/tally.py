"""How often each fault was tried, and what was lost by it."""

from collections import Counter


class Tally:
    """Counts tries and losses by fault."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    def add(self, fault: str, *, tries: int = 1, lost: int = 0) -> None:
        """Count tries of a fault, and those after which something was not as promised."""
        self.tries[fault] += tries
        self.lost[fault] += lost


tally = Tally()
