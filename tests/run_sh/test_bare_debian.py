"""What the README says, on a bare Debian 13: by an ordinary user, without libGL and without a compiler."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.run_sh.machine import REPOSITORY
from tests.servers.apache import Apache


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_everything_works_there(the_apache: Apache, tmp_path: Path) -> None:
    if os.getuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap")
    webdav = {
        "WEBDAV_URL": the_apache.url,
        "WEBDAV_USER": the_apache.username,
        "WEBDAV_PASSWORD": the_apache.password,
    }
    command = [str(REPOSITORY / "tests" / "run_sh" / "bare_debian.sh"), str(tmp_path / "debian")]
    done = subprocess.run(command, env={**os.environ, **webdav}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "settings for another WebDAV server" in done.stdout
