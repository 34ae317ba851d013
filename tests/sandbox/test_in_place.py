"""Replacing content in place, its versions, the trash bin and rights: what the recorded requests do not show."""

from typing import Any

import pytest
import requests

from sandbox.nextcloud import Nextcloud
from tests.sandbox.conftest import Ask, Clock
from tests.sandbox.replay import parse_error, parse_multistatus

FILE = "raw/a.jpg"
ORIGINAL, UPSCALED = b"original", b"upscaled, and longer"
MARKER = "SHA256:ab UPSCALED:x"
PROPERTIES = (
    '<d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop>'
    "<d:getetag/><d:getlastmodified/><oc:checksums/><oc:permissions/></d:prop></d:propfind>"
)


@pytest.fixture
def original(nextcloud: Nextcloud, clock: Clock) -> int:
    """The date of an image that has lain in the raw folder for a while, in seconds."""
    nextcloud.write(FILE, ORIGINAL)
    nextcloud.mkdir("unsorted")
    clock.now += 60
    return nextcloud.mtime(FILE)


class Uploads:
    """Sends the requests of a chunked upload, as a daemon does."""

    def __init__(self, nextcloud: Nextcloud) -> None:
        self.nextcloud = nextcloud
        self.login = (nextcloud.user, nextcloud.password)
        self.top = f"{nextcloud.url}/remote.php/dav/uploads/{nextcloud.user_id}"

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request below the account's uploads."""
        return requests.request(method, f"{self.top}/{path}", auth=self.login, timeout=20, **options)

    def put(self, content: bytes = UPSCALED, headers: dict[str, str] | None = None) -> requests.Response:
        """An upload folder of the name "up", with one chunk in it."""
        self.ask("MKCOL", "up")
        return self.ask("PUT", "up/00001", data=content, headers=headers)

    def assemble(self, path: str = FILE, **headers: str) -> requests.Response:
        """Replace a file with the uploaded content, on the condition that it still has the ETag that it has now."""
        where = self.nextcloud.files_url + path
        condition = f'<{where}> (["{self.nextcloud.etag(path)}"])'
        headers = {"Destination": where, "If": condition, "OC-Total-Length": str(len(UPSCALED))} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.ask("MOVE", "up/.file", headers=headers)


@pytest.fixture
def uploads(nextcloud: Nextcloud) -> Uploads:
    """Chunked uploads to the account."""
    return Uploads(nextcloud)


def _properties(ask: Ask, path: str) -> dict[str, str]:
    answer = ask("PROPFIND", path, data=PROPERTIES, headers={"Depth": "0"})
    [(_, properties, _)] = parse_multistatus(answer.content) or []
    return dict(properties)


@pytest.mark.parametrize(("shift", "kept"), [(-1, True), (0, False), (1, True)])
def test_a_version_of_the_current_date_is_hidden(
    nextcloud: Nextcloud, uploads: Uploads, original: int, shift: int, kept: bool
) -> None:
    uploads.put()
    assert uploads.assemble(X_OC_MTime=str(original + shift)).status_code == 204
    assert nextcloud.versions(FILE) == ({original: ORIGINAL} if kept else {})
    assert (nextcloud.read(FILE), nextcloud.mtime(FILE)) == (UPSCALED, original + shift)


def test_without_a_date_the_version_is_kept_and_the_date_lost(
    nextcloud: Nextcloud, uploads: Uploads, original: int, clock: Clock
) -> None:
    uploads.put()
    assert uploads.assemble().status_code == 204
    assert nextcloud.versions(FILE) == {original: ORIGINAL}
    assert nextcloud.mtime(FILE) == int(clock.now)


def test_a_restored_version_is_an_original_again(nextcloud: Nextcloud, uploads: Uploads, original: int) -> None:
    uploads.put()
    uploads.assemble(X_OC_MTime=str(original - 1), OC_Checksum=MARKER)
    assert nextcloud.checksum(FILE) == MARKER
    with pytest.raises(KeyError):
        nextcloud.restore_version(FILE, original - 1)
    nextcloud.restore_version(FILE, original)
    assert (nextcloud.read(FILE), nextcloud.mtime(FILE), nextcloud.checksum(FILE)) == (ORIGINAL, original, "")
    assert nextcloud.versions(FILE) == {original - 1: UPSCALED}


def test_a_hidden_version_comes_back_by_its_address(nextcloud: Nextcloud, uploads: Uploads, original: int) -> None:
    uploads.put()
    uploads.assemble(X_OC_MTime=str(original))
    top = f"{nextcloud.url}/remote.php/dav/versions/{nextcloud.user_id}"
    headers = {"Destination": f"{top}/restore/target"}
    version = f"{top}/versions/{nextcloud.file_id(FILE)}/{original}"
    assert requests.request("MOVE", version, auth=uploads.login, headers=headers, timeout=20).status_code == 201
    assert (nextcloud.read(FILE), nextcloud.versions(FILE)) == (ORIGINAL, {})
    assert requests.request("MOVE", version + "1", auth=uploads.login, headers=headers, timeout=20).status_code == 404


