"""Replacing in place: the file stays the same file, whatever people do to it meanwhile and wherever a scaler dies."""

import itertools
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mover.service import MoverService
from sandbox.nextcloud import Nextcloud
from sandbox.uploads import Upload
from scaler import names
from scaler.in_place import _date_for
from scaler.moves import OutcomeUnknown
from shared.errors import (
    Failure,
    Forbidden,
    Locked,
    NotAccepted,
    PreconditionFailed,
    ServerUnavailable,
    ServerUnreachable,
    StorageFull,
)
from shared.retry import RetryPolicy
from shared.webdav.store import Entry, Href
from tests.contract.spy import Call, Killed, StopAt
from tests.fake_time import FakeTime
from tests.mover.harness import config as mover_config
from tests.scaler.cloud import (
    DATE,
    FILE,
    NAME,
    Clock,
    CloudSite,
    is_assembly,
    is_move_on,
    is_upscaled,
    leave_unfinished,
    log_lines,
    spied,
)
from tests.scaler.harness import RAW, UNSORTED, a_scaler, assert_done, config, image, inside, pixels, poll
from tests.scaler.test_steps import after, before, die, stop_at

OTHER = image(9, width=12)


# --- what stays -----------------------------------------------------------------------------------------------------


def test_everything_attached_to_an_image_stays(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    cloud.create_tag("beautiful")
    cloud.tag(FILE, "beautiful")
    cloud.set_favorite(FILE)
    cloud.comment(FILE, "Look!")
    link, file_id = cloud.create_link(FILE), cloud.file_id(FILE)

    assert poll(cloud_site.account, tmp_path) == []

    there = cloud_site.published
    assert is_upscaled(cloud.read(there), image())
    assert cloud.file_id(there) == file_id
    assert cloud.tags_of(there) == {"beautiful"}
    assert cloud.is_favorite(there)
    assert cloud.comments(there) == ["Look!"]
    assert cloud.read_link(link) == cloud.read(there)
    assert cloud.mtime(there) == DATE - 1
    assert cloud.trash() == []
    assert cloud.uploads() == []
    assert cloud_site.names == (set(), {there.rpartition("/")[2]})


def test_the_original_is_a_version_that_can_be_restored(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    with a_scaler(tmp_path) as scaler:
        scaler.poll(config(cloud_site.account))
        there = cloud_site.published
        assert cloud.versions(there) == {DATE: image()}
        cloud.restore_version(there, DATE)
        # Nothing of ours touches it there.
        scaler.poll(config(cloud_site.account), until_settled=True)
    assert poll(cloud_site.account, tmp_path, until_settled=True) == []
    assert cloud.read(there) == image()
    assert cloud_site.names == (set(), {there.rpartition("/")[2]})


def test_the_original_is_kept_through_the_next_edit(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    poll(cloud_site.account, tmp_path)
    cloud.write(cloud_site.published, b"edited by a person")
    assert cloud.versions(cloud_site.published)[DATE] == image()


def test_an_original_of_the_first_day_keeps_its_version(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    """Nextcloud answers a date so early with 500, and only once the content is replaced."""
    cloud.write(FILE, image(), mtime=86_401)
    assert poll(cloud_site.account, tmp_path) == []
    assert cloud.versions(cloud_site.published) == {86_401: image()}
    assert "UPSCALED:" in cloud.checksum(cloud_site.published)


@pytest.mark.parametrize(
    ("modified", "date"),
    [(1_700_000_000.7, 1_699_999_999), (86_402.0, 86_401), (86_401.0, 998), (0.0, 998), (None, 998)],
)
def test_the_date_of_an_upscaled_image(modified: float | None, date: int) -> None:
    entry = Entry("a.png", Href("/a.png"), is_folder=False, size=1, etag='"1"', modified=modified)
    assert _date_for(entry, lambda: 1000.5) == date


def test_an_image_dated_in_the_future_keeps_its_date(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    tomorrow = int(cloud._account.tree.clock()) + 100_000
    cloud.write(FILE, image(), mtime=tomorrow)
    assert poll(cloud_site.account, tmp_path) == []
    assert set(inside(cloud_site, RAW)) == {NAME}
    assert poll(cloud_site.account, tmp_path, until_settled=True) == []
    assert cloud.mtime(cloud_site.published) == tomorrow - 1
    assert cloud.versions(cloud_site.published) == {tomorrow: image()}


def test_a_tag_set_in_the_raw_folder_is_filed_by_the_mover(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    cloud.mkdir("data/images")
    cloud.create_tag("ai:cats")
    cloud.tag(FILE, "ai:cats")
    poll(cloud_site.account, tmp_path)
    with MoverService(RetryPolicy(FakeTime().stop())) as mover:
        assert mover.poll(mover_config(cloud)) == []
    (filed,) = inside(cloud_site, "data/images/cats").values()
    assert is_upscaled(filed, image())


@pytest.mark.parametrize("base_path", ["", "/cloud"])
def test_an_account_whose_id_is_not_its_login(tmp_path: Path, base_path: str) -> None:
    with Nextcloud(user="alice@example.com", user_id="alice 1", base_path=base_path, clock=Clock()) as cloud:
        site = CloudSite(cloud)
        site.url = cloud.webdav_url
        cloud.mkdir(UNSORTED)
        cloud.write(FILE, image(), mtime=DATE)
        assert poll(site.account, tmp_path) == []
        assert cloud.versions(site.published) == {DATE: image()}


# --- a scaler that dies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("notes", ["kept", "lost"])
def test_a_scaler_that_dies_at_any_request_is_finished(
    cloud: Nextcloud, cloud_site: CloudSite, clock: Clock, tmp_path: Path, notes: str
) -> None:
    clock.behind = 0
    for n in itertools.count():
        raw, unsorted, state = f"raw-{n}", f"unsorted-{n}", tmp_path / str(n)
        cloud.mkdir(unsorted)
        cloud.mkdir(raw)
        cloud_site.write(f"{raw}/{NAME}", image(n))
        stop = StopAt(n)
        try:
            poll(spied(cloud_site, stop), state, raw=raw, unsorted=unsorted)
        except Killed:
            died = True
        else:
            died = False
        if notes == "lost":
            shutil.rmtree(state, ignore_errors=True)

        assert poll(cloud_site.account, state, raw=raw, unsorted=unsorted, until_settled=True) == []

        assert_done(cloud_site, {NAME: image(n)}, raw=raw, unsorted=unsorted)
        assert cloud.trash() == []
        if not died:
            break
    # Listing, unsorted folder, six to find out, MKCOL, GET, PUT, assembly, move: each with a moment before and after.
    assert n >= 24


def test_another_scaler_finishes_after_the_settling_time(
    cloud: Nextcloud, cloud_site: CloudSite, clock: Clock, tmp_path: Path
) -> None:
    clock.behind = 0
    cloud_site.write(FILE, image())
    stop_at(cloud_site, tmp_path / "dead", after(is_assembly, die))
    (upscaled,) = inside(cloud_site, RAW).values()
    assert is_upscaled(upscaled, image())

    calls: list[Call] = []
    time = FakeTime()
    with a_scaler(tmp_path / "other", stop=time.stop()) as scaler, log_lines() as said:
        assert scaler.poll(config(spied(cloud_site, calls.append))) == []
        assert set(inside(cloud_site, RAW)) == {NAME}
        time.now += 2.0
        assert scaler.poll(config(spied(cloud_site, calls.append))) == []

    assert inside(cloud_site, RAW) == {}
    assert cloud.read(cloud_site.published) == upscaled
    assert any("finished after an interruption" in line for line in said)
    assert "put" not in {call.method for call in calls}


def test_what_is_finished_first_needs_nothing_found_out(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    """So an upscaled image moves on even where another could not be replaced any more."""
    leave_unfinished(cloud_site, tmp_path)
    cloud.versioning = False
    assert poll(cloud_site.account, tmp_path) == []
    assert is_upscaled(cloud.read(cloud_site.published), image())


@pytest.mark.parametrize("age", [0.0, 3600.0])
def test_an_unfinished_image_is_not_upscaled_again_where_versions_were_turned_off(
    cloud: Nextcloud, cloud_site: CloudSite, clock: Clock, tmp_path: Path, age: float
) -> None:
    """Copies of the others are published then."""
    clock.behind = age
    cloud_site.write(FILE, image())
    stop_at(cloud_site, tmp_path, after(is_assembly, die))
    cloud.versioning = False
    cloud_site.write(f"{RAW}/Unknown 2.png", OTHER)
    assert poll(cloud_site.account, tmp_path, until_settled=True) == []
    assert_done(cloud_site, {NAME: image(), "Unknown 2.png": OTHER})


# --- what the server answers ----------------------------------------------------------------------------------------


def _raise_on_server() -> None:
    raise RuntimeError("the server dies")


def test_a_server_that_dies_before_the_marker(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    """The content is ours, which its size and SHA-256 tell; it is moved on all the same."""
    cloud.write(FILE, image(), mtime=DATE)

    def arm(_call: Call) -> None:
        cloud.before_marker = _raise_on_server

    assert poll(spied(cloud_site, before(is_assembly, arm)), tmp_path) == []
    assert_done(cloud_site, {NAME: image()})
    assert cloud.versions(cloud_site.published) == {DATE: image()}


def test_a_server_and_a_scaler_that_die_before_the_marker(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    """What was noted before tells the next scaler of this machine."""
    cloud.write(FILE, image(), mtime=DATE)

    def arm(_call: Call) -> None:
        cloud.before_marker = _raise_on_server

    dies = before(lambda call: call.method == "stat" and "Unknown" in call.href, die)

    def spy(call: Call) -> None:
        arming(call)
        dies(call)

    arming = before(is_assembly, arm)
    stop_at(cloud_site, tmp_path, spy)
    assert is_upscaled(cloud.read(FILE), image())
    assert cloud.checksum(FILE) == ""
    cloud.before_marker = None

    assert poll(cloud_site.account, tmp_path) == []
    assert_done(cloud_site, {NAME: image()})


def test_a_server_that_dies_before_it_replaces_an_earlier_marker(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upscaled image was put back into the raw folder, so its file has a marker that says: published."""
    cloud.write(FILE, image(), mtime=DATE)
    new_id = names.new_id
    monkeypatch.setattr(names, "new_id", lambda owner: new_id(owner, DATE))
    assert poll(cloud_site.account, tmp_path) == []
    monkeypatch.undo()
    put_back = f"{RAW}/{cloud_site.published.rpartition('/')[2]}"
    cloud.rename(cloud_site.published, put_back)
    upscaled, earlier = cloud.read(put_back), cloud.checksum(put_back)

    def keep_the_earlier_one() -> None:
        cloud._entry(put_back).checksum = earlier
        raise RuntimeError("the server dies")

    def arm(_call: Call) -> None:
        cloud.before_marker = keep_the_earlier_one

    arming = before(is_assembly, arm)
    dies = before(lambda call: call.method == "stat" and "Unknown" in call.href, die)

    def spy(call: Call) -> None:
        arming(call)
        dies(call)

    stop_at(cloud_site, tmp_path, spy)
    assert is_upscaled(cloud.read(put_back), upscaled)
    assert cloud.checksum(put_back) == earlier
    cloud.before_marker = None

    assert poll(cloud_site.account, tmp_path) == []
    assert is_upscaled(cloud.read(cloud_site.published), upscaled)


def test_what_looks_like_an_original_while_it_is_replaced_is_not_upscaled(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    """Another scaler lists it in the middle: with its new ETag, the old date and no marker. Its download has that."""
    cloud.write(FILE, image(), mtime=DATE)
    listed, replaced = threading.Event(), threading.Event()
    failures: list[Failure] = []

    def wait(_call: Call) -> None:
        listed.set()
        assert replaced.wait(20)

    def look() -> None:
        cloud.before_marker = None
        other.start()
        assert listed.wait(20)

    download = before(lambda call: call.method == "get" and "Unknown" in call.href, wait)
    other = threading.Thread(
        target=lambda: failures.extend(poll(spied(cloud_site, download), tmp_path / "other")), daemon=True
    )

    def arm(_call: Call) -> None:
        cloud.before_marker = look

    arming, dying = before(is_assembly, arm), after(is_assembly, die)

    def spy(call: Call) -> None:
        arming(call)
        dying(call)

    stop_at(cloud_site, tmp_path / "first", spy)
    replaced.set()
    other.join(20)
    assert failures == []
    assert_done(cloud_site, {NAME: image()})


@pytest.mark.parametrize(
    "error", [Forbidden, PreconditionFailed, ServerUnavailable, ServerUnreachable], ids=lambda kind: kind.__name__
)
def test_no_answer_to_an_assembly_but_204_proves_anything(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, error: type[Failure]
) -> None:
    """It worked, but its answer says that it did not, or is lost."""
    cloud.write(FILE, image(), mtime=DATE)

    def lie(_call: Call) -> None:
        raise error("a lie")

    assert poll(spied(cloud_site, after(is_assembly, lie)), tmp_path) == []
    assert_done(cloud_site, {NAME: image()})


def test_an_upload_deleted_while_it_is_assembled(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    """That is answered with 403, although the content is replaced."""
    cloud.write(FILE, image(), mtime=DATE)

    def arm(_call: Call) -> None:
        cloud.before_marker = cloud._account.uploads.clear

    assert poll(spied(cloud_site, before(is_assembly, arm)), tmp_path) == []
    assert_done(cloud_site, {NAME: image()})


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        *((ServerUnreachable, True), (ServerUnavailable, True), (Locked, True)),
        *((Forbidden, False), (PreconditionFailed, False), (NotAccepted, False)),
    ],
)
def test_an_upload_is_deleted_only_where_its_assembly_is_over(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, error: type[Failure], stays: bool
) -> None:
    cloud.write(FILE, image(), mtime=DATE)

    def fail(_call: Call) -> None:
        raise error("not sent")

    poll(spied(cloud_site, before(is_assembly, fail)), tmp_path)
    assert cloud.read(FILE) == image()
    assert len(cloud.uploads()) == stays
    assert poll(cloud_site.account, tmp_path) == []
    assert_done(cloud_site, {NAME: image()})


@pytest.mark.parametrize("act", ["replace", "delete"])
@pytest.mark.parametrize("error", [ServerUnreachable, ServerUnavailable, Locked])
def test_an_upload_whose_original_is_another_or_gone_is_deleted(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, error: type[Failure], act: str
) -> None:
    """Its condition cannot hold any more, however late it may be executed."""
    cloud.write(FILE, image(), mtime=DATE)

    def fail(_call: Call) -> None:
        if act == "replace":
            cloud.write(FILE, OTHER)
        else:
            cloud.delete(FILE)
        raise error("no answer")

    assert poll(spied(cloud_site, before(is_assembly, fail)), tmp_path) == []
    assert cloud.uploads() == []


def test_an_upload_is_not_deleted_before_a_look(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    cloud.write(FILE, image(), mtime=DATE)
    calls: list[Call] = []
    gone = before(is_assembly, lambda _: cloud.delete(FILE))

    def spy(call: Call) -> None:
        gone(call)
        calls.append(call)

    assert poll(spied(cloud_site, spy), tmp_path) == []
    order = [call.method for call in calls if not call.after]
    # The last to be deleted is the upload: before it was the throwaway file.
    assert order[order.index("put", order.index("get")) :] == ["put", "assemble", "stat", "delete"]
    assert cloud.uploads() == []


@pytest.mark.parametrize("error", [PreconditionFailed, ServerUnavailable, ServerUnreachable])
def test_a_lost_answer_to_the_last_move(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, error: type[Failure]
) -> None:
    """A repeated one is answered 412, as one that lost a race."""
    cloud.write(FILE, image(), mtime=DATE)

    def lose(_call: Call) -> None:
        raise error("lost")

    with log_lines() as said:
        assert poll(spied(cloud_site, after(is_move_on, lose)), tmp_path) == []
    assert any("SUCCESS" in line and NAME in line for line in said)
    assert_done(cloud_site, {NAME: image()})


def test_a_move_that_is_answered_412_though_the_name_is_free(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    """Other names would fare no better; the next poll finishes."""
    cloud.write(FILE, image(), mtime=DATE)

    def reject(call: Call) -> None:
        if is_move_on(call) and not call.after:
            raise PreconditionFailed("status 412")

    (failure,) = poll(spied(cloud_site, reject), tmp_path)
    assert isinstance(failure, OutcomeUnknown)
    assert poll(cloud_site.account, tmp_path) == []
    assert_done(cloud_site, {NAME: image()})


def test_a_file_that_the_server_makes_anew_is_not_moved_on(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person deletes the image after the server has looked at the condition."""
    cloud.write(FILE, image(), mtime=DATE)
    assemble = Upload.assemble

    def deleting(upload: Upload, target: Path) -> None:
        if upload.size:
            cloud.delete(FILE)
        assemble(upload, target)

    monkeypatch.setattr(Upload, "assemble", deleting)
    (failure,) = poll(cloud_site.account, tmp_path)
    assert "was deleted while it was replaced" in str(failure)
    assert cloud_site.names == ({NAME}, set())
    assert cloud.trash() == [(FILE, image())]


# --- what people do meanwhile ---------------------------------------------------------------------------------------


def _replace(cloud: Nextcloud) -> None:
    cloud.write(FILE, OTHER)


def _replace_with_date(cloud: Nextcloud) -> None:
    cloud.write(FILE, OTHER, mtime=DATE + 5)


def _rename(cloud: Nextcloud) -> None:
    cloud.rename(FILE, f"{RAW}/renamed by a person.png")


def _take_away(cloud: Nextcloud) -> None:
    cloud.rename(FILE, f"kept/{NAME}")


def _delete(cloud: Nextcloud) -> None:
    cloud.delete(FILE)


def _rename_and_put_another(cloud: Nextcloud) -> None:
    cloud.rename(FILE, f"kept/{NAME}")
    cloud.write(FILE, OTHER)


def _restore(cloud: Nextcloud) -> None:
    dates = list(cloud.versions(FILE))
    if dates:
        cloud.restore_version(FILE, dates[0])


def _move_away_and_back(cloud: Nextcloud) -> None:
    cloud.rename(FILE, f"kept/{NAME}")
    cloud.rename(f"kept/{NAME}", FILE)


MEANWHILE = [
    _replace,
    _replace_with_date,
    _rename,
    _take_away,
    _delete,
    _rename_and_put_another,
    _restore,
    _move_away_and_back,
]


@pytest.mark.parametrize("act", MEANWHILE, ids=lambda act: act.__name__.strip("_"))
def test_what_a_person_does_at_any_moment_wins(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path, act: Callable[[Nextcloud], None]
) -> None:
    """Nothing of theirs is lost, upscaled twice, or brought back; what is left in the raw folder is upscaled."""
    for n in itertools.count():
        cloud.write(FILE, image(), mtime=DATE)
        file_id = cloud.file_id(FILE)
        acted: list[bool] = []
        moments = StopAt(n)

        def spy(call: Call, moments: StopAt = moments, acted: list[bool] = acted) -> None:
            try:
                moments(call)
            except Killed:
                if not acted:
                    acted.append(FILE in cloud_site.files())
                    if acted[0]:
                        act(cloud)

        with a_scaler(tmp_path) as scaler:
            scaler.poll(config(spied(cloud_site, spy)))
            assert scaler.poll(config(cloud_site.account), until_settled=True) == []
            assert scaler.poll(config(cloud_site.account), until_settled=True) == []
        if not acted:
            break
        _assert_kept(cloud, cloud_site, act, file_id, acted=acted[0], moment=n)
        for path in cloud_site.files():
            cloud.delete(path)
        while cloud.trash():
            cloud._account.tree.trashed.clear()
    assert n >= 24


def _assert_kept(
    cloud: Nextcloud, site: CloudSite, act: Callable[[Nextcloud], None], file_id: int, *, acted: bool, moment: int
) -> None:
    published = [data for path, data in site.files().items() if path.startswith(UNSORTED)]
    elsewhere = {path: data for path, data in site.files().items() if not path.startswith(UNSORTED)}
    of_it = [pixels(data) for data in published if is_upscaled(data, image())]
    of_other = [data for data in published if is_upscaled(data, OTHER)]
    assert len(of_it) + len(of_other) == len(published), moment
    if not acted or act is _move_away_and_back or act is _restore:
        assert (len(of_it), elsewhere) == (1, {}), moment
        return
    entry = cloud._account.tree.by_id(file_id)
    if act is _delete:
        # It stays deleted, as it was at that moment.
        assert (published, elsewhere) == ([], {}), moment
        ((_, data),) = cloud.trash()
        assert data == image() or is_upscaled(data, image()), moment
        return
    assert entry is not None
    path = entry.path.lstrip("/")
    if act in (_replace, _replace_with_date):
        assert (len(of_other), elsewhere) == (1, {}), moment
        assert image() in cloud.versions(path).values(), moment
    elif act is _rename:
        # Not a name to be upscaled; what was upscaled already is moved on under it.
        if published:
            assert (len(of_it), elsewhere) == (1, {}), moment
        else:
            assert elsewhere == {f"{RAW}/renamed by a person.png": image()}, moment
    elif act is _take_away:
        assert published == [], moment
        (data,) = elsewhere.values()
        assert data == image() or is_upscaled(data, image()), moment
    elif act is _rename_and_put_another:
        assert len(of_other) == 1, moment
        (data,) = elsewhere.values()
        assert data == image() or is_upscaled(data, image()), moment


def test_a_write_in_the_second_of_the_assembly_is_not_moved_on(
    cloud: Nextcloud, cloud_site: CloudSite, clock: Clock, tmp_path: Path
) -> None:
    """Nextcloud keeps the ETag of two writes of one date; so the replaced file must never bear the present one."""
    clock.behind = 0
    cloud_site.write(FILE, image(), age=1_000_000_000_000)
    # No date that could be kept, so the scaler makes one up.
    act = after(is_assembly, lambda _: cloud.write(FILE, OTHER))
    assert poll(spied(cloud_site, act), tmp_path) == []
    assert inside(cloud_site, RAW) == {NAME: OTHER}
    assert poll(cloud_site.account, tmp_path, until_settled=True) == []
    assert_done(cloud_site, {NAME: OTHER})


def test_a_replacement_of_the_same_size_and_date_has_to_settle(
    cloud: Nextcloud, cloud_site: CloudSite, clock: Clock, tmp_path: Path
) -> None:
    """Its ETag is kept; the time of its upload tells."""
    clock.behind = 1.0
    cloud.write(FILE, image(), mtime=DATE)
    etag = cloud.etag(FILE)
    time = FakeTime()
    with a_scaler(tmp_path, stop=time.stop()) as scaler:
        scaler.poll(config(cloud_site.account))
        clock.behind = 0.0
        other = image()[:-1] + b"\0"
        cloud.write(FILE, other, mtime=DATE)
        assert cloud.etag(FILE) == etag
        time.now += 2.0
        scaler.poll(config(cloud_site.account))
        assert inside(cloud_site, RAW) == {NAME: other}


# --- room -----------------------------------------------------------------------------------------------------------


def test_nothing_is_begun_without_room_for_a_version(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    """A Nextcloud that is nearly full prunes versions, those of other files too."""
    cloud.write(FILE, image(), mtime=DATE)
    used = len(image())
    cloud.quota = used + 10 * used
    cloud.clear_log()
    (failure,) = poll(cloud_site.account, tmp_path)
    assert isinstance(failure, StorageFull)
    assert NAME in failure.message
    assert {record.method for record in cloud.requests} == {"PROPFIND"}
    assert cloud_site.files() == {FILE: image()}
    cloud.quota = used + 10 * used + 1
    assert poll(cloud_site.account, tmp_path) == []
    assert_done(cloud_site, {NAME: image()})


def test_an_account_that_fills_up_while_an_image_computes(
    cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path
) -> None:
    cloud.write(FILE, image(), mtime=DATE)

    def fill(_call: Call) -> None:
        cloud.quota = len(image())

    full = before(lambda call: call.method == "put" and "uploads" in call.href, fill)
    (failure,) = poll(spied(cloud_site, full), tmp_path)
    assert isinstance(failure, StorageFull)
    assert cloud_site.files() == {FILE: image()}
    assert cloud.versions(FILE) == {}
    assert cloud.uploads() == []
    cloud.quota = None
    assert poll(cloud_site.account, tmp_path) == []
    assert_done(cloud_site, {NAME: image()})


def test_an_account_that_fills_up_before_the_assembly(cloud: Nextcloud, cloud_site: CloudSite, tmp_path: Path) -> None:
    cloud.write(FILE, image(), mtime=DATE)

    def fill(_call: Call) -> None:
        cloud.quota = len(image())

    (failure,) = poll(spied(cloud_site, before(is_assembly, fill)), tmp_path)
    assert isinstance(failure, StorageFull)
    assert cloud_site.files() == {FILE: image()}
    assert cloud.uploads() == []
