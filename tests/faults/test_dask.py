"""--dask: a real scheduler and worker processes, and what becomes of images when they fail."""

import base64
import contextlib
import os
import re
import signal
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from dask import config as dask_config

from sandbox.vault import Vault
from scaler.dask_cluster import Cluster
from scaler.dask_options import ClusterOptions
from scaler.images.codecs import upscale
from scaler.memory_budget import Limits
from scaler.service import ScalerService
from shared.errors import Cancelled, Failure
from shared.events.event import Kind
from shared.events.history import read
from shared.events.presence import running
from shared.retry import RetryPolicy
from shared.shutdown import StopToken
from status import text
from status.summary import load
from status.terminal import plain
from tests.faults.conftest import APACHE, KINDS, NEXTCLOUD, scenario_on
from tests.faults.daemon_env import DaemonEnv, until
from tests.faults.proxy import Exchange, Fault, Gone, Hold, Request
from tests.faults.scenario import Scenario, image
from tests.scaler.cli import CONSTANTS, webdav_secret
from tests.scaler.harness import LIMITS, RAW, UNSORTED
from tests.servers.dask import DaskCluster, dask_cluster, tls_settings
from tests.servers.dask_gateway import GatewayCluster, dask_gateway
from tests.servers.program import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LONG = 300.0


class Daemon:
    """A daemon in this process whose images are upscaled by the cluster."""

    def __init__(
        self,
        scenario: Scenario,
        address: str,
        *,
        requests: int = 10,
        timeout: float = 600.0,
        fallback: bool = False,
        limits: Limits = LIMITS,
    ) -> None:
        options = ClusterOptions(
            dask=address,
            in_flight=None,
            dask_requests=requests,
            dask_timeout=timeout,
            dask_insecure=False,
            dask_fallback=fallback,
            max_memory=None,
            start_method="spawn",
        )
        self.stop = StopToken()
        self.scenario = scenario
        self._closing = contextlib.ExitStack()
        self._closing.enter_context(pool := ThreadPoolExecutor(1))
        self.cluster = self._closing.enter_context(Cluster(options, limits, self.stop))
        self._pool = pool
        self._service = self._closing.enter_context(
            ScalerService(
                threads=2,
                limits=LIMITS,
                quality=95,
                state=scenario.state,
                retry=RetryPolicy(self.stop),
                cluster=self.cluster,
            )
        )

    def poll(self, *prefixes: str) -> "Future[Sequence[Failure]]":
        """Start a poll, for all images or those whose names start so."""
        config = self.scenario.config
        if prefixes:
            config = replace(config, prefixes=prefixes)
        return self._pool.submit(self._service.poll, config)

    def close(self) -> None:
        self._closing.close()


@contextlib.contextmanager
def a_daemon(scenario: Scenario, address: str, **options: Any) -> Iterator[Daemon]:
    with contextlib.closing(Daemon(scenario, address, **options)) as daemon:
        yield daemon


@pytest.fixture
def dask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DaskCluster]:
    """With workers that wait for work: two, or as many as the test asks for."""
    workers = getattr(request, "param", 2)
    with dask_cluster(tmp_path / "dask", workers) as cluster:
        until(lambda: cluster.registered == workers, LONG)
        yield cluster


@pytest.fixture
def in_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """A site where images are replaced in place."""
    yield from scenario_on(request, str(NEXTCLOUD.values[0]), tmp_path)


class HeldDownloads:
    """Holds the first downloads, one of each worker, until the test decides."""

    def __init__(self, number: int = 2) -> None:
        self.holds = [Hold(after=False) for _ in range(number)]
        self._left = list(self.holds)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Fault | None:
        with self._lock:
            of_an_image = request.method == "GET" and "Unknown" in request.path
            return self._left.pop() if of_an_image and self._left else None

    def wait(self) -> None:
        for hold in self.holds:
            assert hold.wait(LONG)

    def let_go(self) -> None:
        for hold in self.holds:
            hold.let_go()


def put_images(scenario: Scenario, number: int = 6) -> None:
    for each in range(number):
        scenario.add(f"Unknown-{each}.png", each)


