"""Writing the settings into Vault in one command."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sandbox.vault import Vault, VaultError
from shared.config.write_settings import main

SETTINGS: dict[str, dict[str, Any]] = {
    "webdav": {"url": "https://host/", "username": "alice", "password": "s3cret"},
    "scaler_constants": {"RAW_NAMES_PREFIXES": ["Unknown"], "RAW_REMOTE_DIR": "a", "UNSORTED_REMOTE_DIR": "b"},
}


def write(vault: Vault, text: str, tmp_path: Path, prefix: str, token: str | None = None) -> Result:
    file = tmp_path / "settings.json"
    file.write_text(text)
    environment = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": token or vault.token, "VAULT_KV_PREFIX": prefix}
    return CliRunner().invoke(main, [str(file)], env=environment, catch_exceptions=False)


def test_every_secret_is_written(the_vault: Vault, tmp_path: Path) -> None:
    result = write(the_vault, json.dumps(SETTINGS), tmp_path, "written")
    assert result.exit_code == 0, result.output
    for name, values in SETTINGS.items():
        assert the_vault.call("GET", f"secret/data/written/{name}")["data"]["data"] == values
        assert f"secret/written/{name}: {', '.join(values)}" in result.output
    assert "s3cret" not in result.output


def test_invalid_settings_are_reported_and_nothing_is_written(the_vault: Vault, tmp_path: Path) -> None:
    # Vault lists nothing, with 404, unless something is there.
    assert write(the_vault, json.dumps(SETTINGS), tmp_path, "written").exit_code == 0
    for text in ("{", "[]", '{"webdav": "s3cret"}', ""):
        result = write(the_vault, text, tmp_path, "not-written")
        assert result.exit_code == 1
        assert "s3cret" not in result.output
        assert "Traceback" not in result.output
    assert "not-written/" not in the_vault.call("LIST", "secret/metadata")["data"]["keys"]


def test_denied_access_is_one_message(the_vault: Vault, tmp_path: Path) -> None:
    result = write(the_vault, json.dumps(SETTINGS), tmp_path, "denied", token="s.wr0ng")
    assert result.exit_code == 2
    assert "denied access" in result.output
    assert "wr0ng" not in result.output
    assert "s3cret" not in result.output


WEBDAV, SCALER = SETTINGS["webdav"], SETTINGS["scaler_constants"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"webdav": {"url": "https://host/", "user": "alice", "password": "p"}},
            ["unknown key 'user'; did you mean 'username'?", "username: is missing"],
        ),
        ({"scaler_constants": {**SCALER, "RAW_NAMES_PREFIXES": []}}, ["RAW_NAMES_PREFIXES"]),
        ({"scaler_constants": {**SCALER, "raw_remote_dir": "a"}}, ["did you mean 'RAW_REMOTE_DIR'?"]),
        ({"scaler_constants": {**SCALER, "UNSORTED_REMOTE_DIR": "/a/"}}, ["must differ"]),
        ({"mover_constant": {}}, ["'mover_constant' is not a secret", "did you mean 'mover_constants'?"]),
        ({"mover_constants": {}}, ["IMAGES_ROOT_DIR: is missing", "PARENT_TAG_VALUE: is missing"]),
        ({"webdav": ["url"]}, ["webdav: must hold keys and values"]),
        ({"webdav": {**WEBDAV, "url": "ftp://host"}}, ["url: must be an address"]),
        ({"webdav": {**WEBDAV, "zzz": 1}}, ["unknown key 'zzz'"]),
    ],
)
def test_all_that_is_wrong_is_named_at_once_and_nothing_is_written(
    the_vault: Vault, tmp_path: Path, changed: dict[str, Any], said: list[str]
) -> None:
    # Something else is always wrong too.
    wrong = {**SETTINGS, **changed, "surplus": {}}
    result = write(the_vault, json.dumps(wrong), tmp_path, "wrong")
    assert result.exit_code == 1
    for words in (*said, "'surplus' is not a secret of the daemons"):
        assert words in result.output
    assert "s3cret" not in result.output
    for name in SETTINGS:
        with pytest.raises(VaultError, match="404"):
            the_vault.call("GET", f"secret/data/wrong/{name}")
