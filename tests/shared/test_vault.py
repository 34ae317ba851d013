"""Logins, their renewal, and both versions of KV, on a real OpenBao."""

import time as clock
from pathlib import Path

import pytest
import requests

from sandbox.vault import Vault as Server
from shared.config.vault import Vault, choose_login
from shared.errors import Failure, VaultForbidden, VaultUnavailable
from tests.fake_time import FakeTime

POLICY = 'path "*" { capabilities = ["create", "read", "update"] }'


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(0.0)


def token_of(vault: Vault) -> str:
    token: str = vault._client.token
    return token


@pytest.fixture
def roles(the_vault: Server) -> dict[str, str]:
    """The environment of an AppRole whose tokens live an hour, and four at the longest."""
    role_id, secret_id = the_vault.approle(POLICY, token_ttl="1h", token_max_ttl="4h")
    return {"VAULT_ADDR": the_vault.address, "VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id}


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_written_is_read(the_vault: Server, version: int) -> None:
    mount = f"store-{version}"
    the_vault.enable_kv(mount, version)
    environment = {"VAULT_ADDR": the_vault.address, "VAULT_TOKEN": the_vault.token, "VAULT_KV_MOUNT": f"/{mount}/"}
    vault = Vault(environment | {"VAULT_KV_PREFIX": "/team a/b/"})
    assert vault.path("webdav") == f"{mount}/team a/b/webdav"
    assert vault.read("webdav") is None
    vault.write("webdav", {"a": "1", "list": ["x"]})
    assert vault.read("webdav") == {"a": "1", "list": ["x"]}
    vault.write("webdav", {"a": "2"})
    assert vault.read("webdav") == {"a": "2"}
    if version == 2:
        the_vault.delete("team%20a/b/webdav", mount)
        assert vault.read("webdav") is None


def test_a_token_is_renewed_before_its_end(the_vault: Server, roles: dict[str, str], time: FakeTime) -> None:
    vault = Vault(roles, time.clock)
    vault.read("x")
    token = token_of(vault)
    assert vault._renew_at == pytest.approx(1800, abs=60)
    time.now = 1900
    vault.read("x")
    assert token_of(vault) == token
    assert vault._renew_at == pytest.approx(1900 + 1800, abs=60)
    assert the_vault.call("POST", "auth/token/lookup", {"token": token})["data"]["last_renewal_time"]


def test_when_the_token_expires_is_known(the_vault: Server, roles: dict[str, str]) -> None:
    vault = Vault(roles)
    assert vault.token_expires_at is None
    vault.read("secret")
    assert vault.token_expires_at is not None
    assert 3000 < vault.token_expires_at - clock.time() <= 3600


def test_a_token_that_was_revoked_is_replaced_by_another_login(the_vault: Server, roles: dict[str, str]) -> None:
    vault = Vault(roles)
    vault.read("x")
    old = token_of(vault)
    the_vault.revoke(old)
    assert vault.read("x") is None
    assert token_of(vault) != old


def test_a_token_near_its_longest_life_is_replaced(the_vault: Server, time: FakeTime) -> None:
    """Renewal is capped: what is left gets shorter and shorter."""
    role_id, secret_id = the_vault.approle(POLICY, token_ttl="1h", token_max_ttl="1h")
    environment = {"VAULT_ADDR": the_vault.address, "VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id}
    vault = Vault(environment, time.clock)
    vault.read("x")
    for _ in range(3):
        time.now += 1900
        assert vault.read("x") is None


def test_a_token_that_cannot_be_renewed_serves_to_its_end(the_vault: Server, time: FakeTime) -> None:
    token = the_vault.create_token(ttl="1h", renewable=False)
    vault = Vault({"VAULT_ADDR": the_vault.address, "VAULT_TOKEN": token}, time.clock)
    for _ in range(3):
        assert vault.read("x") is None
        time.now += 1900
    the_vault.revoke(token)
    with pytest.raises(VaultForbidden):
        vault.read("x")


def test_a_secret_id_file_is_read_at_every_login(the_vault: Server, roles: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "secret-id"
    file.write_text(roles.pop("VAULT_SECRET_ID"))
    vault = Vault(roles | {"VAULT_SECRET_ID_FILE": str(file)})
    vault.read("x")
    right = file.read_text()
    the_vault.revoke(token_of(vault))
    file.write_text("rotated and not yet known")
    with pytest.raises(VaultForbidden):
        vault.read("x")
    file.write_text(right + "\n")
    assert vault.read("x") is None


def test_a_vault_that_was_sealed_is_used_again() -> None:
    with Server() as server:
        vault = Vault({"VAULT_ADDR": server.address, "VAULT_TOKEN": server.token})
        vault.write("x", {"a": "1"})
        server.seal()
        with pytest.raises(VaultUnavailable, match="sealed"):
            vault.read("x")
        server.unseal()
        assert vault.read("x") == {"a": "1"}


@pytest.mark.parametrize(
    ("environment", "source"),
    [
        ({"VAULT_TOKEN": "t", "VAULT_ROLE_ID": "r", "VAULT_K8S_ROLE": "k"}, "VAULT_TOKEN"),
        ({"VAULT_ROLE_ID": "r", "VAULT_K8S_ROLE": "k"}, "AppRole"),
        ({"VAULT_K8S_ROLE": "k"}, "Kubernetes"),
        ({}, "~/.vault-token"),
    ],
)
def test_the_first_login_that_is_set_is_taken(tmp_path: Path, environment: dict[str, str], source: str) -> None:
    (tmp_path / ".vault-token").write_text("t")
    assert choose_login(environment | {"HOME": str(tmp_path)}).source.startswith(source)


def test_no_login_at_all(tmp_path: Path) -> None:
    with pytest.raises(VaultForbidden, match="VAULT_ROLE_ID with VAULT_SECRET_ID"):
        choose_login({"HOME": str(tmp_path)})


# --- logins with few rights -------------------------------------------------------------------------------------------

READ_ONLY = 'path "secret/*" { capabilities = ["read"] }'


def test_a_token_that_may_not_look_itself_up_is_used(the_vault: Server, time: FakeTime) -> None:
    the_vault.policy("only-read", READ_ONLY)
    the_vault.write("few-rights", {"a": "1"})
    options = {"policies": ["only-read"], "no_default_policy": True, "ttl": "1h"}
    token = the_vault.call("POST", "auth/token/create", options)["auth"]["client_token"]
    vault = Vault({"VAULT_ADDR": the_vault.address, "VAULT_TOKEN": token}, time.clock)
    for _ in range(3):
        assert vault.read("few-rights") == {"a": "1"}
        time.now += 3000
    the_vault.revoke(token)
    with pytest.raises(VaultForbidden, match="The token is wrong or has expired"):
        vault.read("few-rights")


def test_a_login_whose_tokens_may_not_renew_themselves_is_repeated(the_vault: Server, time: FakeTime) -> None:
    role_id, secret_id = the_vault.approle(READ_ONLY, token_ttl="1h")
    environment = {"VAULT_ADDR": the_vault.address, "VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id}
    first = Vault(environment, time.clock)
    first.read("x")
    the_vault.call("POST", f"auth/approle/role/{role_of(the_vault, first)}", {"token_no_default_policy": True})
    vault = Vault(environment, time.clock)
    vault.read("x")
    old = token_of(vault)
    time.now += 1900
    vault.read("x")
    assert token_of(vault) != old


def role_of(the_vault: Server, vault: Vault) -> str:
    """The name of the AppRole that a token is from."""
    name: str = the_vault.call("POST", "auth/token/lookup", {"token": token_of(vault)})["data"]["meta"]["role_name"]
    return name


def test_a_token_whose_renewal_is_capped_is_replaced(the_vault: Server, roles: dict[str, str], time: FakeTime) -> None:
    vault = Vault(roles, time.clock)
    vault.read("x")
    old = token_of(vault)
    # From now on a renewal reaches to ten minutes after the login, instead of an hour.
    short = {"token_ttl": "10m", "token_max_ttl": "10m"}
    the_vault.call("POST", f"auth/approle/role/{role_of(the_vault, vault)}", short)
    time.now += 1900
    vault.read("x")
    assert token_of(vault) != old


def test_a_wrapped_secret_id_is_refused_in_clear_words(the_vault: Server, roles: dict[str, str]) -> None:
    vault = Vault(roles)
    vault.read("x")
    answer = requests.post(
        f"{the_vault.address}/v1/auth/approle/role/{role_of(the_vault, vault)}/secret-id",
        headers={"X-Vault-Token": the_vault.token, "X-Vault-Wrap-TTL": "5m"},
        timeout=30,
    )
    wrapped = answer.json()["wrap_info"]["token"]
    with pytest.raises(VaultForbidden, match="VAULT_SECRET_ID holds a wrapping token") as caught:
        Vault(roles | {"VAULT_SECRET_ID": wrapped}).read("x")
    assert "vault unwrap" in caught.value.hint
    assert wrapped not in str(caught.value)
    # It was not used up.
    unwrapped = the_vault.call("POST", "sys/wrapping/unwrap", {"token": wrapped})["data"]["secret_id"]
    assert Vault(roles | {"VAULT_SECRET_ID": unwrapped}).read("x") is None


def test_a_missing_mount_is_told_from_a_wrong_token(the_vault: Server) -> None:
    environment = {"VAULT_ADDR": the_vault.address, "VAULT_KV_MOUNT": "nowhere"}
    with pytest.raises(VaultForbidden, match="The mount nowhere does not exist or the login has no right in it"):
        Vault(environment | {"VAULT_TOKEN": the_vault.token}).read("x")
    with pytest.raises(VaultForbidden, match="The token is wrong or has expired, or the mount nowhere"):
        Vault(environment | {"VAULT_TOKEN": "s.unknown"}).read("x")


@pytest.mark.parametrize("path", ["v1", "ui"])
@pytest.mark.parametrize("login", ["token", "approle"])
def test_an_address_with_a_path_is_named(the_vault: Server, roles: dict[str, str], path: str, login: str) -> None:
    credentials = roles if login == "approle" else {"VAULT_TOKEN": the_vault.token}
    with pytest.raises(Failure, match=f"VAULT_ADDR has the path /{path}"):
        Vault(credentials | {"VAULT_ADDR": f"{the_vault.address}/{path}"}).read("x")
