"""Settings: checked as a whole, and outliving the absence of Vault."""

import io
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared import logging as log
from shared import redaction
from shared.config.settings import (
    FORBIDDEN_FOR_GOOD,
    Secret,
    SettingsSource,
    WebDavSecret,
    folder,
    json_list,
    read_all,
)
from shared.errors import Failure, InvalidSettings, VaultForbidden, VaultUnavailable
from tests.fake_time import FakeTime


class Shelf:
    """Secrets in a dictionary."""

    def __init__(self, secrets: Mapping[str, dict[str, Any]]) -> None:
        self._secrets = secrets

    def read(self, name: str) -> dict[str, Any] | None:
        return self._secrets.get(name)

    def path(self, name: str) -> str:
        return f"kv/team/{name}"


class Numbers(Secret):
    """Something else to read."""

    ONE: int
    TWO: int


GOOD = {"url": "https://host/dav", "username": "alice", "password": "s3cret"}


def test_all_problems_are_named_at_once_with_their_paths() -> None:
    shelf = Shelf({"webdav": {"url": "ftp://x", "username": ""}, "numbers": {"ONE": "s3cret one"}})
    with pytest.raises(InvalidSettings) as caught:
        read_all(shelf, {"webdav": WebDavSecret, "numbers": Numbers, "more": Numbers})
    said = str(caught.value)
    for problem in (
        "kv/team/webdav: url: must be an address",
        "kv/team/webdav: username: must not be empty",
        "kv/team/webdav: password: is missing",
        "kv/team/numbers: ONE: ",
        "kv/team/numbers: TWO: is missing",
        "kv/team/more is missing; it needs ONE, TWO",
    ):
        assert problem in said
    assert "s3cret" not in said


def test_what_is_read_hides_its_secrets() -> None:
    found = read_all(Shelf({"webdav": GOOD | {"more": "of somebody else"}}), {"webdav": WebDavSecret})
    assert "s3cret" not in repr(found)
    assert "s3cret" not in str(found["webdav"])
    assert redaction.redact("the s3cret word") == f"the {redaction.HIDDEN} word"


@pytest.mark.parametrize("wrong", [{"password": 5}, {"url": "https://alice:s3cret@host/"}, {"username": None}])
def test_a_validation_error_holds_no_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        WebDavSecret.model_validate(GOOD | wrong)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "path"), [("a", "a"), ("/a/b/", "a/b"), ("a//b", "a/b"), (" a b ", "a b"), (".a/b.", ".a/b."), ("ü", "ü")]
)
def test_a_folder(value: str, path: str) -> None:
    assert folder(value) == path


@pytest.mark.parametrize("value", ["", "/", " ", "..", "a/..", "a/./b", "a\nb", "a/\0", "a\x7f", "\x85", "\ud800"])
def test_what_is_no_folder(value: str) -> None:
    with pytest.raises(ValueError, match="must"):
        folder(value)


@given(st.text())
def test_any_folder_stays_inside(value: str) -> None:
    try:
        parts = folder(value).split("/")
    except ValueError:
        return
    assert all(part and part not in (".", "..") for part in parts)
    assert folder("/".join(parts)) == "/".join(parts)


def test_a_list_in_a_string() -> None:
    assert json_list('["a", "b"]') == ["a", "b"]
    assert json_list(["a"]) == ["a"]
    with pytest.raises(ValueError, match="must be a list"):
        json_list("a, b")


class Vault:
    """Gives what it is told to."""

    def __init__(self) -> None:
        self.now: int | Failure = 1

    def read(self) -> int:
        if isinstance(self.now, Failure):
            raise self.now
        return self.now


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(0.0)


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("test", "INFO", None, stream)
    return stream


FAILURES = [VaultUnavailable("Vault is away"), VaultForbidden("Vault says no"), InvalidSettings("a key is missing")]


@pytest.mark.parametrize("failure", FAILURES)
def test_the_first_reading_has_nothing_to_fall_back_on(time: FakeTime, failure: Failure) -> None:
    vault = Vault()
    vault.now = failure
    with pytest.raises(type(failure)):
        SettingsSource(vault.read, time.clock).current()


@pytest.mark.parametrize("failure", FAILURES)
def test_the_last_good_settings_serve_meanwhile_and_that_is_said_once(
    time: FakeTime, said: io.StringIO, failure: Failure
) -> None:
    vault = Vault()
    source = SettingsSource(vault.read, time.clock)
    assert source.current() == 1
    vault.now = failure
    assert [source.current() for _ in range(3)] == [1, 1, 1]
    vault.now = 2
    assert [source.current() for _ in range(2)] == [2, 2]
    assert said.getvalue().count(failure.message) == 1
    assert said.getvalue().count("read from Vault again") == 1


def test_a_good_answer_begins_the_hour_anew(time: FakeTime) -> None:
    vault = Vault()
    source = SettingsSource(vault.read, time.clock)
    source.current()
    for number in range(3):
        vault.now = VaultForbidden("no")
        assert source.current() == max(number, 1)
        vault.now = number + 1
        assert source.current() == number + 1
        time.now += FORBIDDEN_FOR_GOOD + 1
    vault.now = VaultForbidden("no")
    assert source.current() == 3


def test_an_hour_of_denied_access_ends_it_and_an_hour_without_vault_does_not(time: FakeTime) -> None:
    vault = Vault()
    source = SettingsSource(vault.read, time.clock)
    source.current()
    vault.now = VaultUnavailable("away")
    for _ in range(100):
        assert source.current() == 1
        time.now += FORBIDDEN_FOR_GOOD / 2
    vault.now = VaultForbidden("no")
    assert source.current() == 1
    time.now += FORBIDDEN_FOR_GOOD - 1
    assert source.current() == 1
    # An absence in between begins the hour anew, as a good answer does.
    vault.now = VaultUnavailable("away")
    assert source.current() == 1
    vault.now = VaultForbidden("no")
    assert source.current() == 1
    time.now += FORBIDDEN_FOR_GOOD - 1
    assert source.current() == 1
    time.now += 2
    with pytest.raises(VaultForbidden):
        source.current()
