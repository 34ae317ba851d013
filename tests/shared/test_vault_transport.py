"""Whom Vault's client trusts, where it sends a login, and what it says where it cannot."""

import io
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from loguru import logger

from shared import logging as log
from shared.config.vault import Vault
from shared.config.vault_session import _may_follow
from shared.errors import Failure, InvalidSettings, VaultForbidden, VaultUnavailable
from tests.servers.canned import Answer, Asked, Canned, canned
from tests.servers.program import free_port
from tests.servers.tls import Authority

TOKEN, SECRET_ID = "hvs.the-token-of-a-test", "the-secret-id-of-a-test"
LOGINS = [
    pytest.param({"VAULT_TOKEN": TOKEN}, id="token"),
    pytest.param({"VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": SECRET_ID}, id="approle"),
]
ANSWERS: dict[str, object] = {
    "auth/token/lookup-self": {"data": {"ttl": 0}},
    "auth/approle/login": {"auth": {"client_token": TOKEN, "lease_duration": 3600}},
    "sys/internal/ui/mounts/secret": {"data": {"options": {"version": "2"}}},
    "secret/data/x": {"data": {"data": {"a": "1"}}},
}


def said_in_json(status: int, said: object, **headers: str) -> Answer:
    return Answer(status, json.dumps(said).encode(), {"Content-Type": "application/json"} | headers)


def vault(asked: Asked) -> Answer:
    """A Vault with one secret."""
    path = asked.path.removeprefix("/v1/")
    return said_in_json(200, ANSWERS[path]) if path in ANSWERS else said_in_json(404, {"errors": []})


def redirecting(target: Callable[[Asked], str], status: int = 307) -> Callable[[Asked], Answer]:
    return lambda asked: Answer(status, headers={"Location": target(asked)})


def read(server: Canned, **environ: str) -> object:
    login = {} if "VAULT_ROLE_ID" in environ else {"VAULT_TOKEN": TOKEN}
    vault = Vault({"VAULT_ADDR": server.url, **login, **environ})
    try:
        return vault.read("x")
    finally:
        vault._client.adapter.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="module")
def trusted(authority: Authority) -> ssl.SSLContext:
    return authority.certificate()


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("test", "INFO", None, stream)
    return stream


# --- certificates -----------------------------------------------------------------------------------------------------


def rejected(server: Canned, *words: str, kind: type[Failure] = VaultUnavailable, **environ: str) -> None:
    with pytest.raises(kind) as caught:
        read(server, **environ)
    assert server.asked == []
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("skip", [None, "", "0", "f", "false", "False", "no", "x"])
def test_no_request_reaches_a_server_that_is_not_trusted(trusted: ssl.SSLContext, skip: str | None) -> None:
    with canned(vault, trusted) as server:
        with pytest.raises(VaultUnavailable, match=r"certificate .* is not trusted.*VAULT_CACERT"):
            read(server, **({} if skip is None else {"VAULT_SKIP_VERIFY": skip}))
        assert server.asked == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("skip", ["1", "t", "true", "TRUE", " true\n"])
def test_verification_can_be_skipped(trusted: ssl.SSLContext, skip: str) -> None:
    with canned(vault, trusted) as server:
        assert read(server, VAULT_SKIP_VERIFY=skip) == {"a": "1"}


def test_the_authority_in_a_file_is_trusted_and_no_other(
    authority: Authority, other: Authority, trusted: ssl.SSLContext
) -> None:
    with canned(vault, trusted) as server:
        rejected(server, str(other.file), "VAULT_CACERT", VAULT_CACERT=str(other.file))
        assert read(server, VAULT_CACERT=str(authority.file)) == {"a": "1"}


