"""The private Vault, on a real OpenBao: what is written stays, whatever is killed, and only its owner can read it."""

import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.config.source import open_vault
from shared.config.vault import Vault
from shared.errors import VaultForbidden, VaultUnavailable
from shared.private_vault.creation import create
from shared.private_vault.layout import SECRETS, Layout, try_lock
from shared.private_vault.secrets import PrivateVault, start
from shared.private_vault.server import answers, installed_version
from shared.private_vault.supervisor import SNAPSHOTS_KEPT, stop
from tests.shared.private_vault.processes import kill_some, processes_in, wait_for_end


@pytest.fixture
def root(layout: Layout) -> Iterator[PrivateVault]:
    vault = PrivateVault(layout, as_root=True)
    yield vault
    vault.close()


@pytest.fixture
def daemon(layout: Layout) -> Iterator[PrivateVault]:
    vault = PrivateVault(layout)
    yield vault
    vault.close()


def test_what_is_written_is_read_by_the_daemons_and_outlives_the_server(
    layout: Layout, root: PrivateVault, daemon: PrivateVault
) -> None:
    for name in SECRETS:
        assert daemon.read(name) is None
        root.write(name, {"a": name})
        assert daemon.read(name) == {"a": name}
    assert stop(layout)
    assert not answers(layout)
    assert daemon.read("webdav") == {"a": "webdav"}


def test_the_daemons_may_read_three_secrets_and_nothing_else(root: PrivateVault, daemon: PrivateVault) -> None:
    root.write("other", {"a": "b"})
    with pytest.raises(VaultForbidden):
        daemon.read("other")
    with pytest.raises(VaultForbidden):
        daemon.write("webdav", {"a": "b"})
    client = daemon._opened()._client
    for path in ("sys/mounts", "sys/policies/acl", "auth/approle/role", "cubbyhole/x", "identity/entity/id"):
        answer = client.adapter.session.get(
            f"{client.url}/v1/{path}", headers={"X-Vault-Token": client.token}, verify=client.adapter.session.verify
        )
        assert answer.status_code == 403, path


def test_it_stops_with_the_last_process_that_uses_it(layout: Layout) -> None:
    first, second = PrivateVault(layout), PrivateVault(layout)
    starts = [threading.Thread(target=vault.read, args=("webdav",)) for vault in (first, second)]
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    assert list(processes_in(layout.folder).values()).count("bao") == 1
    assert len(processes_in(layout.folder)) == 2
    first.close()
    assert try_lock(layout.server_lock) is None
    assert second.read("webdav") is None
    second.close()
    wait_for_end(layout)
    assert processes_in(layout.folder) == {}


def test_a_user_that_is_killed_no_longer_counts(layout: Layout) -> None:
    code = (
        "import sys, time; from pathlib import Path; from shared.private_vault.layout import Layout;"
        " from shared.private_vault.secrets import PrivateVault; vault = PrivateVault(Layout(Path(sys.argv[1])));"
        " vault.read('webdav'); print('ready', flush=True); time.sleep(100)"
    )
    user = subprocess.Popen([sys.executable, "-c", code, str(layout.folder)], stdout=subprocess.PIPE)
    with user:
        assert user.stdout is not None
        assert user.stdout.readline() == b"ready\n"
        assert answers(layout)
        user.kill()
    wait_for_end(layout)
    assert processes_in(layout.folder) == {}


@pytest.mark.parametrize("times", [pytest.param(4, id="few"), pytest.param(50, id="many", marks=pytest.mark.long)])
def test_whatever_is_killed_at_any_moment_what_was_written_is_there(layout: Layout, times: int) -> None:
    chance = random.Random(times)
    vault = PrivateVault(layout, as_root=True)
    daemon = PrivateVault(layout)
    written = 0
    for round_ in range(times):
        stopping = threading.Event()
        killer = threading.Timer(chance.uniform(0, 0.3), kill_some, (layout, chance.choice(("bao", "python", "all"))))
        killer.start()
        while not stopping.is_set():
            try:
                vault.write("webdav", {"number": written + 1})
            except VaultUnavailable:
                # Whether it was written is not known.
                found = (daemon.read("webdav") or {"number": 0})["number"]
                assert found in (written, written + 1)
                written = found
            else:
                written += 1
            if not killer.is_alive():
                stopping.set()
        found = daemon.read("webdav")
        assert found is not None, round_
        assert found["number"] == written
    vault.close()
    daemon.close()


