"""What holds for every test."""

import logging
import os
import signal
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings
from loguru import logger

from shared import logging as log
from shared import redaction

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


# Debian's package for what a test needs, by the word that its reason names.
_PACKAGES = {
    "apache2": "apache2",
    "nginx": "nginx libnginx-mod-http-dav-ext",
    "lighttpd": "lighttpd lighttpd-mod-webdav",
    "chromium": "chromium",
    "npm": "npm",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "mod_dav": "apache2",
    "rclone": "rclone",
    "openssl": "openssl",
    "exiftool": "libimage-exiftool-perl",
    "magick": "imagemagick",
    "convert": "imagemagick",
    "vips": "libvips-tools",
    "cwebp": "webp",
    "gif2webp": "webp",
    "img2webp": "webp",
    "tiffcp": "libtiff-tools",
    "tiffinfo": "libtiff-tools",
    "systemd-analyze": "systemd",
    "debootstrap": "debootstrap",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one block what was skipped on this machine, and which packages would run it."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped")
    )
    if not reasons:
        return
    terminalreporter.section("skipped on this machine")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count: >5}  {reason}")
    words = {word for reason in reasons for word in reason.split()}
    if packages := sorted({package for word, package in _PACKAGES.items() if word in words}):
        terminalreporter.write_line(f"They run after: apt install {' '.join(packages)}")


@pytest.fixture(autouse=True)
def _process_as_new() -> Iterator[None]:
    """Undo what a daemon sets up for its process: signals, hidden secrets, logging."""
    yield
    for number, before in _HANDLERS.items():
        signal.signal(number, before)
    redaction._hidden.clear()
    logger.remove()
    logging.captureWarnings(capture=False)
    for handler in [known for known in logging.root.handlers if isinstance(known, log._FromStandardLibrary)]:
        logging.root.removeHandler(handler)