def assert_all_published(scenario: Scenario) -> None:
    """All are published once, with the same bytes as without Dask."""
    assert scenario.complaints() == []
    assert scenario.visible(RAW) == {}
    expected = sorted(upscale(image(number)) for number in scenario.originals.values())
    assert sorted(scenario.visible(UNSORTED).values()) == expected


def upscale_while_a_worker_is_killed(scenario: Scenario, dask: DaskCluster | GatewayCluster) -> None:
    """Kill a worker amid an image; nothing is lost, and the password is in no log."""
    put_images(scenario)
    scenario.proxy.rule = held = HeldDownloads()
    with a_daemon(scenario, dask.address) as daemon:
        poll = daemon.poll()
        held.wait()
        dask.kill_worker(0)
        held.let_go()
        assert poll.result(LONG) == []
    assert_all_published(scenario)
    password = scenario.site.password
    for spelled in (password, base64.b64encode(f"{scenario.site.username}:{password}".encode()).decode()):
        assert spelled not in dask.said


def test_a_worker_that_is_killed_amid_an_image_loses_nothing(in_place: Scenario, dask: DaskCluster) -> None:
    upscale_while_a_worker_is_killed(in_place, dask)


@pytest.mark.long
def test_the_same_by_tls(in_place: Scenario, tmp_path: Path) -> None:
    settings = tls_settings(tmp_path)
    with dask_config.set(settings), dask_cluster(tmp_path / "dask", workers=2, tls=settings) as cluster:
        until(lambda: cluster.registered == 2, LONG)
        upscale_while_a_worker_is_killed(in_place, cluster)


@pytest.mark.long
@pytest.mark.server
def test_the_same_on_a_gateway(in_place: Scenario, tmp_path: Path) -> None:
    with dask_gateway(tmp_path / "gateway", workers=2) as cluster:
        upscale_while_a_worker_is_killed(in_place, cluster)


