"""Whether a server can replace in place is found out; where it cannot, copies are published, and it is said why."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.sabre import already_there, forbidden
from shared.errors import (
    Failure,
    Forbidden,
    NotAccepted,
    NotFound,
    NotWebDav,
    ParentNotFound,
    ServerUnavailable,
)
from shared.webdav import multistatus
from shared.webdav.store import THROWAWAY, Entry
from tests.contract.spy import Call
from tests.scaler.cli import Home
from tests.scaler.cloud import DATE, FILE, NAME, Clock, CloudSite, log_lines, spied
from tests.scaler.harness import RAW, UNSORTED, a_scaler, assert_done, claims, config, image, inside, poll, uploads
from tests.scaler.test_steps import after, before, decoded, die, is_claim, stop_at


class Server:
    """A Nextcloud that is different in one thing, and what is said of it."""

    def __init__(self, cloud: Nextcloud, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud = cloud
        self.monkeypatch = monkeypatch

    def without_versions(self) -> None:
        self.cloud.versioning = False

    def without_conditions(self) -> None:
        self.monkeypatch.setattr("sandbox.upload_handlers.check_if", lambda *_: None)

    def without_checksums(self) -> None:
        self.monkeypatch.setattr("sandbox.writing._checksum", lambda _: "")

    def without_uploads(self) -> None:
        self.monkeypatch.setattr("sandbox.upload_handlers.UploadServer.do_MKCOL", _not_allowed)

    def behind_a_proxy(self) -> None:
        """Which serves it under another path: the base of the address in `If` is unknown to it."""
        self.monkeypatch.setattr("sandbox.upload_handlers.check_if", _out_of_base)


def _not_allowed(*_: object) -> None:
    raise already_there()


def _out_of_base(*_: object) -> None:
    raise forbidden("Requested uri is out of base uri")


UNFIT = [
    (Server.without_versions, "keeps no versions"),
    (Server.without_conditions, "ignores the condition"),
    (Server.without_checksums, "does not keep checksums"),
    (Server.without_uploads, "trying it failed: MOVE"),
    (Server.behind_a_proxy, "status 403"),
]


@pytest.mark.parametrize(("change", "reason"), UNFIT, ids=lambda value: getattr(value, "__name__", ""))
def test_where_nothing_can_be_replaced_copies_are_published(
    cloud: Nextcloud,
    cloud_site: CloudSite,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Server], None],
    reason: str,
) -> None:
    change(Server(cloud, monkeypatch))
    cloud.write(FILE, image(), mtime=DATE)
    home.point_to(cloud_site)

    checked = home.scaler("--check")

    assert checked.status == 0, checked.said
    (line,) = [line for line in checked.said.splitlines() if "Replacing a file in place" in line]
    assert "does not work" in line
    assert reason in line
    assert {path for path in cloud_site.files() if not path.endswith(".txt")} == {FILE}

    with a_scaler(tmp_path) as scaler, log_lines("WARNING") as said:
        assert scaler.poll(config(cloud_site.account)) == []
        cloud.write(f"{RAW}/Unknown 2.png", image(2), mtime=DATE)
        assert scaler.poll(config(cloud_site.account)) == []
    assert len(said) == 1, said
    assert "cannot be replaced in place" in said[0]
    assert reason in said[0]
    assert_done(cloud_site, {NAME: image(), "Unknown 2.png": image(2)})
    assert not [path for path in cloud_site.files() if THROWAWAY in path]
    assert not [path for path, _ in cloud.trash() if THROWAWAY in path]


def test_finding_out_leaves_nothing(cloud: Nextcloud, cloud_site: CloudSite, home: Home) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    home.point_to(cloud_site)
    assert "Replacing a file in place: works" in home.scaler("--check").said
    assert cloud_site.files() == {FILE: image()}
    assert cloud.trash() == []
    assert cloud.uploads() == []


def test_it_is_found_out_once(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    with a_scaler(tmp_path) as scaler:
        # Not before there is something to do.
        cloud.clear_log()
        scaler.poll(config(cloud_site.account))
        assert {record.method for record in cloud.requests} == {"PROPFIND"}
        for n in range(3):
            cloud.write(f"{RAW}/Unknown {n}.png", image(n), mtime=DATE)
            scaler.poll(config(cloud_site.account))
    assert len([record for record in cloud.requests if "capabilities" in record.path]) == 1
    assert len([record for record in cloud.requests if record.method == "DELETE"]) == 1


def test_a_server_that_is_busy_is_asked_again_later(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    """What it answers now says nothing of what it can."""
    cloud.write(FILE, image(), mtime=DATE)

    def busy(_call: Call) -> None:
        raise ServerUnavailable("status 503")

    account = spied(cloud_site, before(lambda call: call.method == "assemble", busy))
    with a_scaler(tmp_path) as scaler:
        with pytest.raises(ServerUnavailable):
            scaler.poll(config(account))
        assert cloud_site.files() == {FILE: image()}
        assert scaler.poll(config(account)) == []
    assert cloud.versions(cloud_site.published) == {DATE: image()}


@pytest.mark.parametrize("error", [NotFound, Forbidden, NotWebDav])
@pytest.mark.parametrize("which", ["get_json", "put", "make_folder", "assemble", "stat"])
def test_one_wrong_answer_says_nothing_of_what_a_server_can(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, which: str, error: type[Failure]
) -> None:
    """A login page, a proxy that restarts: to publish copies for that would lose what is attached to the images."""
    cloud.write(FILE, image(), mtime=DATE)
    wrong: list[Call] = []

    def is_asked(call: Call) -> bool:
        tried = call.method in ("get_json", "make_folder") or THROWAWAY in f"{call.href} {call.target}"
        return call.method == which and tried

    def answer_wrongly(call: Call) -> None:
        wrong.append(call)
        raise error("a wrong answer")

    settings = config(spied(cloud_site, before(is_asked, answer_wrongly)))
    with a_scaler(tmp_path) as scaler, log_lines("WARNING") as said:
        with contextlib.suppress(NotWebDav):
            scaler.poll(settings)
        assert scaler.poll(settings) == []
    assert wrong
    assert said == []
    assert cloud.versions(cloud_site.published) == {DATE: image()}


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_etag_nothing_is_replaced(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, etag: str | None
) -> None:
    real = multistatus._entry

    def weak(properties: object, href: object, name: str) -> Entry:
        entry = real(properties, href, name)  # type: ignore[arg-type]
        return entry if entry.is_folder else dataclasses.replace(entry, etag=etag)

    monkeypatch.setattr(multistatus, "_entry", weak)
    cloud.write(FILE, image(), mtime=DATE)
    calls: list[Call] = []
    with log_lines("WARNING") as said:
        assert poll(spied(cloud_site, calls.append), tmp_path, until_settled=True) == []
    assert not [call for call in calls if call.method == "assemble" and NAME in decoded(call.target)]
    assert "without strong ETags" in said[0]
    assert_done(cloud_site, {NAME: image()})


# --- what a killed process leaves -----------------------------------------------------------------------------------


def _leave_throwaway(cloud_site: CloudSite, state: Path) -> str:
    stop_at(cloud_site, state, after(lambda call: call.method == "put" and THROWAWAY in call.href, die))
    (name,) = [name for name in inside(cloud_site, RAW) if name.startswith(THROWAWAY)]
    return name


def test_a_throwaway_file_of_a_killed_process_is_removed_after_a_minute(
    cloud: Nextcloud, cloud_site: CloudSite, clock: Clock, tmp_path: Path
) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    clock.behind = 30
    name = _leave_throwaway(cloud_site, tmp_path)
    with a_scaler(tmp_path) as scaler:
        # Its process may still be at it.
        for _ in range(3):
            assert scaler.poll(config(cloud_site.account)) == []
        assert cloud_site.names[0] == {name}
        # Nothing has changed in the folder since, but time has passed.
        cloud._account.tree.find(f"{RAW}/{name}").upload_time -= 31  # type: ignore[union-attr]
        assert scaler.poll(config(cloud_site.account)) == []
    assert cloud_site.names[0] == set()
    assert cloud.trash() == []
    assert_done(cloud_site, {NAME: image()})


def test_a_throwaway_file_that_may_not_be_deleted_is_in_nobodys_way(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    name = _leave_throwaway(cloud_site, tmp_path)
    cloud.delete(FILE)
    cloud.set_rights(RAW, delete=False)
    assert poll(cloud_site.account, tmp_path) == []
    assert cloud_site.names == ({name}, set())


def test_a_file_of_that_name_with_something_in_it_is_not_touched(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    cloud.write(f"{RAW}/{THROWAWAY}notes.png", b"of a person")
    assert poll(cloud_site.account, tmp_path) == []
    assert inside(cloud_site, RAW) == {f"{THROWAWAY}notes.png": b"of a person"}


# --- making an upload folder ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [NotFound, ParentNotFound, NotAccepted, Forbidden, ServerUnavailable])
def test_an_upload_folder_that_cannot_be_made_is_a_failure(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, error: type[Failure]
) -> None:
    """And nothing else: the original is neither touched nor taken for gone."""
    cloud.write(FILE, image(), mtime=DATE)
    made: list[Call] = []

    def reject(call: Call) -> None:
        if call.method == "make_folder" and not call.after:
            made.append(call)
            if len(made) > 1:
                raise error("rejected")

    (failure,) = poll(spied(cloud_site, reject), tmp_path)
    assert isinstance(failure, Failure)
    assert cloud_site.files() == {FILE: image()}
    assert cloud.versions(FILE) == {}
    assert poll(cloud_site.account, tmp_path) == []
    assert_done(cloud_site, {NAME: image()})


# --- what an earlier version left -----------------------------------------------------------------------------------


def test_claims_of_an_earlier_version_are_finished_and_their_folders_removed(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    cloud.versioning = False
    cloud.write(FILE, image(), mtime=DATE)
    stop_at(cloud_site, tmp_path, after(is_claim, die))
    assert len(claims(cloud_site)) == len(uploads(cloud_site)) == 1
    cloud.versioning = True

    with log_lines() as said:
        assert poll(cloud_site.account, tmp_path) == []

    assert any("finished after an interruption" in line for line in said)
    assert_done(cloud_site, {NAME: image()})
    assert not (cloud.folder / RAW / ".scaler").exists()
    assert not (cloud.folder / UNSORTED / ".scaler").exists()


def test_a_claim_of_an_earlier_version_whose_upload_folder_is_gone_is_upscaled_anew(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    cloud.versioning = False
    cloud.write(FILE, image(), mtime=DATE)
    stop_at(cloud_site, tmp_path, after(is_claim, die))
    cloud.delete(f"{UNSORTED}/.scaler")
    cloud.versioning = True
    assert poll(cloud_site.account, tmp_path) == []
    assert_done(cloud_site, {NAME: image()})
    assert cloud.versions(cloud_site.published) == {DATE: image()}
    assert not (cloud.folder / RAW / ".scaler").exists()