def test_a_folder_of_authorities_is_trusted_whatever_its_files_are_called(
    authority: Authority, other: Authority, trusted: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first.crt").write_bytes(other.file.read_bytes())
    (tmp_path / "README").write_bytes(b"\xffnot a certificate")
    # It must not take the folder's place.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.file))
    with canned(vault, trusted) as server:
        rejected(server, "is not trusted", VAULT_CAPATH=str(tmp_path))
        (tmp_path / "second.pem").write_bytes(authority.file.read_bytes())
        assert read(server, VAULT_CAPATH=str(tmp_path)) == {"a": "1"}
        # A file takes precedence.
        server.asked.clear()
        rejected(server, "is not trusted", VAULT_CAPATH=str(tmp_path), VAULT_CACERT=str(other.file))


def test_a_folder_of_authorities_takes_the_place_of_the_public_ones(
    authority: Authority, other: Authority, trusted: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(authority.file))
    (tmp_path / "ours.pem").write_bytes(other.file.read_bytes())
    with canned(vault, trusted) as server:
        rejected(server, "is not trusted", VAULT_CAPATH=str(tmp_path))


def test_a_folder_without_certificates(trusted: ssl.SSLContext, tmp_path: Path) -> None:
    with canned(vault, trusted) as server:
        rejected(server, str(tmp_path), "VAULT_CAPATH", kind=InvalidSettings, VAULT_CAPATH=str(tmp_path))
        rejected(server, "/nowhere/certificates", "VAULT_CAPATH", VAULT_CAPATH="/nowhere/certificates")


def test_each_fault_of_a_certificate_has_its_own_words(authority: Authority) -> None:
    with canned(vault, authority.certificate(expired=True)) as server:
        rejected(server, "has expired", VAULT_CACERT=str(authority.file))
    with canned(vault, authority.certificate("vault.example.com")) as server:
        rejected(server, "another host name", "VAULT_ADDR", VAULT_CACERT=str(authority.file))


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_login_goes_from_https_to_http(
    authority: Authority, trusted: ssl.SSLContext, login: dict[str, str], status: int
) -> None:
    with canned(vault) as plain:
        to_plain = redirecting(lambda asked: plain.url + asked.path[1:], status)
        with (
            canned(to_plain, trusted) as server,
            pytest.raises(VaultUnavailable, match="redirects to http://") as caught,
        ):
            read(server, VAULT_CACERT=str(authority.file), **login)
        assert plain.asked == []
        assert plain.url.rstrip("/") in caught.value.hint


@pytest.mark.parametrize("login", LOGINS)
def test_no_login_goes_to_another_host(authority: Authority, login: dict[str, str]) -> None:
    with canned(vault, authority.certificate("localhost")) as target:
        elsewhere = target.url.replace("127.0.0.1", "localhost")
        with (
            canned(redirecting(lambda asked: elsewhere + asked.path[1:]), authority.certificate()) as server,
            pytest.raises(VaultUnavailable, match="redirects to https://localhost:"),
        ):
            read(server, VAULT_CACERT=str(authority.file), **login)
        assert target.asked == []


@pytest.mark.parametrize("login", LOGINS)
def test_in_plain_http_another_port_may_be_anybodys(login: dict[str, str]) -> None:
    with canned(vault) as target:
        with (
            canned(redirecting(lambda asked: target.url + asked.path[1:])) as server,
            pytest.raises(VaultUnavailable, match="redirects to http://"),
        ):
            read(server, **login)
        assert target.asked == []


@pytest.mark.parametrize(("there", "followed"), [("http://vault:80/v1/y", True), ("http://vault:81/v1/y", False)])
def test_a_port_may_be_left_out(there: str, followed: bool) -> None:
    assert _may_follow("http://vault/v1/x", there) == followed


def test_the_target_of_a_redirect_is_named_with_its_port() -> None:
    with (
        canned(redirecting(lambda _: "https://other.example.com/")) as server,
        pytest.raises(VaultUnavailable, match=r"redirects to https://other\.example\.com:443, "),
    ):
        read(server)


@pytest.mark.parametrize("login", LOGINS)
def test_https_to_https_on_the_same_host_is_followed(
    authority: Authority, trusted: ssl.SSLContext, login: dict[str, str]
) -> None:
    with canned(vault, trusted) as target:
        with canned(redirecting(lambda asked: target.url + asked.path[1:]), trusted) as server:
            assert read(server, VAULT_CACERT=str(authority.file), **login) == {"a": "1"}
        assert {asked.headers.get("X-Vault-Token") for asked in target.asked if asked.method == "GET"} == {TOKEN}


def test_a_redirect_on_the_same_server_is_followed_unless_it_ends_nowhere() -> None:
    def moved(asked: Asked) -> Answer:
        if asked.path.startswith("/v1/"):
            return Answer(301, headers={"Location": "/moved" + asked.path})
        return vault(Asked(asked.method, asked.path.removeprefix("/moved"), asked.headers, asked.body))

    with canned(moved) as server:
        assert read(server) == {"a": "1"}
    with canned(redirecting(lambda asked: asked.path)) as server, pytest.raises(VaultUnavailable, match="in a circle"):
        read(server)


def test_a_login_is_not_turned_into_something_else_by_a_redirect() -> None:
    with (
        canned(redirecting(lambda asked: "/moved" + asked.path, 302)) as server,
        pytest.raises(VaultUnavailable, match="redirects to"),
    ):
        read(server, VAULT_ROLE_ID="role", VAULT_SECRET_ID=SECRET_ID)
    assert [asked.method for asked in server.asked] == ["POST"]


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(400, b"Client sent an HTTP request to an HTTPS server."), "https:// instead of http://"),
        (Answer(400, b"<title>The plain HTTP request was sent to HTTPS port</title>"), "https:// instead of http://"),
        (Answer(400, b"you're speaking plain HTTP to an SSL-enabled server port."), "https:// instead of http://"),
        (Answer(403, b"<html>forbidden by the firewall</html>"), "does not answer like Vault"),
        (Answer(404, b"<html>no such page</html>"), "does not answer like Vault"),
        (said_in_json(503, {"errors": ["Vault is sealed"]}), "is sealed"),
        (said_in_json(503, {"errors": ["error: local node not active but active cluster node not found"]}), "standby"),
        (Answer(503, b"<html>Service Unavailable</html>"), "internal error"),
        (Answer(504, b"<html>Gateway Timeout</html>"), "internal error"),
        (said_in_json(501, {"errors": []}), "not initialized"),
        (said_in_json(429, {"errors": ["rate limit quota exceeded"]}), "too many requests"),
        (Answer(407, b""), "requires a user name and password"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value.body)[:40],
)
def test_what_is_no_answer_of_vault_is_told_apart(answer: Answer, words: str) -> None:
    for login in ({}, {"VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": SECRET_ID}):
        with canned(lambda _: answer) as server, pytest.raises(VaultUnavailable, match=words) as caught:
            read(server, **login)
        assert "sealed" not in str(caught.value) or words == "is sealed"