@pytest.mark.parametrize(
    "after", [0.4, 1.0, pytest.param(1.5, marks=pytest.mark.long), pytest.param(2.0, marks=pytest.mark.long)]
)
def test_making_it_may_be_killed_at_any_moment(tmp_path: Path, after: float) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": ""}
    command = [sys.executable, "-m", "shared.commands", "vault"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    layout = Layout.of(environment)
    create(layout)
    vault = PrivateVault(layout, as_root=True)
    vault.write("webdav", {"a": "b"})
    vault.close()
    wait_for_end(layout)


def test_another_program_at_its_port_is_neither_trusted_nor_in_the_way(layout: Layout, root: PrivateVault) -> None:
    root.write("webdav", {"a": "b"})
    taken = layout.holds("address")
    stop(layout)
    with socket.create_server(("127.0.0.1", int(taken.rpartition(":")[2]))) as other:
        thread = threading.Thread(target=answer_plainly, args=(other,), daemon=True)
        thread.start()
        assert not answers(layout)
        assert root.read("webdav") == {"a": "b"}
        assert layout.holds("address") != taken


def answer_plainly(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def test_another_server_with_a_certificate_of_its_own_is_not_trusted(
    made: Layout, layout: Layout, tmp_path: Path
) -> None:
    """Somebody else's private Vault at this one's port."""
    other = Layout(tmp_path / "other")
    shutil.copytree(made.folder, other.folder)
    from shared.private_vault.certificates import write_certificates

    write_certificates(other)
    user = PrivateVault(other)
    user.read("webdav")
    layout.write(layout.address, other.holds("address"))
    assert not answers(layout)
    here = {"VAULT_ADDR": other.holds("address"), "VAULT_CACERT": str(layout.authority), "VAULT_TOKEN": "t"}
    with pytest.raises(VaultUnavailable, match="not trusted"):
        Vault(here).read("webdav")
    user.close()
    wait_for_end(other)


def test_a_proxy_for_everything_is_not_used(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    vault = PrivateVault(layout)
    assert vault.read("webdav") is None
    vault.close()


def test_variables_of_another_vault_do_not_reach_it(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VAULT_NAMESPACE", "VAULT_CACERT", "VAULT_KV_MOUNT", "BAO_ADDR", "VAULT_SKIP_VERIFY"):
        monkeypatch.setenv(name, "elsewhere")
    vault = PrivateVault(layout, as_root=True)
    vault.write("webdav", {"a": "b"})
    assert vault.read("webdav") == {"a": "b"}
    vault.close()


def test_a_new_version_of_openbao_starts_after_a_copy_of_the_data(layout: Layout, root: PrivateVault) -> None:
    root.write("webdav", {"a": "before"})
    for number in range(SNAPSHOTS_KEPT + 1):
        stop(layout)
        layout.write(layout.version, f"1.0.{number}")
        assert root.read("webdav") is not None
    assert layout.holds("version") == installed_version()
    snapshots = sorted(layout.snapshots.iterdir())
    assert len(snapshots) == SNAPSHOTS_KEPT
    assert snapshots[-1].name.endswith(f"-openbao-1.0.{SNAPSHOTS_KEPT}")
    root.write("webdav", {"a": "after"})
    stop(layout)
    shutil.rmtree(layout.data)
    shutil.copytree(snapshots[-1], layout.data)
    assert root.read("webdav") == {"a": "before"}


def test_a_server_that_does_not_start_is_one_message_with_its_log(layout: Layout) -> None:
    layout.write(layout.key, "no key")
    vault = PrivateVault(layout)
    with pytest.raises(VaultUnavailable, match=rf"cannot be started: .*{layout.log}"):
        vault.read("webdav")
    vault.close()


# --- nobody else ------------------------------------------------------------------------------------------------------


def test_every_file_is_only_its_owners(layout: Layout, root: PrivateVault) -> None:
    root.write("webdav", {"a": "b"})
    found = [layout.folder, *layout.folder.rglob("*")]
    assert {path.name for path in found} >= {"unseal-key", "root-token", "secret-id", "vault.db", "log", "address"}
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


READ_ALL = """
import os, ssl, sys, urllib.error, urllib.request

folder, address, *pids = sys.argv[1:]
read = []
for path in (folder, *sys.stdin.read().splitlines()):
    try:
        os.listdir(path) if os.path.isdir(path) else open(path, "rb").read()
        read.append(path)
    except PermissionError:
        pass
for pid in pids:
    try:
        read.append(open(f"/proc/{pid}/environ", "rb").read())
    except PermissionError:
        pass
context = ssl._create_unverified_context()
for path in ("secret/data/webdav", "secret/metadata?list=true", "sys/rekey/init", "sys/raw/x", "sys/metrics"):
    try:
        read.append(urllib.request.urlopen(f"{address}/v1/{path}", context=context).read())
    except urllib.error.HTTPError:
        pass
print(read)
"""


@pytest.mark.server
def test_another_user_of_the_machine_can_read_none_of_it(made: Layout) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    with tempfile.TemporaryDirectory() as home:
        # As /home: others may pass through.
        Path(home).chmod(0o755)
        layout = Layout(Path(home, "vault"))
        shutil.copytree(made.folder, layout.folder)
        vault = PrivateVault(layout, as_root=True)
        vault.write("webdav", {"password": "s3cret"})
        files = "\n".join(map(str, layout.folder.rglob("*")))
        pids = [str(pid) for pid in processes_in(layout.folder)]
        command = [sys.executable, "-c", READ_ALL, str(layout.folder), layout.holds("address"), *pids]
        # Any interpreter that others may run.
        command[0] = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or sys.executable
        result = subprocess.run(
            command,
            input=files,
            cwd="/",
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.stdout, result.stderr) == ("[]\n", "")
        vault.close()
        wait_for_end(layout)


def test_no_secret_is_in_the_arguments_or_the_environment_of_a_process(layout: Layout, root: PrivateVault) -> None:
    root.write("webdav", {"a": "b"})
    secret = [layout.holds(name).encode() for name in ("unseal-key", "root-token", "secret-id")]
    pids = processes_in(layout.folder)
    assert pids
    for pid in pids:
        told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(each in told for each in secret)


# --- which Vault ------------------------------------------------------------------------------------------------------


def test_it_is_used_where_the_environment_names_no_vault(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / ".vault-token").write_text("stale")
    home = {"HOME": str(tmp_path)}
    vault = open_vault(home)
    assert isinstance(vault, PrivateVault)
    assert vault.where == f"the private Vault in {layout.folder}, since neither VAULT_ADDR nor a login is set"
    vault.close()


@pytest.mark.parametrize(
    "named",
    [
        {"VAULT_ADDR": "https://vault.example.com"},
        {"VAULT_TOKEN": "t"},
        {"VAULT_ROLE_ID": "r"},
        {"VAULT_K8S_ROLE": "k"},
    ],
    ids=lambda named: next(iter(named)),
)
def test_a_vault_or_a_login_in_the_environment_has_precedence(
    layout: Layout, tmp_path: Path, named: dict[str, str]
) -> None:
    assert layout.exists
    (tmp_path / ".vault-token").write_text("t")
    assert isinstance(open_vault({"HOME": str(tmp_path), **named}), Vault)


def test_without_any_vault_one_message_says_what_comes_next(tmp_path: Path) -> None:
    with pytest.raises(VaultForbidden, match=r"^There are no settings yet\. Run jupyterhub-images settings\.$"):
        open_vault({"HOME": str(tmp_path)})


def test_starting_it_twice_is_harmless(layout: Layout) -> None:
    vault = PrivateVault(layout)
    for _ in range(2):
        start(layout)
    assert vault.read("webdav") is None
    vault.close()
