"""--dask without a cluster: addresses, secrets, and the limits of a worker."""

import pickle

import pytest
from pydantic import SecretStr

from scaler.dask_options import check_address
from scaler.dask_worker import UpscaleTask, redacted, software, worker_limits
from scaler.images.probe import UnsupportedImage
from scaler.jobs import Upload, UpscaleJob
from scaler.memory_budget import Limits
from scaler.upscaling import AlreadyUpscaled, TooLarge, UploadFolderGone
from shared.errors import Failure, InvalidSettings, ServerUnavailable, Unauthorized
from shared.redaction import hide_login
from shared.webdav.account import WebDavAccount
from shared.webdav.store import Entry, Href
from tests.scaler.cli import Home
from tests.servers.program import free_port

MIB = 2**20
PASSWORD = "correct horse+battery/staple"
ACCOUNT = WebDavAccount(base_url="http://127.0.0.1/dav/", username="zoë", password=SecretStr(PASSWORD))
ENTRY = Entry("Unknown.png", Href("/dav/raw/Unknown.png"), is_folder=False, size=5, etag='"1"', modified=0.0)
ID = "20270115T075000Z-0123456789abcdef01234567"
IN_PLACE = Upload(ID, Href(f"/uploads/{ID}/00001"), Href(f"/uploads/{ID}/"))
BY_CLAIM = Upload(ID, Href(f"/dav/unsorted/.scaler/{ID}"))


@pytest.mark.parametrize(
    "address",
    [
        "local",
        "gateway",
        "gateway:hub.1",
        "tls://scheduler.example.com:8786",
        "tcp://127.0.0.1:8786",
        "tcp://127.1.2.3:8786",
        "tcp://[::1]:8786",
        "tcp://localhost:8786",
    ],
)
def test_the_password_may_travel_there(address: str) -> None:
    check_address(address, insecure=False)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://scheduler.example.com:8786",
        "tcp://192.168.1.2:8786",
        "tcp://0.0.0.0:8786",
        "tcp://localhost.example.com:8786",
        "tcp://127.0.0.1.example.com:8786",
        "tcp://[fe80::1]:8786",
    ],
)
def test_the_password_may_not_travel_there_unless_that_is_allowed(address: str) -> None:
    with pytest.raises(InvalidSettings, match="--dask-insecure"):
        check_address(address, insecure=False)
    check_address(address, insecure=True)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:8786",
        "http://127.0.0.1:8786",
        "tcp://127.0.0.1",
        "tcp://:8786",
        "tcp://127.0.0.1:port",
        "tls://me:secret@127.0.0.1:8786",
        "gateway:",
        "TCP://127.0.0.1:8786",
        "locally",
    ],
)
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        check_address(address, insecure=True)
    assert "secret" not in str(raised.value)


def test_a_daemon_does_not_start_where_its_password_would_be_seen(home: Home) -> None:
    outcome = home.scaler("--once", "--dask", "tcp://scheduler.example.com:8786")
    assert outcome.status == 2
    assert len(outcome.errors) == 1
    assert "--dask-insecure" in outcome.said


def test_check_says_that_a_cluster_cannot_be_reached(home: Home) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    outcome = home.scaler("--check", SCALER_DASK=address)
    assert outcome.status == 1
    assert f"FAILED  Dask cluster: The Dask cluster {address}" in outcome.said


def test_without_dask_there_are_ten_in_flight_at_most(home: Home) -> None:
    outcome = home.scaler("--once", "--in-flight", "11")
    assert outcome.status == 2
    assert "11" in outcome.said


@pytest.mark.parametrize("upload", [IN_PLACE, BY_CLAIM], ids=["in place", "by claim"])
def test_a_renewed_upload_lies_beside_the_first(upload: Upload) -> None:
    renewed = upload.renewed()
    assert renewed.id != upload.id
    assert renewed.id[:25] == upload.id[:25]
    for new, old in ((renewed.href, upload.href), (renewed.folder, upload.folder)):
        assert new == (old and old.replace(upload.id, renewed.id))
        assert new is None or new != old


def test_a_task_travels_and_shows_nothing_of_itself() -> None:
    task = UpscaleTask(ACCOUNT, b"certificate", UpscaleJob(ENTRY, IN_PLACE, None, 95), None, 7, False, software())
    assert pickle.loads(pickle.dumps(task)) == task
    for shown in (repr(task), str(task), repr((task,))):
        assert PASSWORD not in shown
        assert ENTRY.name not in shown


@pytest.mark.parametrize(
    "error",
    [
        Failure(f"the server said {PASSWORD}", f"or {PASSWORD}"),
        Unauthorized(f"the server said {PASSWORD}"),
        ServerUnavailable(f"the server said {PASSWORD}", retry_after=3.0),
        UnsupportedImage(f"its comment is {PASSWORD}"),
        TooLarge(f"its comment is {PASSWORD}"),
        UploadFolderGone(),
        AlreadyUpscaled(ID),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_travels_without_the_password(error: Exception) -> None:
    hide_login(ACCOUNT.username, PASSWORD)
    before = vars(error) | {}
    error.__cause__ = ValueError(PASSWORD)
    travelling = pickle.dumps(redacted(error))
    assert PASSWORD.encode() not in travelling
    after = pickle.loads(travelling)
    assert type(after) is type(error)
    assert vars(after).keys() == before.keys()
    assert after.__cause__ is None
    if isinstance(error, ServerUnavailable):
        assert vars(after)["retry_after"] == 3.0


@pytest.mark.parametrize(
    ("dask_limit", "memory"), [(None, 1000 * MIB), (0, 1000 * MIB), (800 * MIB, 440 * MIB), (100 * MIB, 64 * MIB)]
)
def test_a_worker_keeps_within_what_dask_leaves_it(dask_limit: int | None, memory: int) -> None:
    assert worker_limits(Limits(8, 1000 * MIB), 2, dask_limit) == Limits(2, memory)