@pytest.mark.parametrize("path", ["v1", "v1/", "ui/vault"])
def test_an_address_with_a_path_says_so(path: str) -> None:
    with canned(vault) as server, pytest.raises(VaultUnavailable) as caught:
        read(server, VAULT_ADDR=server.url + path)
    assert f"VAULT_ADDR has the path /{path.rstrip('/')}" in caught.value.hint
    assert server.url.rstrip("/") in caught.value.hint


def test_a_slash_at_the_end_of_the_address_is_fine() -> None:
    with canned(vault) as server:
        assert server.url.endswith("/")
        assert read(server) == {"a": "1"}


def test_an_unknown_host_and_a_port_without_tls_have_their_own_words() -> None:
    with pytest.raises(VaultUnavailable, match="cannot be resolved"):
        Vault({"VAULT_ADDR": "http://vault.invalid:8200", "VAULT_TOKEN": TOKEN}).read("x")
    with canned(vault) as server, pytest.raises(VaultUnavailable, match="does not speak TLS"):
        read(server, VAULT_ADDR=server.url.replace("http:", "https:"))


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("HTTP_PROXY", f"http://user:proxy-s3cret@{proxy}")
    with pytest.raises(VaultUnavailable, match=f"The proxy http://{proxy} ") as caught:
        Vault({"VAULT_ADDR": "http://vault.example.com:8200", "VAULT_TOKEN": TOKEN}).read("x")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("http://vault.example.com:8200", True),
        ("http://10.0.0.1:8200", True),
        ("https://vault.example.com:8200", False),
        ("http://localhost:8200", False),
        ("http://127.0.0.1:8200", False),
        ("http://[::1]:8200", False),
        ("http://[::1", False),
    ],
)
def test_plain_http_to_another_machine_is_warned_about(said: io.StringIO, address: str, warned: bool) -> None:
    Vault({"VAULT_ADDR": address, "VAULT_TOKEN": TOKEN})
    assert said.getvalue().count("plain HTTP") == warned


def test_a_password_in_the_address_is_never_shown(said: io.StringIO) -> None:
    with canned(lambda _: Answer(500)) as server:
        address = server.url.replace("http://", "http://user:addr3ss-s3cret@")
        with pytest.raises(VaultUnavailable) as caught:
            read(server, VAULT_ADDR=address)
    assert "s3cret" not in str(caught.value)
    logger.warning("{}", caught.value.__cause__)
    assert "s3cret" not in said.getvalue()


# --- tokens and secret ids --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("around", ["\n", " ", "\r\n", "\t"])
@pytest.mark.parametrize("login", LOGINS)
def test_white_space_around_a_value_is_ignored(login: dict[str, str], around: str) -> None:
    with canned(vault) as server:
        login = {name: around + value + around for name, value in login.items()}
        assert read(server, VAULT_KV_MOUNT=" secret\n", **login) == {"a": "1"}
    assert {asked.headers.get("X-Vault-Token") for asked in server.asked[1:]} == {TOKEN}
    if "VAULT_ROLE_ID" in login:
        assert json.loads(server.asked[0].body) == {"role_id": "role", "secret_id": SECRET_ID}


@pytest.mark.parametrize("content", [f"{TOKEN}\n", f"\ufeff{TOKEN}\r\n"])
def test_a_token_file_may_have_line_ends_and_a_byte_order_mark(tmp_path: Path, content: str) -> None:
    (tmp_path / ".vault-token").write_text(content, "utf-8", newline="")
    with canned(vault) as server:
        assert read(server, VAULT_TOKEN="", HOME=str(tmp_path)) == {"a": "1"}
    assert server.asked[0].headers["X-Vault-Token"] == TOKEN


@pytest.mark.parametrize(
    "content", [b"", b"\n", TOKEN.encode("utf-16"), b"hvs.\xff", b"two\ntokens", "tökens".encode()]
)
def test_what_is_no_token_is_rejected_in_clear_words(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / ".vault-token"
    file.write_bytes(content)
    with canned(vault) as server, pytest.raises(VaultForbidden, match=str(file)) as caught:
        read(server, VAULT_TOKEN="", HOME=str(tmp_path))
    assert server.asked == []
    assert "tokens" not in caught.value.message.removeprefix(str(file))
