"""The tile in the launcher: merged into what is there, and undone."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from status.jupyter import NAME, main, server

OTHERS = {
    "ServerApp": {"terminado_settings": {"shell_command": ["/bin/bash"]}},
    "ServerProxy": {"servers": {"other": {"command": ["x"]}}, "host_allowlist": ["a"]},
}


class Jupyter:
    """A folder of Jupyter's settings, and a Jupyter whose Python has jupyter-server-proxy, or not."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config" / "jupyter_server_config.json"
        self.file.parent.mkdir()
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.has_proxy(True)

    def has_proxy(self, has: bool) -> None:
        """Let importing jupyter-server-proxy succeed or fail."""
        python = self.bin / "python"
        python.write_text(f"#!/bin/sh\nexit {0 if has else 1}\n")
        program = self.bin / "jupyter-server"
        program.write_text(f"#!{python}\n")
        for file in (python, program):
            file.chmod(0o755)

    def run(self, *words: str) -> tuple[int, str]:
        """Run the command; return status and output."""
        env = {"JUPYTER_CONFIG_DIR": str(self.file.parent), "PATH": str(self.bin), "XDG_STATE_HOME": "/home/a/state"}
        result = CliRunner(env=env).invoke(main, words, catch_exceptions=False)
        return result.exit_code, result.output

    @property
    def settings(self) -> object:
        """What Jupyter reads."""
        return json.loads(self.file.read_text())


@pytest.fixture
def hub(tmp_path: Path) -> Jupyter:
    return Jupyter(tmp_path)


def test_the_tile_joins_what_is_there_and_leaves_it_as_it_was(hub: Jupyter) -> None:
    hub.file.write_text(json.dumps(OTHERS))
    hub.file.chmod(0o640)
    code, said = hub.run()
    assert code == 0
    assert "Restart your Jupyter server" in said
    settings = json.loads(hub.file.read_text())
    tile = settings["ServerProxy"]["servers"].pop(NAME)
    assert settings == OTHERS
    assert tile["unix_socket"] is True
    assert tile["command"][-4:] == ["status", "--web", "--socket", "{unix_socket}"]
    assert tile["environment"]["XDG_STATE_HOME"] == "/home/a/state"
    assert Path(tile["launcher_entry"]["icon_path"]).is_file()
    assert hub.file.stat().st_mode & 0o777 == 0o640
    assert hub.run()[0] == 0
    assert hub.run("--remove")[0] == 0
    assert hub.settings == OTHERS
    assert "no tile" in hub.run("--remove")[1]


def test_without_any_settings_nothing_is_left_behind(hub: Jupyter) -> None:
    hub.run()
    assert hub.file.is_file()
    hub.run("--remove")
    assert list(hub.file.parent.iterdir()) == []


@pytest.mark.parametrize("broken", ["{", "[]", '{"ServerProxy": []}', '{"ServerProxy": {"servers": 1}}'])
def test_settings_that_cannot_be_merged_stay_as_they_are(hub: Jupyter, broken: str) -> None:
    hub.file.write_text(broken)
    code, said = hub.run()
    assert code == 2
    assert str(hub.file) in said
    assert hub.file.read_text() == broken


def test_a_link_to_the_settings_stays_a_link(hub: Jupyter, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.json"
    kept.write_text("{}")
    hub.file.symlink_to(kept)
    hub.run()
    assert hub.file.is_symlink()
    assert NAME in kept.read_text()


def test_a_missing_proxy_is_said_with_what_to_ask_for(hub: Jupyter) -> None:
    hub.has_proxy(False)
    code, said = hub.run()
    assert code == 2
    assert "pip install jupyter-server-proxy" in said
    assert "administrator" in said


def test_a_folder_that_cannot_be_written_is_named(hub: Jupyter) -> None:
    # Not even root may write here.
    hub.file.symlink_to("/proc/version/jupyter_server_config.json")
    code, said = hub.run()
    assert code == 2
    assert f"{hub.file} cannot be" in said


def test_an_image_of_an_admin_gets_it_by_entry_point() -> None:
    from importlib.metadata import entry_points

    (found,) = entry_points(group="jupyter_serverproxy_servers", name=NAME)
    assert found.load() is server