@pytest.mark.long
@pytest.mark.parametrize("dask", [2, 4], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_two_daemons_share_a_cluster(
    request: pytest.FixtureRequest, tmp_path: Path, dask: DaskCluster, kind: str
) -> None:
    for scenario in scenario_on(request, kind, tmp_path):
        put_images(scenario, 20)
        with a_daemon(scenario, dask.address) as one, a_daemon(scenario, dask.address) as two:
            for poll in [one.poll(), two.poll()]:
                poll.result(LONG)
            one.poll().result(LONG)
        assert_all_published(scenario)


@pytest.mark.parametrize("where", ["cluster", "one process", pytest.param("two", marks=pytest.mark.long)])
def test_all_workers_together_send_no_more_requests_than_allowed(
    in_place: Scenario, tmp_path: Path, where: str
) -> None:
    """Of four requests three are left to the workers, so they wait for the first three downloads before the fourth."""
    put_images(in_place, 8)
    in_place.proxy.rule = held = HeldDownloads(4)
    with contextlib.ExitStack() as closing:
        address = "local"
        if where == "cluster":
            dask = closing.enter_context(dask_cluster(tmp_path / "dask", 0))
            for _ in range(2):
                dask.add_worker(4)
            until(lambda: dask.registered == 2, LONG)
            address = dask.address
        limits = Limits(cores=8 if where == "two" else 2, memory=LIMITS.memory)
        with a_daemon(in_place, address, requests=4, limits=limits) as daemon:
            poll = daemon.poll()
            fourth, *allowed = held.holds
            for hold in allowed:
                assert hold.wait(LONG)
            assert daemon.cluster.workers == (1 if where == "one process" else 2)
            assert not fourth.wait(2)
            held.let_go()
            assert poll.result(LONG) == []
    assert_all_published(in_place)


@pytest.mark.long
def test_daemons_divide_the_names_by_prefix(in_place: Scenario, dask: DaskCluster) -> None:
    """Each image is downloaded once: no daemon touches what another one's prefix matches."""
    put_images(in_place, 40)
    downloads: Counter[str] = Counter()

    def count(request: Request) -> None:
        if request.method == "GET" and "Unknown" in request.path:
            downloads[request.path] += 1

    in_place.proxy.rule = count
    with a_daemon(in_place, dask.address) as one, a_daemon(in_place, dask.address) as two:
        polls = [one.poll("Unknown-1", "Unknown-2"), two.poll("Unknown-0", *(f"Unknown-{n}" for n in range(3, 10)))]
        assert [poll.result(LONG) for poll in polls] == [[], []]
    assert sorted(downloads.values()) == [1] * 40
    assert_all_published(in_place)


def daemon_env(vault: Vault, folder: Path, scenario: Scenario) -> DaemonEnv:
    """For daemons that reach the server of a scenario through its proxy."""
    login = webdav_secret(scenario.through_proxy)
    return DaemonEnv(vault, folder, {"webdav": login, "scaler_constants": CONSTANTS})


@pytest.mark.long
def test_the_cluster_is_named_where_people_look(
    in_place: Scenario, tmp_path: Path, the_vault: Vault, dask: DaskCluster
) -> None:
    put_images(in_place)
    environment = daemon_env(the_vault, tmp_path, in_place)
    port = free_port()
    with environment.running("scaler", "--dask", dask.address, "--metrics-port", str(port)):
        until(lambda: in_place.visible(RAW) == {}, LONG)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            assert 'jupyterhub_images_dask_workers{daemon="scaler"} 2.0' in answer.read().decode()
        found_in = tmp_path / "state" / "jupyterhub-images"
        ((_, found),) = running(found_in / "running")
        assert f"upscaled by the Dask cluster {dask.address}: 2 workers with 2 threads" in found.watch.way
    done = [event for event in read(found_in / "events") if event.kind is Kind.UPSCALED]
    workers = Counter(event.worker for event in done)
    assert sum(workers.values()) == 6
    assert all(worker.startswith("tcp://127.0.0.1:") for worker in workers)
    for event in done:
        assert f"{event.name} is now {event.target}, upscaled by {event.worker}" in environment.said
    assert "today on Dask: " + text.workers(dict(workers.most_common())) in plain(load(found_in))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_daemon_that_is_killed_is_followed_by_another(
    request: pytest.FixtureRequest, tmp_path: Path, the_vault: Vault, dask: DaskCluster, kind: str
) -> None:
    for scenario in scenario_on(request, kind, tmp_path):
        put_images(scenario, 20)
        environment = daemon_env(the_vault, tmp_path, scenario)
        scenario.proxy.rule = held = HeldDownloads()
        with environment.running("scaler", "--once", "--dask", dask.address) as killed:
            held.wait()
            killed.signal(signal.SIGKILL)
            killed.ends_within()
        held.let_go()
        with a_daemon(scenario, dask.address) as daemon:
            daemon.poll().result(LONG)
            daemon.poll().result(LONG)
        assert_all_published(scenario)


@pytest.fixture
def environment(
    request: pytest.FixtureRequest, in_place: Scenario, tmp_path: Path, the_vault: Vault
) -> Iterator[DaemonEnv]:
    """With a folder for temporary files whose path is short, or too long for a socket in it."""
    made = daemon_env(the_vault, tmp_path, in_place)
    with tempfile.TemporaryDirectory() as short:
        folder = Path(short) if request.param == "short" else tmp_path / ("long" * 30)
        folder.mkdir(exist_ok=True)
        made.environment["TMPDIR"] = str(folder)
        yield made


@pytest.mark.parametrize(("victim", "environment"), [("worker", "short"), ("daemon", "long")], indirect=["environment"])
def test_local_processes_may_be_killed_and_none_is_left(
    in_place: Scenario, victim: str, environment: DaemonEnv
) -> None:
    put_images(in_place)
    in_place.proxy.rule = held = HeldDownloads(1)
    with environment.running("scaler", "--once", "--dask", "local") as daemon:
        held.wait()
        assert "Dask cluster local" in environment.said
        processes = psutil.Process(daemon.pid).children(recursive=True)
        os.kill(daemon.pid if victim == "daemon" else _local_worker(daemon.pid).pid, signal.SIGKILL)
        held.let_go()
        status = daemon.ends_within(LONG)
        _, alive = psutil.wait_procs(processes, LONG)
        assert alive == []
    if victim == "daemon":
        with environment.running("scaler", "--once", "--dask", "local") as daemon:
            status = daemon.ends_within(LONG)
    assert status == 0, environment.said
    assert_all_published(in_place)


@pytest.mark.long
@pytest.mark.parametrize("environment", ["short", "long"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_local_processes_leave_a_stop_to_the_daemon(
    in_place: Scenario, number: signal.Signals, environment: DaemonEnv
) -> None:
    put_images(in_place)
    in_place.proxy.rule = held = HeldDownloads(1)
    with environment.running("scaler", "--once", "--dask", "local") as daemon:
        held.wait()
        os.killpg(daemon.pid, number)
        held.let_go()
        assert daemon.ends_within(LONG) == 0
    said = r"Dask cluster local: (1 worker|\d+ workers) with \d+ threads, dashboard at http://localhost:\d+/status"
    assert re.search(said, environment.said)
    assert not re.search("WARN|ERROR|Traceback", environment.said), environment.said


@pytest.mark.long
@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.7, 0.9, 1.1, 1.3])
@pytest.mark.parametrize("environment", ["short"], indirect=True)
def test_an_interrupt_amid_the_start_shows_no_traceback(environment: DaemonEnv, seconds: float) -> None:
    with environment.running("scaler", "--once", "--dask", "local") as daemon:
        time.sleep(seconds)
        os.killpg(daemon.pid, signal.SIGINT)
        daemon.ends_within(LONG)
    assert "Traceback" not in environment.said


@pytest.mark.parametrize("environment", ["short"], indirect=True)
def test_a_local_worker_that_could_not_be_started_again_is_replaced(in_place: Scenario, environment: DaemonEnv) -> None:
    put_images(in_place, 2)
    with environment.running("scaler", "--frequency", "1", "--dask", "local") as daemon:
        until(lambda: in_place.visible(RAW) == {}, LONG)
        process = psutil.Process(daemon.pid)
        limits = process.rlimit(psutil.RLIMIT_NOFILE)
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() - 2, limits[1]))
        _local_worker(daemon.pid).kill()
        until(lambda: "Too many open files" in environment.said, LONG)
        # Dask tries a little longer, and says no more.
        time.sleep(2)
        process.rlimit(psutil.RLIMIT_NOFILE, limits)
        for number in range(2, 4):
            in_place.add(f"Unknown-{number}.png", number)
        until(lambda: in_place.visible(RAW) == {}, LONG)
    assert_all_published(in_place)


