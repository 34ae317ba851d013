"""The page in a real browser."""

import html
import os
import subprocess
from pathlib import Path

import pytest

from tests.servers.program import need
from tests.status.recorded import HOSTILE, record, some
from tests.status.test_web import Client


@pytest.mark.server
def test_no_name_becomes_a_part_of_the_page(tmp_path: Path) -> None:
    chromium = need("chromium")
    state = tmp_path / "state"
    record(state, some())
    with Client(state, None) as client:
        command = [
            chromium,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
        ]
        done = subprocess.run(
            [*command, "--timeout=4000", "--dump-dom", client.url],
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert html.escape(HOSTILE, quote=False) in done.stdout
    assert "<svg onload" not in done.stdout
    assert "<script>alert" not in done.stdout