def test_without_the_versions_app_the_original_is_gone(nextcloud: Nextcloud, uploads: Uploads, original: int) -> None:
    def offered() -> bool:
        url = f"{nextcloud.url}/ocs/v2.php/cloud/capabilities?format=json"
        answer = requests.get(url, auth=uploads.login, headers={"OCS-APIRequest": "true"}, timeout=20).json()
        capabilities = answer["ocs"]["data"]["capabilities"]
        assert capabilities["dav"]["chunking"] == "1.0"
        return "versioning" in capabilities["files"]

    assert offered()
    nextcloud.versioning = False
    assert not offered()
    uploads.put()
    assert uploads.assemble(X_OC_MTime=str(original - 1)).status_code == 204
    nextcloud.versioning = True
    assert (nextcloud.read(FILE), nextcloud.versions(FILE)) == (UPSCALED, {})


@pytest.mark.parametrize(("shared", "missing"), [(FILE, "update"), ("raw", "update"), ("raw", "create")])
def test_a_missing_right_leaves_the_file_and_drops_the_upload(
    nextcloud: Nextcloud, uploads: Uploads, original: int, shared: str, missing: str
) -> None:
    nextcloud.set_rights(shared, **{missing: False})
    uploads.put()
    assert uploads.assemble().status_code == 403
    assert (nextcloud.read(FILE), nextcloud.mtime(FILE), nextcloud.uploads()) == (ORIGINAL, original, [])


@pytest.mark.usefixtures("original")
def test_without_the_right_to_delete_an_image_is_replaced_and_stays(
    nextcloud: Nextcloud, uploads: Uploads, ask: Ask
) -> None:
    nextcloud.set_rights("raw", delete=False)
    uploads.put()
    assert uploads.assemble().status_code == 204
    target = {"Destination": f"{nextcloud.files_url}unsorted/a.jpg", "Overwrite": "F"}
    assert ask("MOVE", FILE, headers=target).status_code == 403
    assert ask("DELETE", FILE).status_code == 403
    assert nextcloud.read(FILE) == UPSCALED


@pytest.mark.usefixtures("original")
def test_without_the_right_to_create_nothing_comes_into_a_folder(nextcloud: Nextcloud, ask: Ask) -> None:
    nextcloud.set_rights("unsorted", create=False)
    target = {"Destination": f"{nextcloud.files_url}unsorted/a.jpg", "Overwrite": "F"}
    assert ask("MOVE", FILE, headers=target).status_code == 403
    assert ask("COPY", FILE, headers=target).status_code == 403
    assert ask("PUT", "unsorted/b.jpg", data=b"x").status_code == 403
    assert ask("MKCOL", "unsorted/folder").status_code == 403
    assert ask("PROPFIND", "unsorted/b.jpg").status_code == 404


@pytest.mark.parametrize(
    ("missing", "folder", "file"),
    [
        ("update", "SRGDNVCK", "SRGD"),
        ("create", "SRGDNV", "SRGDNVW"),
        ("delete", "SRGDNVCK", "SRGNVW"),
        ("share", "SGDNVCK", "SGDNVW"),
    ],
)
@pytest.mark.usefixtures("original")
def test_permissions_tell_the_missing_right(
    nextcloud: Nextcloud, ask: Ask, missing: str, folder: str, file: str
) -> None:
    nextcloud.set_rights("raw", **{missing: False})
    assert (_properties(ask, "raw")["oc:permissions"], _properties(ask, FILE)["oc:permissions"]) == (folder, file)


@pytest.mark.usefixtures("original")
def test_a_chunk_gets_507_if_its_destination_and_total_length_do_not_fit(
    nextcloud: Nextcloud, uploads: Uploads
) -> None:
    nextcloud.quota = len(ORIGINAL) + len(UPSCALED) - 1
    headers = {"Destination": nextcloud.files_url + FILE, "OC-Total-Length": str(len(UPSCALED))}
    assert uploads.put(headers=headers).status_code == 507
    assert uploads.put().status_code == 201
    assert uploads.assemble().status_code == 507
    assert (nextcloud.read(FILE), nextcloud.uploads()) == (ORIGINAL, ["up"])


