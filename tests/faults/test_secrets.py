"""No password, token or secret id can be read anywhere, whatever goes wrong.

/proc/PID/environ is left out: what stands there, the user has put there.
"""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from mover.config import MoverConfig
from mover.selection import Rules
from sandbox.nextcloud import Nextcloud
from sandbox.seed import ORGANIZED, RAW, UNSORTED
from sandbox.vault import Vault
from scaler.config import ScalerConfig, read_config
from shared import redaction
from shared.config.settings import WebDavSecret
from shared.config.vault import Vault as SharedVault
from shared.webdav.account import WebDavAccount
from tests.faults.secrets_echo import echo
from tests.faults.secrets_runs import Run, leaks, spellings
from tests.scaler.harness import image
from tests.servers.stores import connected

PASSWORD = 'p#ä%/+ "s w€rd'
NOBODY = "http://127.0.0.1:9"
AT_ONCE = 4
_numbers = itertools.count(1)

# An unexpected error with a secret in its text.
_ERROR = """
def fail(*_, **__):
    secret = {secret}
    try:
        raise KeyError(secret)
    except KeyError:
        raise RuntimeError("Unexpected error " + secret)
"""
_OF_PASSWORD = _ERROR.format(secret=repr(PASSWORD))
_OF_TOKEN = _ERROR.format(secret="__import__('os').environ['VAULT_TOKEN']")
IN_POLL = f"""{_OF_PASSWORD}
import scaler.service, mover.service
scaler.service.ScalerService._poll_once = mover.service.MoverService.poll = fail
"""
IN_IMAGE = f"{_OF_PASSWORD}\nimport scaler.images.codecs\nscaler.images.codecs.upscale = fail\n"
IN_LIBRARY = f"{_OF_TOKEN}\nimport hvac.adapters\nhvac.adapters.JSONAdapter.request = fail\n"
OF_LIBRARY = """
import logging, os, warnings, hvac.adapters
def chatty(self, *arguments, request=hvac.adapters.JSONAdapter.request, **options):
    logging.getLogger("urllib3").error("shown %s and %r", os.environ["VAULT_TOKEN"], os.environ["VAULT_TOKEN"])
    warnings.warn("shown " + os.environ["VAULT_TOKEN"], stacklevel=1)
    return request(self, *arguments, **options)
hvac.adapters.JSONAdapter.request = chatty
"""


class Scene:
    """A Vault, a Nextcloud, and a server that echoes."""

    def __init__(self, vault: Vault, nextcloud: Nextcloud, echoing: str) -> None:
        self.vault = vault
        self.echoing = echoing
        self._nextcloud = nextcloud
        self.token = vault.create_token()
        self.role_id, self.secret_id = vault.approle('path "secret/*" { capabilities = ["read"] }')
        self.secrets = [PASSWORD, f"alice:{PASSWORD}", self.token, self.secret_id]

    def settings(self, **webdav: object) -> dict[str, str]:
        """The environment for settings of its own: `webdav` in place of what is right."""
        prefix = f"run-{next(_numbers)}"
        right = {"url": self._nextcloud.files_url, "username": "alice", "password": PASSWORD}
        constants = {"UNSORTED_REMOTE_DIR": UNSORTED}
        self.vault.write(f"{prefix}/webdav", right | webdav)
        scaler = {"RAW_NAMES_PREFIXES": ["Unknown"], "RAW_REMOTE_DIR": RAW}
        self.vault.write(f"{prefix}/scaler_constants", constants | scaler)
        mover = {"IMAGES_ROOT_DIR": ORGANIZED, "PARENT_TAG_VALUE": "ai"}
        self.vault.write(f"{prefix}/mover_constants", constants | mover)
        return {"VAULT_ADDR": self.vault.address, "VAULT_TOKEN": self.token, "VAULT_KV_PREFIX": prefix}

    @property
    def needles(self) -> set[bytes]:
        """All that must not be found."""
        return {needle for secret in self.secrets for needle in spellings(secret)}

    def put(self, name: str, data: bytes) -> None:
        """Put an image into the raw folder."""
        (self._nextcloud.folder / RAW / name).write_bytes(data)

    @property
    def approle(self) -> dict[str, str]:
        """The environment for a login by AppRole."""
        login = {"VAULT_ROLE_ID": self.role_id, "VAULT_SECRET_ID": self.secret_id}
        return {key: value for key, value in self.settings().items() if key != "VAULT_TOKEN"} | login


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Vault() as vault, Nextcloud(password=PASSWORD) as nextcloud, echo() as echoing:
        for folder in (RAW, UNSORTED, ORGANIZED):
            (nextcloud.folder / folder).mkdir(parents=True)
        yield Scene(vault, nextcloud, echoing)


