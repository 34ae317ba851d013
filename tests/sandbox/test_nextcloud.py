"""The sandbox's Nextcloud: what the recorded requests do not show."""

import os
import socket
import struct
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from sandbox.nextcloud import Nextcloud
from tests.sandbox.conftest import Ask, Clock
from tests.sandbox.replay import parse_multistatus

PROPERTIES = '<d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop><d:getetag/><oc:fileid/></d:prop></d:propfind>'


def _listed(response: requests.Response) -> dict[str, dict[str, str]]:
    return {href: properties for href, properties, _ in parse_multistatus(response.content) or []}


def test_a_file_from_another_client_is_served_with_an_id_and_an_etag(nextcloud: Nextcloud, ask: Ask) -> None:
    (nextcloud.folder / "new.txt").write_bytes(b"by hand")
    listed = _listed(ask("PROPFIND", "", data=PROPERTIES, headers={"Depth": "1"}))
    properties = listed[f"/remote.php/dav/files/{nextcloud.user_id}/new.txt"]
    assert properties["oc:fileid"] == str(nextcloud.file_id("new.txt"))
    answer = ask("GET", "new.txt")
    assert (answer.content, answer.headers["ETag"]) == (b"by hand", properties["d:getetag"])


def test_a_folders_etag_changes_with_what_others_do_on_disk_far_below(nextcloud: Nextcloud, ask: Ask) -> None:
    def etag() -> str:
        answer = ask("PROPFIND", "a", data=PROPERTIES, headers={"Depth": "0"})
        return _listed(answer)[f"/remote.php/dav/files/{nextcloud.user_id}/a/"]["d:getetag"]

    below = nextcloud.folder / "a" / "b"
    below.mkdir(parents=True)
    seen = [etag()]
    (below / "c.txt").write_bytes(b"1")
    seen.append(etag())
    os.utime(below / "c.txt", (1, 1))
    seen.append(etag())
    (below / "c.txt").unlink()
    seen.append(etag())
    assert len(set(seen)) == 4
    assert etag() == seen[-1]


def test_tags_and_id_stay_on_a_moved_file_and_leave_folder_etags_alone(nextcloud: Nextcloud, ask: Ask) -> None:
    nextcloud.create_tag("ai:cats")
    ask("PUT", "a.jpg", data=b"x")
    before, file_id = nextcloud.etag("/"), nextcloud.file_id("a.jpg")
    nextcloud.tag("a.jpg", "ai:cats")
    assert nextcloud.etag("/") == before
    moved = ask("MOVE", "a.jpg", headers={"Destination": nextcloud.files_url + "b.jpg", "Overwrite": "F"})
    assert moved.status_code == 201
    assert nextcloud.etag("/") != before
    assert (nextcloud.file_id("b.jpg"), nextcloud.tags_of("b.jpg")) == (file_id, {"ai:cats"})


def test_two_writes_within_a_second_keep_the_etag(ask: Ask, clock: Clock) -> None:
    etags = [ask("PUT", "a.txt", data=b"one").headers["ETag"], ask("PUT", "a.txt", data=b"longer").headers["ETag"]]
    clock.now += 1
    etags.append(ask("PUT", "a.txt", data=b"later").headers["ETag"])
    assert etags[0] == etags[1] != etags[2]


def test_a_replacement_of_the_same_size_and_date_keeps_the_etag(ask: Ask, clock: Clock) -> None:
    dated = {"X-OC-MTime": "1700000000"}
    first = ask("PUT", "a.txt", data=b"one", headers=dated).headers["ETag"]
    clock.now += 60
    assert ask("PUT", "a.txt", data=b"two", headers=dated).headers["ETag"] == first
    assert ask("PUT", "a.txt", data=b"three", headers=dated).headers["ETag"] != first


def test_of_many_moves_of_one_file_one_wins(nextcloud: Nextcloud) -> None:
    for turn in range(10):
        (nextcloud.folder / f"source{turn}").write_bytes(b"x")

        def move(target: int, turn: int = turn) -> int:
            headers = {"Destination": f"{nextcloud.files_url}target{turn}-{target}", "Overwrite": "F"}
            login = (nextcloud.user, nextcloud.password)
            url = f"{nextcloud.files_url}source{turn}"
            return requests.request("MOVE", url, headers=headers, auth=login, timeout=20).status_code

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(move, range(6))) == [201] + [404] * 5