def test_in_the_middle_of_an_assembly_an_upscaled_image_looks_like_an_original(
    nextcloud: Nextcloud, uploads: Uploads, ask: Ask, original: int
) -> None:
    seen: list[dict[str, str]] = []
    written: list[int] = []

    def look() -> None:
        seen.append(_properties(ask, FILE))
        written.append(ask("PUT", FILE, data=b"by a person").status_code)

    before = _properties(ask, FILE)
    nextcloud.before_marker = look
    uploads.put()
    answer = uploads.assemble(X_OC_MTime=str(original - 1), OC_Checksum=MARKER)
    assert answer.status_code == 204
    assert seen == [before | {"d:getetag": answer.headers["ETag"]}]
    assert written == [423]
    assert _properties(ask, FILE)["oc:checksums"].count("<oc:checksum>") == 2


def test_an_assembly_that_dies_in_the_middle_leaves_new_content_without_a_marker(
    nextcloud: Nextcloud, uploads: Uploads, original: int
) -> None:
    def die() -> None:
        raise RuntimeError("killed")

    nextcloud.before_marker = die
    uploads.put()
    assert uploads.assemble(X_OC_MTime=str(original - 1), OC_Checksum=MARKER).status_code == 500
    assert (nextcloud.read(FILE), nextcloud.checksum(FILE)) == (UPSCALED, "")
    assert nextcloud.versions(FILE) == {original: ORIGINAL}


@pytest.mark.parametrize("header", [{"X_OC_MTime": "0"}, {"OC_Checksum": "x" * 256}])
@pytest.mark.usefixtures("original")
def test_an_invalid_header_is_answered_after_the_content_was_replaced(
    nextcloud: Nextcloud, uploads: Uploads, header: dict[str, str]
) -> None:
    uploads.put()
    assert uploads.assemble(**header).status_code == 500
    assert (nextcloud.read(FILE), nextcloud.checksum(FILE)) == (UPSCALED, "")


@pytest.mark.usefixtures("original")
def test_403_where_the_upload_is_given_up_meanwhile_although_the_content_is_replaced(
    nextcloud: Nextcloud, uploads: Uploads
) -> None:
    def give_up() -> None:
        assert uploads.ask("DELETE", "up").status_code == 204

    nextcloud.before_marker = give_up
    uploads.put()
    assert uploads.assemble(OC_Checksum=MARKER).status_code == 403
    assert (nextcloud.read(FILE), nextcloud.checksum(FILE)) == (UPSCALED, MARKER)


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        (
            {"If": '</elsewhere/files/alice/a.jpg> (["x"])'},
            403,
            "Requested uri (/elsewhere/files/alice/a.jpg) is out of base uri (/remote.php/dav/)",
        ),
        ({"If_Match": '"x"'}, 412, "An If-Match header was specified, but none of the specified ETags matched."),
        (
            {"Overwrite": "F"},
            412,
            "The destination node already exists, and the overwrite header is set to false",
        ),
    ],
)
@pytest.mark.usefixtures("original")
def test_an_assembly_with_a_condition_that_does_not_hold_changes_nothing(
    nextcloud: Nextcloud, uploads: Uploads, headers: dict[str, str], status: int, message: str
) -> None:
    uploads.put()
    answer = uploads.assemble(**headers)
    error = parse_error(answer.content)
    assert error
    assert (answer.status_code, error[1]) == (status, message)
    assert (nextcloud.read(FILE), nextcloud.uploads()) == (ORIGINAL, ["up"])


def test_a_negated_condition_holds_where_the_etag_differs(ask: Ask) -> None:
    etag = ask("PUT", "a.txt", data=b"x").headers["ETag"]
    assert ask("PUT", "a.txt", data=b"y", headers={"If": f"(Not [{etag}])"}).status_code == 412
    assert ask("PUT", "a.txt", data=b"y", headers={"If": '(["other"]) (Not ["other"])'}).status_code == 204


@pytest.mark.usefixtures("original")
def test_a_folder_is_no_destination_of_an_upload(uploads: Uploads) -> None:
    uploads.put()
    destination = uploads.nextcloud.files_url + "unsorted"
    assert uploads.ask("MOVE", "up/.file", headers={"Destination": destination}).status_code == 400
    missing = uploads.nextcloud.files_url + "missing/a.jpg"
    assert uploads.ask("MOVE", "up/.file", headers={"Destination": missing}).status_code == 409


def test_an_upload_under_a_new_name_makes_a_file_of_its_chunks_in_order(nextcloud: Nextcloud, uploads: Uploads) -> None:
    uploads.put(b"first, ")
    assert uploads.ask("PUT", "up/00003", data=b"third").status_code == 201
    assert uploads.ask("PUT", "up/00002", data=b"wrong").status_code == 201
    assert uploads.ask("PUT", "up/00002", data=b"second, ").status_code == 204
    headers = {"Destination": f"{nextcloud.files_url}new.txt"}
    assert uploads.ask("MOVE", "up/.file", headers=headers).status_code == 201
    assert nextcloud.read("new.txt") == b"first, second, third"
    assert nextcloud.uploads() == []
    assert list((nextcloud.folder.parent / "spool").iterdir()) == []