class Killer:
    """Kills the worker of a daemon that downloads the first image; the others stay on it until that is over."""

    def __init__(self, deaths: int) -> None:
        self.daemon = 0
        self.suspected = threading.Event()
        self._left = deaths

    def __call__(self, request: Request) -> Fault | None:
        if request.method != "GET" or "Unknown" not in request.path:
            return None
        return self.kill if "Unknown-0" in request.path else self.wait

    def kill(self, _: Exchange) -> None:
        _local_worker(self.daemon).kill()
        self._left -= 1
        if not self._left:
            self.suspected.set()
        raise Gone

    def wait(self, exchange: Exchange) -> None:
        assert self.suspected.wait(LONG)
        exchange.answer(exchange.forward())


@pytest.mark.long
@pytest.mark.parametrize("environment", ["short"], indirect=True)
def test_an_image_that_kills_its_worker_is_skipped_alone(in_place: Scenario, environment: DaemonEnv) -> None:
    """Dask blames all images that a worker had."""
    put_images(in_place)
    in_place.proxy.rule = killer = Killer(4)
    with environment.running("scaler", "--frequency", "1", "--dask", "local") as daemon:
        killer.daemon = daemon.pid
        until(lambda: "Unknown-0.png is skipped" in environment.said, LONG)
        until(lambda: list(in_place.visible(RAW)) == ["Unknown-0.png"], LONG)
    assert environment.said.count("is skipped") == 1
    in_place.originals.pop("Unknown-0.png")
    assert len(in_place.visible(UNSORTED)) == len(in_place.originals) == 5


def _local_worker(daemon: int) -> psutil.Process:
    processes = psutil.Process(daemon).children(recursive=True)
    return next(process for process in processes if not process.children() and _has_opencv(process))


