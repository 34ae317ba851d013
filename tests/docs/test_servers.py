"""docs/servers.md: its table is what the servers do."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, table
from tests.servers.__main__ import HEADER, ROWS, Row, cells

PAGE = ROOT / "docs" / "servers.md"


def test_every_server_is_in_the_table() -> None:
    assert [row["Server"] for row in table(PAGE, "## What each server does", "Server")] == [row.name for row in ROWS]


@pytest.mark.server
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_the_table_says_what_a_server_does(row: Row, tmp_path: Path) -> None:
    (said,) = [said for said in table(PAGE, "## What each server does", "Server") if said["Server"] == row.name]
    assert [said[column] for column in HEADER] == cells(row, tmp_path)