def test_a_chunk_needs_a_folder(uploads: Uploads) -> None:
    assert uploads.ask("PUT", "none/00001", data=b"x").status_code == 404
    assert uploads.ask("MKCOL", "none/below").status_code == 409
    assert uploads.ask("DELETE", "none").status_code == 404


def test_all_that_people_attached_stays_with_a_file_that_is_replaced_and_moved(
    nextcloud: Nextcloud, uploads: Uploads, ask: Ask, original: int
) -> None:
    file_id, token = nextcloud.file_id(FILE), nextcloud.create_link(FILE)
    nextcloud.create_tag("ai:cats")
    nextcloud.tag(FILE, "ai:cats")
    nextcloud.set_favorite(FILE)
    nextcloud.comment(FILE, "nice")
    uploads.put()
    uploads.assemble(X_OC_MTime=str(original - 1), OC_Checksum=MARKER)
    moved = {"Destination": f"{nextcloud.files_url}unsorted/b.jpg", "If-Match": f'"{nextcloud.etag(FILE)}"'}
    assert ask("MOVE", FILE, headers=moved).status_code == 201

    def attached() -> tuple[object, ...]:
        path = "unsorted/b.jpg"
        what = (nextcloud.tags_of(path), nextcloud.is_favorite(path), nextcloud.comments(path))
        return nextcloud.file_id(path), *what, nextcloud.checksum(path), nextcloud.versions(path)

    expected = (file_id, {"ai:cats"}, True, ["nice"], MARKER, {original: ORIGINAL})
    assert (attached(), nextcloud.read_link(token)) == (expected, UPSCALED)
    assert nextcloud.trash() == []
    nextcloud.delete("unsorted/b.jpg")
    assert (nextcloud.trash(), nextcloud.read_link(token)) == ([("unsorted/b.jpg", UPSCALED)], None)
    nextcloud.restore_from_trash("unsorted/b.jpg")
    assert (attached(), nextcloud.trash()) == (expected, [])


@pytest.mark.usefixtures("original")
def test_deleted_files_are_in_the_trash_unless_a_request_says_otherwise(nextcloud: Nextcloud, ask: Ask) -> None:
    nextcloud.write("raw/below/b.jpg", b"b")
    nextcloud.write("c.jpg", b"c")
    nextcloud.write("d.jpg", b"d")
    assert ask("DELETE", "c.jpg", headers={"X-NC-Skip-Trashbin": "true"}).status_code == 204
    overwritten = {"Destination": nextcloud.files_url + FILE}
    assert ask("MOVE", "d.jpg", headers=overwritten).status_code == 204
    assert ask("DELETE", "raw").status_code == 204
    assert nextcloud.trash() == [(FILE, ORIGINAL), (FILE, b"d"), ("raw/below/b.jpg", b"b")]
    nextcloud.restore_from_trash("raw")
    assert (nextcloud.read(FILE), nextcloud.trash()) == (b"d", [(FILE, ORIGINAL)])
    with pytest.raises(FileExistsError):
        nextcloud.restore_from_trash(FILE)


def test_a_change_behind_the_servers_back_clears_the_checksum(nextcloud: Nextcloud, ask: Ask, clock: Clock) -> None:
    ask("PUT", "a.jpg", data=b"x", headers={"OC-Checksum": MARKER})
    assert nextcloud.checksum("a.jpg") == MARKER
    clock.now += 5
    (nextcloud.folder / "a.jpg").write_bytes(b"other")
    assert nextcloud.checksum("a.jpg") == ""
    assert nextcloud.versions("a.jpg") == {}


def test_a_write_by_a_person_keeps_the_former_content_as_a_version(nextcloud: Nextcloud, clock: Clock) -> None:
    nextcloud.write(FILE, ORIGINAL, mtime=1_700_000_000)
    file_id = nextcloud.file_id(FILE)
    clock.now += 5
    nextcloud.write(FILE, b"by a person")
    assert (nextcloud.read(FILE), nextcloud.versions(FILE)) == (b"by a person", {1_700_000_000: ORIGINAL})
    nextcloud.rename(FILE, "raw/deep/b.jpg")
    assert nextcloud.file_id("raw/deep/b.jpg") == file_id
    nextcloud.write(FILE, b"new")
    with pytest.raises(FileExistsError):
        nextcloud.rename(FILE, "raw/deep/b.jpg")
