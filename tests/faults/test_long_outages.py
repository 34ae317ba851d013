"""Whatever was away is taken up again when it comes back, without hammering and without a word too many."""

import io
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from scaler.images import codecs as images
from shared import logging as log
from shared.config.vault import Vault as Secrets
from shared.errors import VaultForbidden
from tests.faults.long_story import Events, run_scaler
from tests.scaler.harness import HIDDEN, RAW, UNSORTED, image

READ_WEBDAV = 'path "secret/*" { capabilities = ["read"] }'
A_WHILE = 120.0
AN_HOUR = 3600.0
# After as many Nextcloud shuts out everybody at an address.
WRONG_PASSWORDS = 11
# Longer than the pause after a password was rejected.
LONG_PAUSE = 2000.0
_numbers = itertools.count(1)


class Scene:
    """Both servers and the folders; an image can be put there, and looked for."""

    def __init__(self, vault: Vault, nextcloud: Nextcloud) -> None:
        self.vault = vault
        self.nextcloud = nextcloud
        self._waiting: list[str] = []
        for folder in (RAW, UNSORTED):
            (nextcloud.folder / folder).mkdir(parents=True)
        constants = {"RAW_NAMES_PREFIXES": ["Unknown"], "RAW_REMOTE_DIR": RAW, "UNSORTED_REMOTE_DIR": UNSORTED}
        vault.write("scaler_constants", constants)
        self.tell(nextcloud.password)

    def tell(self, password: str) -> None:
        """Write a password into Vault."""
        login = {"username": self.nextcloud.user, "password": password}
        self.vault.write("webdav", {"url": self.nextcloud.files_url} | login)

    def put(self) -> None:
        """An image for the scaler."""
        number = next(_numbers)
        self._waiting.append(f"Unknown-{number}")
        (self.nextcloud.folder / RAW / f"Unknown-{number}.png").write_bytes(image(number))

    def assert_scaled(self) -> None:
        """All that was put there was published by now."""
        there = [file.name for file in (self.nextcloud.folder / UNSORTED).iterdir() if file.name != HIDDEN]
        assert sorted(name.partition("_")[0] for name in there) == sorted(self._waiting)

    def assert_not_scaled(self) -> None:
        """What was put there last waits."""
        assert (self.nextcloud.folder / RAW / f"{self._waiting[-1]}.png").exists()

    def skip_list(self) -> int:
        """How often a wrong password was shown since this was asked last."""
        count = sum(record.status in (401, 429) for record in self.nextcloud.requests)
        self.nextcloud.clear_log()
        return count


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    with Vault() as server:
        yield server


