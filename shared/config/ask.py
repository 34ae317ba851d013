"""The questions of `./run.sh settings`: each answer is tested on the server, and asked again if it fails."""

import contextlib
import functools
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from shared.cli import cacert
from shared.config.settings import WebDavSecret, folder, json_list, prefix
from shared.errors import Failure, Forbidden, NotFound
from shared.logging import show
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from shared.webdav.account import account_of
from shared.webdav.discovery import Server, discover
from shared.webdav.store import Connections, Entry, Prop, Store

type Values = dict[str, Any]

_FOLDERS_SHOWN = 20
_RIGHTS = (Prop.TYPE, Prop.PERMISSIONS)
_LETTERS = {"C": "create files", "K": "create folders"}
_USUAL = {
    "RAW_NAMES_PREFIXES": "Unknown",
    "RAW_REMOTE_DIR": "data/AI/_raw",
    "UNSORTED_REMOTE_DIR": "data/AI/_unsorted",
    "IMAGES_ROOT_DIR": "data/AI/organized",
    "PARENT_TAG_VALUE": "ai",
}


def ask(current: Mapping[str, Mapping[str, Any]]) -> dict[str, Values]:
    """Ask for all settings.

    Args:
        current: the secrets as they are now, for the defaults.
    """
    known = {key: _as_text(value) for values in current.values() for key, value in values.items() if value}
    defaults = {**_USUAL, **known}
    server, webdav, connections = _ask_access(defaults)
    with contextlib.closing(connections), connections.connect() as store:
        return {"webdav": webdav, **_Folders(store, defaults).ask(is_nextcloud=server.is_nextcloud)}


def _again[T](question: Callable[[], T]) -> T:
    """Ask until the answer works, and say why one does not."""
    while True:
        try:
            return question()
        except (Failure, ValueError) as error:
            # The answers are not in Vault yet.
            show(f"  {error}".replace(" in Vault", ""))


def _prompt(text: str, default: str = "") -> str:
    answer: str = click.prompt(text, default=default, show_default=bool(default))
    return answer.strip()


def _prompt_hidden(text: str) -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt(text, default="", show_default=False, hide_input=True)
        return typed
    # From a pipe; getpass would look for a terminal elsewhere.
    click.echo(f"{text}: ", nl=False)
    line = sys.stdin.readline()
    click.echo()
    if not line:
        raise click.Abort
    return line.rstrip("\n")


def _as_text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# --- the server and the login -----------------------------------------------------------------------------------------


def _ask_access(defaults: Mapping[str, str]) -> tuple[Server, Values, Connections]:
    """The server, the `webdav` secret, and connections that work with it."""
    while True:
        server = _again(lambda: _ask_server(defaults))
        webdav, connections, there = _again(functools.partial(_ask_login, server, defaults))
        if there:
            return server, webdav, connections
        connections.close()
        show(f"  There is no folder at {server.url}")


def _ask_server(defaults: Mapping[str, str]) -> Server:
    text = "Address of your Nextcloud, or of a folder on another WebDAV server (webdav/url)"
    answer = _prompt(text, defaults.get("url") or defaults.get("host_url", ""))
    server = discover(answer, cacert())
    show(f"  {'A Nextcloud' if server.is_nextcloud else 'A WebDAV server'}; its files are at {server.url}")
    return server


def _ask_login(server: Server, defaults: Mapping[str, str]) -> tuple[Values, Connections, bool]:
    """The `webdav` secret, connections that were tested with it, and whether the folder of the address is there."""
    if server.is_nextcloud:
        click.echo(
            "\nThe password should be an app password. Create one in the web interface: Settings → Security → Devices &"
            f" sessions\n  {server.root_url}index.php/settings/user/security"
        )
    username = _prompt("User name", defaults.get("username", ""))
    kept = defaults.get("password", "") if username == defaults.get("username") else ""
    password = _prompt_hidden(f"Password (hidden{'; Enter keeps it' if kept else ''})") or kept
    if not username or not password:
        raise ValueError("The user name and the password must not be empty.")
    webdav: Values = {"host_url": server.root_url, "url": server.url, "username": username, "password": password}
    # One attempt: a Nextcloud counts wrong passwords.
    connections = account_of(WebDavSecret(**webdav), cacert()).open(RetryPolicy(StopToken(), attempts=1))
    try:
        with connections.connect() as store:
            there = store.stat(store.href(""), _RIGHTS) is not None
    except BaseException:
        connections.close()
        raise
    click.echo("  The server accepts this login.")
    return webdav, connections, there


# --- folders, prefixes and tags ---------------------------------------------------------------------------------------


