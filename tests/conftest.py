"""What holds for every test."""

import logging
import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings
from loguru import logger

from shared import logging as log

# How long an example takes says more of the machine than of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Under nohup, or in the background of a script, these are ignored, and would be in every daemon that a test starts.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

_HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}

pytest_plugins = ["tests.servers.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --long."""
    parser.addoption("--long", action="store_true", help="also run the tests that are too long for CI")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests marked `long`, unless --long is given."""
    if config.getoption("--long"):
        return
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
    items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI every server is installed, so there a test that needs one and was skipped has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") and item.get_closest_marker("server"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where its server must be there: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _process_as_new() -> Iterator[None]:
    """Undo what a daemon sets up for its process: signals, hidden secrets, logging."""
    yield
    for number, before in _HANDLERS.items():
        signal.signal(number, before)
    log._hidden.clear()
    log.hide()
    logger.remove()
    logging.captureWarnings(capture=False)
    for handler in [known for known in logging.root.handlers if isinstance(known, log._FromStandardLibrary)]:
        logging.root.removeHandler(handler)
