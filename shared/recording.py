"""Opens the recorder of a daemon, by its options."""

import contextlib
import os
from importlib.metadata import version
from pathlib import Path

from loguru import logger

from shared.activity import HubActivity
from shared.cli import Options
from shared.events.history import History
from shared.events.presence import Presence
from shared.events.recorder import Recorder, Sink
from shared.events.thumbnails import Thumbnails
from shared.retry import RequestObserver


def open_recorder(
    daemon: str, options: Options, state: Path, *, thumbnails: bool = False
) -> tuple[Recorder, RequestObserver]:
    """Open a recorder, and the observer of requests.

    Args:
        state: the folder of all daemons; events and their thumbnails, and which daemons run.

    Raises:
        PortTaken: metrics cannot be served.
        NoHub: there is no JupyterHub to report activity to.
    """
    if options.dry_run or options.check:
        return Recorder(daemon), RequestObserver()
    events = state / "events"
    sinks: list[Sink] = [History(events, daemon), Presence(state / "running")]
    observer = RequestObserver()
    if options.metrics_port or options.metrics_file:
        from shared.metrics import Metrics, serve  # noqa: PLC0415 - not needed without these options

        metrics = Metrics(daemon, version("jupyterhub-images"), options.frequency, options.metrics_file)
        if options.metrics_port:
            logger.info("Metrics are served on http://{}:{}/metrics", *serve(metrics, *options.metrics_port))
        sinks.append(metrics)
        observer = metrics
    recorder = Recorder(
        daemon,
        sinks,
        Thumbnails(events / "thumbnails") if thumbnails else None,
        frequency=0 if options.once else options.frequency,
        activity=HubActivity(os.environ).reported if options.report_activity else contextlib.nullcontext,
        once=options.once,
    )
    return recorder, observer