def test_of_many_moves_onto_one_name_one_wins(nextcloud: Nextcloud) -> None:
    for source in range(6):
        (nextcloud.folder / f"source{source}").write_bytes(b"x")

    def move(source: int) -> int:
        headers = {"Destination": f"{nextcloud.files_url}target", "Overwrite": "F"}
        url, login = f"{nextcloud.files_url}source{source}", (nextcloud.user, nextcloud.password)
        return requests.request("MOVE", url, headers=headers, auth=login, timeout=20).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(move, range(6))) == [201] + [412] * 5


def test_a_put_that_is_reset_leaves_nothing_under_a_new_name_and_an_empty_file_under_an_old_one(
    nextcloud: Nextcloud, ask: Ask, clock: Clock
) -> None:
    etag = ask("PUT", "old.txt", data=b"was here").headers["ETag"]
    clock.now += 5
    for name in ("old.txt", "new.txt"):
        _reset_in_the_middle_of_a_put(nextcloud, name)
    assert ask("GET", "new.txt").status_code == 404
    emptied = ask("GET", "old.txt")
    assert (emptied.status_code, emptied.content) == (200, b"")
    assert emptied.headers["ETag"] != etag
    assert list((nextcloud.folder.parent / "spool").iterdir()) == []


def _reset_in_the_middle_of_a_put(nextcloud: Nextcloud, name: str) -> None:
    seen = len(nextcloud.requests)
    login = b64encode(f"{nextcloud.user}:{nextcloud.password}".encode()).decode()
    head = (
        f"PUT /remote.php/dav/files/{nextcloud.user_id}/{name} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
    )
    port = int(nextcloud.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\nhalf".encode())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    while len(nextcloud.requests) == seen:
        threading.Event().wait(0.005)


def test_eleven_wrong_passwords_lock_the_address_out_for_half_an_hour(nextcloud: Nextcloud, clock: Clock) -> None:
    def status(password: str) -> int:
        return requests.request(
            "PROPFIND", nextcloud.files_url, auth=(nextcloud.user, password), timeout=20
        ).status_code

    assert [status("wrong") for _ in range(10)] == [401] * 10
    assert status(nextcloud.password) == 207
    assert [status("wrong") for _ in range(12)] == [401] * 11 + [429]
    assert status(nextcloud.password) == 429
    clock.now += 1801
    assert status(nextcloud.password) == 207


def test_a_changed_password_counts_at_once(nextcloud: Nextcloud, ask: Ask) -> None:
    assert ask("PROPFIND", "").status_code == 207
    nextcloud.set_password("another")
    assert ask("PROPFIND", "").status_code == 401
    assert nextcloud.password == "another"


def test_it_restarts_on_its_port_with_everything_it_had(nextcloud: Nextcloud, ask: Ask) -> None:
    nextcloud.create_tag("kept")
    etag = ask("PUT", "a.txt", data=b"x").headers["ETag"]
    nextcloud.tag("a.txt", "kept")
    url = nextcloud.url
    nextcloud.stop()
    with pytest.raises(requests.ConnectionError):
        ask("GET", "a.txt")
    nextcloud.start()
    assert (nextcloud.url, nextcloud.tags_of("a.txt")) == (url, {"kept"})
    assert ask("GET", "a.txt").headers["ETag"] == etag


def test_the_log_has_each_request_once_with_its_connection(nextcloud: Nextcloud, ask: Ask) -> None:
    ask("PUT", "a%20%C3%A9.txt", data=b"x", headers={"X-Hash": "sha256"})
    ask("DELETE", "a%20%C3%A9.txt")
    ask("DELETE", "a%20%C3%A9.txt")
    path = f"/remote.php/dav/files/{nextcloud.user_id}/a é.txt"
    assert [(record.method, record.path, record.status) for record in nextcloud.requests] == [
        ("PUT", path, 201),
        ("DELETE", path, 204),
        ("DELETE", path, 404),
    ]
    assert len({record.peer for record in nextcloud.requests}) == 1
    assert nextcloud.requests[0].headers["x-hash"] == "sha256"
    assert nextcloud.requests[0].headers["content-length"] == "1"
    nextcloud.clear_log()
    assert nextcloud.requests == []


def test_under_a_sub_path_with_a_login_that_is_not_the_user_id() -> None:
    with Nextcloud(user="alice@example.org", user_id="u-1", base_path="/cloud") as nextcloud:
        login = (nextcloud.user, nextcloud.password)
        (nextcloud.folder / "a.txt").write_bytes(b"x")
        assert nextcloud.files_url.endswith("/cloud/remote.php/dav/files/u-1/")
        listed = _listed(requests.request("PROPFIND", nextcloud.files_url, auth=login, timeout=20))
        assert list(listed) == ["/cloud/remote.php/dav/files/u-1/", "/cloud/remote.php/dav/files/u-1/a.txt"]
        moved = requests.request(
            "MOVE",
            nextcloud.webdav_url + "a.txt",
            headers={"Destination": nextcloud.webdav_url + "b.txt"},
            auth=login,
            timeout=20,
        )
        assert moved.status_code == 201
        asked = {"OCS-APIRequest": "true"}
        user = requests.get(f"{nextcloud.url}/ocs/v1.php/cloud/user", headers=asked, auth=login, timeout=20).json()
        assert user["ocs"]["data"]["id"] == "u-1"
        outside = nextcloud.url.removesuffix("/cloud") + "/status.php"
        assert requests.get(outside, timeout=20).status_code == 404


def test_thirty_requests_are_delayed_in_parallel(nextcloud: Nextcloud) -> None:
    nextcloud.latency = 0.2
    login = (nextcloud.user, nextcloud.password)

    def ask_once(_: int) -> int:
        return requests.request("PROPFIND", nextcloud.files_url, auth=login, timeout=20).status_code

    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(ask_once, range(30))) == [207] * 30
    times = [record.time for record in nextcloud.requests]
    assert len({record.peer for record in nextcloud.requests}) == 30
    assert max(times) - min(times) < 2