class _Folders:
    """The questions about folders; they are relative to the account's base."""

    def __init__(self, store: Store, defaults: Mapping[str, str]) -> None:
        self._store = store
        self._defaults = defaults

    def ask(self, *, is_nextcloud: bool) -> dict[str, Values]:
        """What the scaler needs and, on a Nextcloud, what the mover needs."""
        click.echo("\nMissing folders can be created. End your answer with / to list the folders in it.")
        self._list("")
        raw = self._ask_folder("RAW_REMOTE_DIR", "Folder with the images to upscale", "C")
        prefixes = _again(self._ask_prefixes)
        unsorted = self._ask_folder("UNSORTED_REMOTE_DIR", "Folder for the upscaled images", "C", other_than=raw)
        scaler = {"RAW_NAMES_PREFIXES": prefixes, "RAW_REMOTE_DIR": raw, "UNSORTED_REMOTE_DIR": unsorted}
        if not is_nextcloud:
            click.echo("The mover needs a Nextcloud, so its settings are left out.")
            return {"scaler_constants": scaler}
        images = self._ask_folder("IMAGES_ROOT_DIR", "Folder for the category folders", "CK")
        parent = _again(self._ask_parent)
        mover = {"IMAGES_ROOT_DIR": images, "UNSORTED_REMOTE_DIR": unsorted, "PARENT_TAG_VALUE": parent}
        return {"scaler_constants": scaler, "mover_constants": mover}

    def _ask_folder(self, key: str, text: str, letters: str, other_than: str | None = None) -> str:
        def once() -> str:
            answer = _prompt(text, self._defaults[key])
            if answer.endswith("/"):
                self._list(answer.strip("/"))
                raise ValueError("Name one of these, or a new one.")
            path = folder(answer)
            if path == other_than:
                raise ValueError("It must differ from the folder with the images to upscale.")
            self._require(path, letters)
            return path

        return _again(once)

    def _list(self, path: str) -> None:
        try:
            listing = self._store.list_folder(self._store.href(path), (Prop.TYPE,))
        except NotFound as error:
            raise ValueError(f"{path} does not exist.") from error
        names = sorted(entry.name for entry in listing.entries if entry.is_folder and not entry.name.startswith("."))
        more = ", …" if len(names) > _FOLDERS_SHOWN else ""
        show(f"  Folders in {path or 'the account'}: {', '.join(names[:_FOLDERS_SHOWN]) or 'none'}{more}")

    def _require(self, path: str, letters: str) -> None:
        """Make sure that a folder is there and that the account may create what it has to in it."""
        entry = self._stat(path)
        if entry is None:
            if not click.confirm(f"  {path} does not exist. Create it?", default=True):
                raise ValueError("Name another folder.")
            parts = path.split("/")
            for depth in range(1, len(parts) + 1):
                self._create("/".join(parts[:depth]))
            entry = self._stat(path)
        if entry is None or not entry.is_folder:
            raise ValueError(f"{path} is not a folder.")
        if entry.permissions is None:
            self._try_upload(path)
        elif missing := [letter for letter in letters if letter not in entry.permissions]:
            rights = " or ".join(f"{_LETTERS[letter]} (right {letter})" for letter in missing)
            raise Forbidden(f"The account may not {rights} in {path}", "Ask its owner, or name another folder.")

    def _stat(self, path: str) -> Entry | None:
        return self._store.stat(self._store.href(path), _RIGHTS)

    def _create(self, path: str) -> None:
        if self._stat(path) is None:
            self._store.make_folder(self._store.href(path))
            show(f"  Created {path}")

    def _try_upload(self, path: str) -> None:
        """Test by uploading, for servers that list no rights."""
        href = self._store.href(path, f".settings-{secrets.token_hex(8)}")
        self._store.put(href, b"written by the settings command")
        self._store.delete(href)

    def _ask_prefixes(self) -> list[str]:
        answer = _prompt("Prefixes of their names, separated by commas", self._defaults["RAW_NAMES_PREFIXES"])
        listed = json_list(answer) if answer.startswith("[") else [part.strip() for part in answer.split(",")]
        prefixes = [prefix(str(each)) for each in listed if each]
        if not prefixes:
            raise ValueError("At least one prefix is needed: images whose names start with it are upscaled.")
        return prefixes

    def _ask_parent(self) -> str:
        text = "Prefix of the tags that file an image (ai for tags such as ai:landscapes)"
        answer = _prompt(text, self._defaults["PARENT_TAG_VALUE"]).removesuffix(":")
        if ":" in answer:
            raise ValueError("It must not contain a colon, which ends it.")
        if not answer:
            raise ValueError("It must not be empty: with ai, the tag ai:landscapes files an image under landscapes.")
        return answer