@pytest.fixture
def scene(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for name in ("VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_NAMESPACE", "VAULT_KV_PREFIX", "VAULT_KV_MOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAULT_ADDR", vault.address)
    monkeypatch.setenv("VAULT_TOKEN", vault.token)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Nextcloud() as nextcloud:
        yield Scene(vault, nextcloud)


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("scaler", "INFO", None, stream)
    return stream


def errors(said: io.StringIO) -> list[str]:
    return [line for line in said.getvalue().splitlines() if " ERROR " in line or " WARNING " in line]


@pytest.mark.parametrize("first", ["server", "vault"])
def test_a_password_rotated_in_two_places_one_after_the_other(scene: Scene, said: io.StringIO, first: str) -> None:
    def events() -> Events:
        scene.put()
        yield A_WHILE
        scene.assert_scaled()
        assert scene.skip_list() == 0
        one, other = (scene.nextcloud.set_password, scene.tell)[:: 1 if first == "server" else -1]
        one("new")
        for _ in range(20):
            scene.put()
        yield AN_HOUR
        scene.assert_not_scaled()
        assert 1 <= scene.skip_list() < WRONG_PASSWORDS
        # By a person who mends it, the address is not shut out.
        scene.nextcloud.forgive_failures()
        other("new")
        yield LONG_PAUSE
        scene.assert_scaled()
        assert scene.skip_list() < WRONG_PASSWORDS

    run_scaler(events())
    assert len(errors(said)) <= 2


def test_a_password_that_is_rotated_while_ten_images_are_in_hand(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    upscale, calls = images.upscale, itertools.count(1)

    def rotate_at_the_fifth(data: bytes, *, quality: int) -> bytes:
        if next(calls) == 5:
            scene.nextcloud.set_password("new")
        return upscale(data, quality=quality)

    monkeypatch.setattr(images, "upscale", rotate_at_the_fifth)

    def events() -> Events:
        for _ in range(40):
            scene.put()
        yield A_WHILE
        assert 1 <= scene.skip_list() < WRONG_PASSWORDS
        scene.tell("new")
        yield A_WHILE
        scene.assert_scaled()
        assert scene.skip_list() == 0

    run_scaler(events())


def test_an_hour_of_maintenance(scene: Scene, said: io.StringIO) -> None:
    def events() -> Events:
        yield A_WHILE
        scene.nextcloud.maintenance = True
        scene.put()
        scene.nextcloud.clear_log()
        yield AN_HOUR
        scene.assert_not_scaled()
        assert len(scene.nextcloud.requests) < 150
        scene.nextcloud.maintenance = False
        yield 2 * A_WHILE + 300
        scene.assert_scaled()

    run_scaler(events())
    assert len(errors(said)) <= 2


def test_a_server_that_is_started_again(scene: Scene, said: io.StringIO) -> None:
    def events() -> Events:
        scene.put()
        yield A_WHILE
        for _ in range(3):
            scene.nextcloud.stop()
            scene.put()
            yield A_WHILE
            scene.assert_not_scaled()
            scene.nextcloud.start()
            yield 2 * A_WHILE + 300
            scene.assert_scaled()

    run_scaler(events())
    assert len(errors(said)) <= 6


def test_a_vault_that_is_sealed_for_hours(scene: Scene, said: io.StringIO) -> None:
    def events() -> Events:
        yield A_WHILE
        scene.vault.seal()
        scene.put()
        yield 1.5 * AN_HOUR
        scene.assert_scaled()
        scene.vault.unseal()
        scene.nextcloud.set_password("new")
        scene.tell("new")
        scene.put()
        yield A_WHILE
        scene.assert_scaled()
        assert scene.skip_list() < WRONG_PASSWORDS

    run_scaler(events())
    assert len(errors(said)) == 1


def test_a_vault_that_denies_access_for_an_hour_ends_the_daemon(
    scene: Scene, said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = scene.vault.create_token()
    monkeypatch.setenv("VAULT_TOKEN", token)
    reached: list[str] = []

    def events() -> Events:
        yield A_WHILE
        scene.vault.revoke(token)
        scene.put()
        yield AN_HOUR / 2
        scene.assert_scaled()
        reached.append("half an hour")
        yield AN_HOUR
        reached.append("an hour and a half")

    with pytest.raises(VaultForbidden):
        run_scaler(events())
    assert reached == ["half an hour"]
    assert len(errors(said)) == 1


@pytest.mark.slow
def test_tokens_are_renewed_up_to_their_longest_life_and_then_replaced(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In true time, which is the Vault's."""
    role_id, secret_id = scene.vault.approle(READ_WEBDAV, token_ttl="5s", token_max_ttl="12s")
    monkeypatch.delenv("VAULT_TOKEN")
    logins: list[str] = []
    logger.add(
        lambda message: logins.append(str(message)),
        level="DEBUG",
        filter=lambda record: "Logged in" in record["message"],
    )
    secrets = Secrets({"VAULT_ADDR": scene.vault.address, "VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id})
    began = time.monotonic()
    while time.monotonic() < began + 14:
        assert secrets.read("webdav")
        time.sleep(0.1)
    # Renewed three times, then replaced. Without renewal the third would be due by now.
    assert len(logins) == 2