def _has_opencv(process: psutil.Process) -> bool:
    return any("cv2" in mapped.path for mapped in process.memory_maps())


@pytest.mark.long
@pytest.mark.parametrize("dask", [2, 4], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_several_polls_with_a_killed_worker(
    request: pytest.FixtureRequest, tmp_path: Path, dask: DaskCluster, kind: str
) -> None:
    for scenario in scenario_on(request, kind, tmp_path):
        put_images(scenario, 20)
        scenario.proxy.rule = held = HeldDownloads()
        with a_daemon(scenario, dask.address) as daemon:
            poll = daemon.poll()
            held.wait()
            dask.kill_worker(1)
            held.let_go()
            poll.result(LONG)
            daemon.poll().result(LONG)
        assert_all_published(scenario)


@pytest.mark.long
def test_a_scheduler_that_comes_back_gets_the_rest(in_place: Scenario, dask: DaskCluster) -> None:
    put_images(in_place)
    in_place.proxy.rule = held = HeldDownloads()
    with a_daemon(in_place, dask.address) as daemon:
        poll = daemon.poll()
        held.wait()
        dask.kill_scheduler()
        held.let_go()
        (failure,) = {type(failure).__name__ for failure in poll.result(LONG)}
        assert failure == "ClusterUnavailable"
        assert {type(failure).__name__ for failure in daemon.poll().result(LONG)} == {"ClusterUnavailable"}
        dask.start_scheduler()
        dask.add_worker()
        until(lambda: dask.registered == 3, LONG)
        assert daemon.poll().result(LONG) == []
    assert_all_published(in_place)


@pytest.mark.long
def test_a_lost_scheduler_is_replaced_by_this_process_if_asked_to(in_place: Scenario, dask: DaskCluster) -> None:
    put_images(in_place)
    in_place.proxy.rule = held = HeldDownloads()
    with a_daemon(in_place, dask.address, fallback=True) as daemon:
        poll = daemon.poll()
        held.wait()
        dask.kill_scheduler()
        held.let_go()
        assert poll.result(LONG) == []
    assert_all_published(in_place)


@pytest.mark.long
def test_an_image_on_a_worker_that_hangs_is_tried_again(in_place: Scenario, dask: DaskCluster) -> None:
    put_images(in_place, 3)
    with a_daemon(in_place, dask.address, timeout=10) as daemon:
        in_place.proxy.rule = held = HeldDownloads()
        poll = daemon.poll()
        held.wait()
        dask.freeze_worker(0)
        held.let_go()
        assert {type(failure).__name__ for failure in poll.result(LONG)} == {"WorkerFailed"}
        dask.kill_worker(0)
        until(lambda: not daemon.poll().result(LONG), LONG)
    assert_all_published(in_place)


@pytest.mark.long
def test_images_wait_while_there_are_no_workers(in_place: Scenario, dask: DaskCluster) -> None:
    put_images(in_place)
    in_place.proxy.rule = held = HeldDownloads()
    with a_daemon(in_place, dask.address, timeout=4) as daemon:
        poll = daemon.poll()
        held.wait()
        dask.kill_worker(0)
        dask.kill_worker(1)
        held.let_go()
        with pytest.raises(TimeoutError):
            poll.result(12)
        dask.add_worker()
        poll.result(LONG)
        daemon.poll().result(LONG)
    assert_all_published(in_place)


@pytest.mark.long
@pytest.mark.parametrize("kind", [NEXTCLOUD, APACHE])
def test_a_stop_gives_up_what_runs_elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path, dask: DaskCluster, kind: str
) -> None:
    for scenario in scenario_on(request, kind, tmp_path):
        put_images(scenario)
        scenario.proxy.rule = held = HeldDownloads()
        with a_daemon(scenario, dask.address) as daemon:
            poll = daemon.poll()
            held.wait()
            daemon.stop.request()
            with pytest.raises(Cancelled):
                poll.result(20)
            held.let_go()
        assert scenario.complaints() == []
        scenario.proxy.rule = None
        with a_daemon(scenario, dask.address) as daemon:
            assert daemon.poll().result(LONG) == []
        assert_all_published(scenario)