def runs(scene: Scene, daemon: str) -> list[Run]:
    """Everything that goes wrong, once."""
    echoing = {
        "/status/401/": "rejected the user name or password",
        "/type/": "200 and ***" if daemon == "scaler" else "does not answer like a Nextcloud",
        "/xml/": "is not XML",
    }
    server, vault, settings = scene.echoing, {"VAULT_ADDR": scene.echoing}, scene.settings
    return [
        Run(daemon, "Logged in" if daemon == "mover" else "Poll finished", scene.approle, (), lasts=True),
        Run(daemon, "ok ", settings(), ("--check",)),
        Run(daemon, "redirect", settings(url=f"{server}/redirect/"), ("--check",)),
        Run(daemon, "would" if daemon == "scaler" else "nothing to do", settings(), ("--dry-run",)),
        Run(daemon, "rejected the user name", settings(password=PASSWORD + "!")),
        Run(daemon, "refuses connections", settings(url=f"{NOBODY}/remote.php/dav/files/alice/")),
        *(Run(daemon, says, settings(url=server + path)) for path, says in echoing.items()),
        Run(daemon, "url", settings(url=f"http://alice:{PASSWORD}@127.0.0.1/")),
        Run(daemon, "password", settings(password=[PASSWORD])),
        Run(daemon, "denied access", settings() | vault),
        Run(daemon, "denied access", scene.approle | vault),
        Run(daemon, "refuses connections", settings() | {"VAULT_ADDR": NOBODY}),
        Run(daemon, "Unexpected error", settings(), before=IN_POLL),
        Run(daemon, "Unexpected error", settings(), before=IN_LIBRARY),
        Run(daemon, "shown", settings(), before=OF_LIBRARY),
    ]


def check(scene: Scene, planned: list[Run], folder: Path) -> None:
    """Run them all, see that each came to what it is about, and that none told a secret."""
    folders = [folder / str(number) for number in range(len(planned))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(Run.go, planned, folders))
    for run in planned:
        assert run.says in run.output.decode(), (run, run.output.decode())
        assert run.status in (0, 1, 2), run.output.decode()
    assert leaks(folder, scene.secrets) == []


@pytest.mark.slow
@pytest.mark.parametrize("daemon", ["scaler", "mover"])
def test_a_daemon_shows_no_secret(scene: Scene, daemon: str, tmp_path: Path) -> None:
    scene.put("Unknown bad.png", image()[:-10])
    scene.put("Unknown good.png", image())
    check(scene, runs(scene, daemon), tmp_path)


def test_an_unexpected_error_with_an_image_shows_no_secret(scene: Scene, tmp_path: Path) -> None:
    scene.put("Unknown wrong.png", image())
    check(scene, [Run("scaler", "Unexpected error", scene.settings(), before=IN_IMAGE)], tmp_path)


def test_what_settings_become_shows_no_secret(scene: Scene) -> None:
    vault = SharedVault(scene.settings())
    secret = WebDavSecret(url="http://127.0.0.1/", username="alice", password=SecretStr(PASSWORD))
    account = WebDavAccount(base_url="http://127.0.0.1/", username="alice", password=SecretStr(PASSWORD))
    of_mover = MoverConfig(account, Rules("ai", "unsorted", "images", ""))
    config = ScalerConfig(account, "raw", "unsorted", ("Unknown",))
    with connected(account) as store:
        for thing in (secret, account, of_mover, config, store, vault, vault.login, read_config(vault)):
            shown = f"{thing} {thing!r} {thing!s:>200} {[thing]} {vars(thing) if hasattr(thing, '__dict__') else ''}"
            assert not [needle for needle in scene.needles if needle in shown.encode()], type(thing)


@pytest.mark.parametrize(
    "wrong",
    [{"password": [PASSWORD]}, {"password": PASSWORD, "url": f"http://alice:{PASSWORD}@127.0.0.1/"}, {"url": PASSWORD}],
)
def test_what_settings_reject_is_not_repeated(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as error:
        WebDavSecret.model_validate({"url": "http://127.0.0.1/", "username": "alice", "password": PASSWORD} | wrong)
    assert PASSWORD not in str(error.value)
    assert PASSWORD not in repr(error.value)


def test_every_mixture_of_percent_encodings_is_hidden() -> None:
    redaction.hide(PASSWORD)
    for written in ("p%23ä%25/+ %22s w€rd", "p%23%C3%a4%25%2f%2b+%22s%20w%e2%82%ACrd"):
        assert redaction.redact(f"<{written}>") == f"<{redaction.HIDDEN}>"


def test_the_logins_of_a_long_life_do_not_pile_up() -> None:
    for number in range(300):
        redaction.hide(f"token of login {number}")
        redaction.hide_login("alice", PASSWORD)
    assert len(redaction._hidden) <= 100
    assert redaction.redact(f"{PASSWORD} token of login 299") == f"{redaction.HIDDEN} {redaction.HIDDEN}"
