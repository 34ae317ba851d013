"""The sandbox's Vault, with the client that the daemons use."""

import os
from pathlib import Path

import hvac
import pytest

from sandbox.vault import Vault


@pytest.fixture
def client(vault: Vault) -> hvac.Client:
    """A client with the root token."""
    return hvac.Client(url=vault.address, token=vault.token)


@pytest.mark.parametrize("version", [1, 2])
def test_a_written_secret_is_read_back_from_either_version(vault: Vault, client: hvac.Client, version: int) -> None:
    vault.enable_kv("own", version)
    vault.write("deep/webdav", {"username": "u", "list": ["a", "b"]}, mount="own")
    if version == 1:
        data = client.secrets.kv.v1.read_secret("deep/webdav", mount_point="own")["data"]
    else:
        answer = client.secrets.kv.v2.read_secret_version(
            "deep/webdav", mount_point="own", raise_on_deleted_version=True
        )
        data = answer["data"]["data"]
    assert data == {"username": "u", "list": ["a", "b"]}


def test_a_deleted_secret_is_gone(vault: Vault, client: hvac.Client) -> None:
    vault.write("passing", {"a": "b"})
    vault.delete("passing")
    with pytest.raises(hvac.exceptions.InvalidPath):
        client.secrets.kv.v2.read_secret_version("passing", raise_on_deleted_version=True)


def test_an_approle_has_the_rights_and_the_times_it_was_given(vault: Vault) -> None:
    vault.write("webdav", {"a": "b"})
    policy = 'path "secret/data/webdav" { capabilities = ["read"] }'
    role_id, secret_id = vault.approle(policy, token_ttl="30s", token_max_ttl="60s")
    client = hvac.Client(url=vault.address)
    auth = client.auth.approle.login(role_id, secret_id)["auth"]
    assert auth["lease_duration"] == 30
    assert client.secrets.kv.v2.read_secret_version("webdav", raise_on_deleted_version=True)
    with pytest.raises(hvac.exceptions.Forbidden):
        client.secrets.kv.v2.read_secret_version("other", raise_on_deleted_version=True)
    assert client.auth.token.lookup_self()["data"]["explicit_max_ttl"] == 0


def test_a_token_has_its_times_and_can_be_revoked(vault: Vault) -> None:
    token = vault.create_token(ttl="30s", max_ttl="60s")
    client = hvac.Client(url=vault.address, token=token)
    data = client.auth.token.lookup_self()["data"]
    assert (data["creation_ttl"], data["explicit_max_ttl"], data["renewable"]) == (30, 60, True)
    vault.revoke(token)
    with pytest.raises(hvac.exceptions.Forbidden):
        client.auth.token.lookup_self()


def test_a_sealed_vault_answers_503_until_it_is_unsealed(vault: Vault, client: hvac.Client) -> None:
    vault.write("kept", {"a": "b"})
    vault.seal()
    try:
        with pytest.raises(hvac.exceptions.VaultDown):
            client.secrets.kv.v2.read_secret_version("kept", raise_on_deleted_version=True)
    finally:
        vault.unseal()
    answer = client.secrets.kv.v2.read_secret_version("kept", raise_on_deleted_version=True)
    assert answer["data"]["data"] == {"a": "b"}


def test_the_users_token_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_TOKEN", "somebody's own")
    (tmp_path / ".vault-token").write_text("mine")
    with Vault() as vault:
        vault.write("a", {"b": "c"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {".vault-token": "mine"}


def test_the_token_is_in_no_process_arguments() -> None:
    with Vault() as vault:
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    assert any(b"-dev-listen-address" in line for line in lines)
    assert not any(vault.token.encode() in line for line in lines)
