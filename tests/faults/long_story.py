"""A daemon's true loop in a time that passes at once, and what happens meanwhile around it."""

import threading
from collections.abc import Iterator

import scaler.main
from shared.cli import Options, state_folder
from shared.retry import RetryPolicy
from tests.fake_time import FakeTime

FREQUENCY = 30.0

type Events = Iterator[float]
"""Does something at each step, and yields the seconds for which the daemon goes on before the next."""


class Story(FakeTime):
    """Time in which events are due; when there are no more, the daemon is asked to stop."""

    def __init__(self, events: Events, now: float) -> None:
        super().__init__(now)
        self._events = events
        self._due = now
        self._daemon = threading.current_thread()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        super().wait(event, seconds)
        while threading.current_thread() is self._daemon and self.now >= self._due and not event.is_set():
            pause = next(self._events, None)
            if pause is None:
                event.set()
            else:
                self._due = self.now + pause
        return event.is_set()


def run_scaler(events: Events, now: float = 1_000_000.0) -> Story:
    """Run the scaler's own loop through all events, with the settings that the environment leads to."""
    story = Story(events, now)
    options = Options(FREQUENCY, once=False, dry_run=False, check=False, log_level="INFO", log_file=None)
    retry, state = RetryPolicy(story.stop()), state_folder("scaler")
    scaler.main.work(options, retry, None, state, threads=10, max_memory=2**30, quality=95)
    return story
