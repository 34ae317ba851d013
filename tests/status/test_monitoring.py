"""The alert rules and the dashboard of docs/monitoring.md, by Prometheus itself."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from sandbox.nextcloud import Nextcloud
from sandbox.vault import Vault
from shared.metrics import Metrics
from tests.faults.daemon_env import DaemonEnv, until
from tests.mover.harness import IMAGES
from tests.scaler.harness import RAW, UNSORTED
from tests.servers.program import free_port, need
from tests.status.test_daemons import secrets

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
RULES = FOLDER / "alerts.yml"

CASE = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: up{{job="jupyterhub-images", instance="a:1"}}
        values: 1x3 0x60
      - series: jupyterhub_images_last_poll_timestamp_seconds{{daemon="mover"}}
        values: 0x120
      - series: jupyterhub_images_poll_interval_seconds{{daemon="mover"}}
        values: 30x120
      - series: jupyterhub_images_images_total{{daemon="scaler", outcome="failed"}}
        values: 0x10 10x60
    alert_rule_test:
      - {{eval_time: 3m, alertname: ImagesDaemonDown, exp_alerts: []}}
      - eval_time: 10m
        alertname: ImagesDaemonDown
        exp_alerts: [{{exp_labels: {{severity: critical, job: jupyterhub-images, instance: "a:1"}}{annotations}}}]
"""


@pytest.mark.server
def test_promtool_accepts_the_rules_and_an_alert_fires(tmp_path: Path) -> None:
    promtool = need("promtool")
    subprocess.run([promtool, "check", "rules", RULES], check=True, capture_output=True)
    # promtool compares annotations too; only which alerts fire is tested here.
    rules = re.sub(r"\n +annotations:(?:\n {10}.*)+", "", RULES.read_text())
    (tmp_path / "alerts.yml").write_text(rules)
    case = tmp_path / "case.yml"
    case.write_text(CASE.format(rules="alerts.yml", annotations=""))
    done = subprocess.run([promtool, "test", "rules", case], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_dashboard_and_page_name_only_metrics_that_exist() -> None:
    metrics = Metrics("scaler", "0.1.0", 30)
    exported = {family.name for family in metrics.registry.collect()}
    page = (FOLDER.parent / "monitoring.md").read_text()
    dashboard = (FOLDER / "grafana.json").read_text()
    assert json.loads(dashboard)["panels"]
    for text in (page, dashboard, RULES.read_text()):
        named = set(re.findall(r"jupyterhub_images_\w+", text))
        assert named
        assert {re.sub(r"_(total|bucket)$", "", name) for name in named} <= exported
    described = set(re.findall(r"^\| `jupyterhub_images_(\w+)`", page, re.MULTILINE))
    ours = {name.removeprefix("jupyterhub_images_") for name in exported if name.startswith("jupyterhub_images_")}
    assert {name.removesuffix("_total") for name in described} == ours


@pytest.mark.server
@pytest.mark.slow
def test_prometheus_scrapes_both_daemons_and_an_alert_fires_when_one_stops(the_vault: Vault, tmp_path: Path) -> None:
    prometheus = need("prometheus")
    ports = {"scaler": free_port(), "mover": free_port(), "prometheus": free_port()}
    (tmp_path / "alerts.yml").write_text(RULES.read_text().replace("for: 5m", "for: 1s"))
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [alerts.yml]\n"
        "scrape_configs:\n  - job_name: jupyterhub-images\n    static_configs:\n"
        f"      - targets: ['127.0.0.1:{ports['scaler']}', '127.0.0.1:{ports['mover']}']\n"
    )

    def ask(path: str) -> list[dict[str, object]]:
        url = f"http://127.0.0.1:{ports['prometheus']}/api/v1/{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                data = json.load(answer)["data"]
        except OSError:
            return []
        found: list[dict[str, object]] = data.get("result") or data.get("alerts") or []
        return found

    command = [
        prometheus,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
    ]
    with Nextcloud() as cloud, subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            for folder in (RAW, UNSORTED, IMAGES):
                cloud.mkdir(folder)
            environment = DaemonEnv(the_vault, tmp_path, secrets(cloud))
            with environment.running("scaler", "--frequency", "0.5", "--metrics-port", str(ports["scaler"])):
                with environment.running("mover", "--frequency", "0.5", "--metrics-port", str(ports["mover"])):
                    query = urllib.parse.quote("jupyterhub_images_last_success_timestamp_seconds > 0")
                    until(lambda: len(ask(f"query?query={query}")) == 2, 60)
                    assert ask("alerts") == []
                until(lambda: any("ImagesDaemonDown" in str(alert) for alert in ask("alerts")), 60)
                assert str(ports["mover"]) in str(ask("alerts"))
        finally:
            server.terminate()
