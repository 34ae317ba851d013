"""The promise of the mover, kept through whatever happens in whatever order."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from loguru import logger

from sandbox.nextcloud import Nextcloud
from tests.faults.state_movers import OTHER_TAG, TAGS, Movers, show_requests
from tests.faults.test_state_scaler import SETTINGS


def test_on_nextcloud(monkeypatch: pytest.MonkeyPatch) -> None:
    logger.remove()
    show_requests(monkeypatch)
    with Nextcloud() as server:
        for tag in (*TAGS, OTHER_TAG):
            server.create_tag(tag)
        monkeypatch.setattr(Movers, "server", server, raising=False)
        run_state_machine_as_test(Movers, settings=settings(SETTINGS, max_examples=SETTINGS.max_examples // 5))
