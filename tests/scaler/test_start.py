"""What the scaler says where it cannot start, and where the image server makes no sense: one message each."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from tests.scaler.cli import CONSTANTS, Home, Outcome, webdav_secret
from tests.scaler.harness import RAW, UNSORTED, image, inside, prepare
from tests.servers.canned import Answer, Asked, Canned, canned
from tests.servers.program import free_port
from tests.servers.site import DiskSite

READ = 'path "*" { capabilities = ["read"] }'


def assert_fails(outcome: Outcome, home: Home, *expected: str, status: int = 2) -> None:
    """One message, with everything that is expected, without a traceback and without a secret."""
    assert outcome.status == status, outcome.said
    assert len(outcome.errors) == 1, outcome.said
    for part in expected:
        assert part in outcome.said
    assert "Traceback" not in outcome.said
    assert home.vault.token not in outcome.said


@pytest.fixture
def seeded(nextcloud_site: DiskSite, home: Home) -> Home:
    """Settings with which everything works."""
    prepare(nextcloud_site)
    nextcloud_site.write(f"{RAW}/Unknown.png", image())
    home.point_to(nextcloud_site)
    return home


# --- Vault ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("login", ["token", "approle", "approle with a file", "~/.vault-token"])
def test_both_versions_and_every_login_work(
    nextcloud_site: DiskSite, home: Home, the_vault: Vault, tmp_path: Path, version: int, login: str
) -> None:
    prepare(nextcloud_site)
    nextcloud_site.write(f"{RAW}/Unknown.png", image())
    mount = f"kv{version}-{home.prefix}"
    the_vault.enable_kv(mount, version)
    home.write("webdav", webdav_secret(nextcloud_site), mount)
    home.write("scaler_constants", CONSTANTS, mount)
    changes: dict[str, str | None] = {"VAULT_KV_MOUNT": mount}
    if login == "~/.vault-token":
        (tmp_path / ".vault-token").write_text(the_vault.token + "\n")
        changes["VAULT_TOKEN"] = None
    elif login != "token":
        policy = f'path "{mount}/*" {{ capabilities = ["read"] }}'
        role_id, secret_id = the_vault.approle(policy)
        changes |= {"VAULT_TOKEN": None, "VAULT_ROLE_ID": role_id}
        if login == "approle":
            changes["VAULT_SECRET_ID"] = secret_id
        else:
            (tmp_path / "secret-id").write_text(secret_id + "\n")
            changes["VAULT_SECRET_ID_FILE"] = str(tmp_path / "secret-id")
    outcome = home.scaler("--once", **changes)
    assert outcome.status == 0, outcome.said
    assert len(inside(nextcloud_site, UNSORTED)) == 1


def test_a_list_in_a_string_is_read_too(nextcloud_site: DiskSite, seeded: Home) -> None:
    seeded.write("scaler_constants", CONSTANTS | {"RAW_NAMES_PREFIXES": '["Unknown", "x"]'})
    assert seeded.scaler("--once").status == 0
    assert len(inside(nextcloud_site, UNSORTED)) == 1


def test_vault_away(seeded: Home) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    outcome = seeded.scaler(VAULT_ADDR=address)
    assert_fails(outcome, seeded, address, "refuses connections", "VAULT_ADDR")


def test_vault_sealed(tmp_path: Path) -> None:
    with Vault() as vault:
        home = Home(vault, tmp_path)
        vault.seal()
        assert_fails(home.scaler(), home, vault.address, "is sealed", "has to unseal it")


@pytest.mark.parametrize("address", ["localhost:8200", "nonsense", "http://", "ftp://127.0.0.1/"])
def test_an_address_of_vault_that_is_none(seeded: Home, address: str) -> None:
    outcome = seeded.scaler(VAULT_ADDR=address)
    assert_fails(outcome, seeded, address, "is not an address", "https://vault.example.com:8200")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>welcome</html>", {"Content-Type": "text/html"}),
        Answer(200, b'"json"', {"Content-Type": "application/json"}),
        Answer(200, b"{}", {"Content-Type": "application/json"}),
        Answer(204),
    ],
    ids=["html", "json", "empty json", "nothing"],
)
@pytest.mark.parametrize("login", ["token", "approle"])
def test_another_server_than_vault(seeded: Home, answer: Answer, login: str) -> None:
    approle: dict[str, str | None] = {"VAULT_TOKEN": None, "VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": "secret-id-1"}
    with canned(lambda _: answer) as server:
        outcome = seeded.scaler(VAULT_ADDR=server.url, **(approle if login == "approle" else {}))
        assert_fails(outcome, seeded, server.url, "like Vault", "VAULT_ADDR")
        assert "secret-id-1" not in outcome.said


def test_a_missing_certificate_file_of_vault(seeded: Home) -> None:
    outcome = seeded.scaler(VAULT_ADDR="https://127.0.0.1:1", VAULT_CACERT="/nowhere/ca.pem")
    assert_fails(outcome, seeded, "/nowhere/ca.pem", "VAULT_CACERT")


def test_a_wrong_token(seeded: Home) -> None:
    outcome = seeded.scaler(VAULT_TOKEN="s.not-a-token-of-this-vault")
    assert_fails(outcome, seeded, seeded.vault.address, "denied access", "VAULT_TOKEN", "check the token")
    assert "not-a-token" not in outcome.said


def test_a_wrong_secret_id(seeded: Home, the_vault: Vault) -> None:
    role_id, _ = the_vault.approle(READ)
    login: dict[str, str | None] = {"VAULT_TOKEN": None, "VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": "wrong-secret-id"}
    outcome = seeded.scaler(**login)
    assert_fails(outcome, seeded, "denied access", "AppRole", "check the token or role")
    assert "wrong-secret-id" not in outcome.said


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"VAULT_TOKEN": None}, "No login for Vault is set"),
        ({"VAULT_TOKEN": None, "VAULT_ROLE_ID": "role"}, "VAULT_SECRET_ID"),
        ({"VAULT_TOKEN": None, "VAULT_ROLE_ID": "r", "VAULT_SECRET_ID_FILE": "/nowhere/id"}, "/nowhere/id"),
        ({"VAULT_TOKEN": None, "VAULT_K8S_ROLE": "r"}, "serviceaccount"),
    ],
)
def test_a_login_that_is_not_complete(seeded: Home, changes: Mapping[str, str | None], expected: str) -> None:
    assert_fails(seeded.scaler(**changes), seeded, expected)


def test_a_wrong_mount(seeded: Home) -> None:
    outcome = seeded.scaler(VAULT_KV_MOUNT="nowhere")
    assert_fails(outcome, seeded, f"nowhere/{seeded.prefix}/webdav", "VAULT_KV_MOUNT")


def test_a_policy_that_does_not_reach(seeded: Home, the_vault: Vault) -> None:
    the_vault.policy("too-little", 'path "secret/data/other" { capabilities = ["read"] }')
    token = the_vault.create_token(policies=["too-little"])
    outcome = seeded.scaler(VAULT_TOKEN=token)
    assert_fails(outcome, seeded, f"secret/{seeded.prefix}/webdav", "its policy")
    assert token not in outcome.said


@pytest.mark.parametrize("how", ["never written", "deleted"])
def test_missing_secrets_are_all_named(home: Home, the_vault: Vault, how: str) -> None:
    if how == "deleted":
        home.write("webdav", {"url": "http://127.0.0.1/"})
        the_vault.delete(f"{home.prefix}/webdav")
    outcome = home.scaler()
    path = f"secret/{home.prefix}"
    assert_fails(outcome, home, f"{path}/webdav is missing", f"{path}/scaler_constants is missing", "vault kv put")


WRONG: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"password": None}, {}, ["webdav: password: is missing"]),
    ({"username": None, "url": None}, {"RAW_REMOTE_DIR": None}, ["username: is missing", "RAW_REMOTE_DIR: is missing"]),
    ({"url": None}, {}, ["webdav: url or host_url must be set"]),
    ({"url": "host/dav"}, {}, ["webdav: url: must be an address"]),
    ({"url": "http://alice:s3cret-in-url@h/"}, {}, ["webdav: url: must not contain a user name"]),
    ({"url": "http://h:99999999/"}, {}, ["webdav: url: "]),
    ({"url": "http://[::1"}, {}, ["webdav: url: "]),
    ({"password": ""}, {}, ["webdav: password: must not be empty"]),
    ({"password": ["s3cret-in-list"]}, {}, ["webdav: password: "]),
    ({}, {"RAW_NAMES_PREFIXES": "Unknown"}, ['RAW_NAMES_PREFIXES: must be a list such as ["Unknown"]']),
    ({}, {"RAW_NAMES_PREFIXES": "5"}, ["RAW_NAMES_PREFIXES: "]),
    ({}, {"RAW_NAMES_PREFIXES": 5}, ["RAW_NAMES_PREFIXES: "]),
    ({}, {"RAW_NAMES_PREFIXES": []}, ["RAW_NAMES_PREFIXES: "]),
    ({}, {"RAW_NAMES_PREFIXES": ["Unknown", ""]}, ["RAW_NAMES_PREFIXES.1: must be the beginning"]),
    ({}, {"RAW_NAMES_PREFIXES": ["raw/Unknown"]}, ["RAW_NAMES_PREFIXES.0: must be the beginning"]),
    ({}, {"RAW_REMOTE_DIR": ["a"]}, ["RAW_REMOTE_DIR: "]),
    ({}, {"RAW_REMOTE_DIR": "/"}, ["RAW_REMOTE_DIR: must name a folder"]),
    ({}, {"RAW_REMOTE_DIR": "a/../b"}, ["RAW_REMOTE_DIR: must not contain"]),
    ({}, {"RAW_REMOTE_DIR": UNSORTED}, ["RAW_REMOTE_DIR and UNSORTED_REMOTE_DIR must differ"]),
    ({}, {"RAW_REMOTE_DIR": f"/{UNSORTED}//"}, ["RAW_REMOTE_DIR and UNSORTED_REMOTE_DIR must differ"]),
]


@pytest.mark.parametrize(("webdav", "constants", "expected"), WRONG)
def test_settings_that_are_missing_or_wrong(
    nextcloud_site: DiskSite, home: Home, webdav: dict[str, Any], constants: dict[str, Any], expected: list[str]
) -> None:
    def changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in {**values, **changes}.items() if value is not None}

    home.write("webdav", changed(webdav_secret(nextcloud_site), webdav))
    home.write("scaler_constants", changed(CONSTANTS, constants))
    outcome = home.scaler()
    assert_fails(outcome, home, f"secret/{home.prefix}/", *expected, "vault kv put")
    assert "s3cret" not in outcome.said
    assert nextcloud_site.password not in outcome.said


# --- the image server ---------------------------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html><html><form>Log in</form></html>"
HEAD = b'<?xml version="1.0"?>'
BOMB = (
    HEAD
    + b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%b">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in range(ord("b"), ord("k")))
    + b']><d:multistatus xmlns:d="DAV:">&j;</d:multistatus>'
)
LISTING = (
    b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/dav/data/raw/</d:href><d:propstat><d:prop><d:resourcetype>'
    b"<d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
)

NONSENSE = {
    "login page with 200": (Answer(200, PAGE, {"Content-Type": "text/html"}), "status 200 and text/html"),
    "login page with 207": (Answer(207, PAGE, {"Content-Type": "text/html"}), "not "),
    "redirect": (Answer(302, b"", {"Location": "https://sso.example.com/login?token=s3cret"}), "sso.example.com/login"),
    "relative redirect": (Answer(301, b"", {"Location": "/login"}), "redirect to"),
    "broken XML": (Answer(207, LISTING[:-20]), "not XML"),
    "no XML": (Answer(207, b""), "not XML"),
    "other XML": (Answer(207, HEAD + b"<rss/>"), "multistatus"),
    "entity bomb": (Answer(207, BOMB), "The listing is not"),
    "about something else": (
        Answer(207, LISTING.replace(b"raw", b"row") + b"</d:multistatus>"),
        "does not contain that folder",
    ),
    "method not allowed": (Answer(405, PAGE), "status 405"),
    "not implemented": (Answer(501, PAGE), "status 501"),
}


@pytest.fixture
def nonsense(home: Home) -> Iterator[tuple[Home, Canned]]:
    """An image server that answers what a test puts into it."""
    with canned(lambda _: Answer(500)) as server:
        home.write("webdav", {"url": server.url + "dav", "username": "alice", "password": "s3cret-password"})
        home.write("scaler_constants", CONSTANTS)
        yield home, server


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize("arguments", [[], ["--once"], ["--dry-run"]], ids=["daemon", "once", "dry run"])
def test_a_server_that_is_no_webdav_server(nonsense: tuple[Home, Canned], name: str, arguments: list[str]) -> None:
    home, server = nonsense
    answer, expected = NONSENSE[name]
    server.answer = lambda _: answer
    outcome = home.scaler(*arguments)
    assert_fails(outcome, home, expected, "webdav/url")
    assert "s3cret" not in outcome.said
    assert {asked.method for asked in server.asked} == {"PROPFIND"}


@pytest.mark.parametrize("answer", [Answer(207, LISTING, length=10**6), Answer(503), Answer(500, PAGE)])
def test_a_server_that_is_not_well_is_tried_again_and_named(nonsense: tuple[Home, Canned], answer: Answer) -> None:
    home, server = nonsense
    server.answer = lambda _: answer
    outcome = home.scaler("--once")
    assert_fails(outcome, home, status=1)
    assert len(server.asked) == 5


def test_a_server_that_is_not_there(home: Home) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    home.write("webdav", {"url": url, "username": "alice", "password": "s3cret-password"})
    home.write("scaler_constants", CONSTANTS)
    outcome = home.scaler("--once")
    assert_fails(outcome, home, url.rstrip("/"), "refuses connections", "Is the server running", status=1)


def test_a_missing_certificate_file(home: Home) -> None:
    home.write("webdav", {"url": "https://127.0.0.1:1/", "username": "alice", "password": "s3cret-password"})
    home.write("scaler_constants", CONSTANTS)
    outcome = home.scaler("--once", WEBDAV_CACERT="/nowhere/ca.pem")
    assert_fails(outcome, home, "/nowhere/ca.pem", "WEBDAV_CACERT")


def test_a_wrong_password_is_shown_to_the_server_once(
    nextcloud_site: DiskSite, home: Home, the_nextcloud: Nextcloud
) -> None:
    prepare(nextcloud_site)
    home.point_to(nextcloud_site)
    home.write("webdav", webdav_secret(nextcloud_site) | {"password": "wr0ng-password"})
    the_nextcloud.clear_log()
    try:
        outcome = home.scaler()
        assert [record.status for record in the_nextcloud.requests] == [401]
    finally:
        the_nextcloud.forgive_failures()
    assert_fails(outcome, home, "rejected the user name or password", "webdav/password", "app password")
    assert "wr0ng" not in outcome.said


@pytest.mark.server
def test_a_wrong_password_on_apache(apache_site: DiskSite, home: Home) -> None:
    prepare(apache_site)
    home.point_to(apache_site)
    home.write("webdav", webdav_secret(apache_site) | {"password": "wr0ng-password"})
    assert_fails(home.scaler("--once"), home, "rejected the user name or password", "webdav/password")


@pytest.mark.parametrize(("missing", "key"), [(RAW, "RAW_REMOTE_DIR"), (UNSORTED, "UNSORTED_REMOTE_DIR")])
def test_a_missing_folder(nextcloud_site: DiskSite, home: Home, missing: str, key: str) -> None:
    prepare(nextcloud_site)
    nextcloud_site.remove(missing)
    home.point_to(nextcloud_site)
    for arguments in ([], ["--once"]):
        assert_fails(home.scaler(*arguments), home, f"The folder {missing} does not exist", f"scaler_constants/{key}")


def test_a_log_file_that_cannot_be_written(seeded: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = seeded.scaler("--log-file", str(tmp_path / "file" / "log"))
    assert outcome.status == 2
    assert "Traceback" not in outcome.said
    assert str(tmp_path / "file" / "log") in outcome.said


# --- listings that lead astray --------------------------------------------------------------------------------------


def entry(href: str, *, size: int = 5) -> str:
    return (
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop><d:resourcetype/><d:getetag>&quot;1&quot;</d:getetag>"
        f"<d:getcontentlength>{size}</d:getcontentlength><d:getlastmodified>Mon, 01 Jan 2024 00:00:00 GMT"
        "</d:getlastmodified></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
    )


def folder(href: str) -> str:
    return entry(href).replace("<d:resourcetype/>", "<d:resourcetype><d:collection/></d:resourcetype>")


def liar(hrefs: list[str]) -> Callable[[Asked], Answer]:
    """A server whose raw folder holds what a test says; all else is an empty folder, or a file as it was sent."""
    sent: dict[str, int] = {}

    def answer(asked: Asked) -> Answer:
        if asked.method == "PUT":
            sent[asked.path] = len(asked.body)
        if asked.method != "PROPFIND":
            return Answer(201 if asked.method in ("PUT", "MKCOL") else 404)
        itself = entry(asked.path, size=sent[asked.path]) if asked.path in sent else folder(asked.path)
        inner = "".join(entry(href) for href in hrefs) if asked.path.rstrip("/") == f"/dav/{RAW}" else ""
        return Answer(207, f'<d:multistatus xmlns:d="DAV:">{itself}{inner}</d:multistatus>'.encode())

    return answer


@pytest.mark.parametrize(
    "href",
    [
        "/dav/data/Unknown.png",
        "/dav/data/raw/../Unknown.png",
        "/dav/data/raw/%2e%2e/Unknown.png",
        "/dav/data/raw/..%2fUnknown.png",
        "/dav/data/raw/deep/Unknown.png",
        "/dav/data/raw%2FUnknown.png",
        "/dav/data/raw/Unknown%00.png",
        "/other/data/raw/Unknown.png",
        "Unknown.png",
        "",
        "http://[broken/dav/data/raw/Unknown.png",
    ],
)
def test_what_is_no_child_of_the_folder_is_not_touched(nonsense: tuple[Home, Canned], href: str) -> None:
    home, server = nonsense
    server.answer = liar([href])
    outcome = home.scaler("--once")
    assert outcome.status == 0, outcome.said
    assert {asked.method for asked in server.asked} <= {"PROPFIND", "PUT", "MKCOL"}
    assert not [asked for asked in server.asked if "Unknown" in asked.path]


@pytest.mark.parametrize(
    "href",
    [
        "/dav/data/raw/Unknown.png",
        "http://elsewhere.example.com/dav/data/raw/Unknown.png",
        "/dav/data/raw/Unknown%c3%bc%28%7e.png",
        "/dav//data/raw/Unknown.png",
    ],
)
def test_a_child_of_the_folder_is_fetched_from_this_server_as_it_was_named(
    nonsense: tuple[Home, Canned], href: str
) -> None:
    home, server = nonsense
    server.answer = liar([href])
    assert home.scaler("--once").status == 0
    (got,) = [asked.path for asked in server.asked if asked.method == "GET"]
    # Requests spells %7e as ~, which is the same address.
    assert unquote(got) == unquote(re.sub("^http://[^/]+", "", href))