def test_a_name_in_the_other_unicode_form_on_disk_is_found_and_listed_in_nfc(nextcloud: Nextcloud, ask: Ask) -> None:
    (nextcloud.folder / "cafe\u0301.txt").write_bytes(b"x")
    listed = _listed(ask("PROPFIND", "", headers={"Depth": "1"}))
    assert f"/remote.php/dav/files/{nextcloud.user_id}/caf%c3%a9.txt" in listed
    assert ask("GET", "caf%C3%A9.txt").content == b"x"
    assert ask("DELETE", "cafe%CC%81.txt").status_code == 204
    assert list(nextcloud.folder.iterdir()) == []


def test_a_listing_is_consistent_while_many_write(nextcloud: Nextcloud) -> None:
    login = (nextcloud.user, nextcloud.password)

    def write_and_list(number: int) -> bool:
        with requests.Session() as session:
            session.auth = login
            session.put(f"{nextcloud.files_url}{number}.txt", data=b"x", timeout=20)
            headers = {"Destination": f"{nextcloud.files_url}moved-{number}.txt", "Overwrite": "F"}
            session.request("MOVE", f"{nextcloud.files_url}{number}.txt", headers=headers, timeout=20)
            answer = session.request("PROPFIND", nextcloud.files_url, headers={"Depth": "1"}, timeout=20)
            return f"/remote.php/dav/files/{nextcloud.user_id}/moved-{number}.txt" in _listed(answer)

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(write_and_list, range(40)))
    assert len(list(nextcloud.folder.iterdir())) == 40


def test_nothing_is_left_afterwards() -> None:
    before = set(threading.enumerate())
    with Nextcloud() as nextcloud:
        temporary = Path(nextcloud.folder).parent
    assert not temporary.exists()
    assert set(threading.enumerate()) <= before
