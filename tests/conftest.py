"""What holds for every test."""

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI every server is installed, so there a test that needs one and was skipped has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") and item.get_closest_marker("server"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where its server must be there: {report.longrepr}"
    return report
