"""A real JupyterHub on loopback, with its culler, for one user and in an environment of its own."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.faults.daemon_env import until
from tests.servers import venv
from tests.servers.program import answers, free_port, need

PACKAGES = (
    "jupyterhub>=5",
    "jupyterlab>=4",
    "jupyter-server-proxy>=4.4",
    "jupyterhub-idle-culler>=1.4",
    "playwright>=1.50",
    "axe-playwright-python",
)

CONFIG = """
import os, sys
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.cookie_secret = os.urandom(32)
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.Spawner.args = ["--allow-root"]
c.Spawner.default_url = "/lab"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.environment = {{"XDG_STATE_HOME": {state!r}}}
c.JupyterHub.load_roles = [
    {{
        "name": "cull",
        "services": ["cull"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    }},
    {{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "list:users", "read:servers"]}},
]
c.JupyterHub.services = [
    {{"name": "test", "api_token": {token!r}}},
    {{"name": "cull", "command": [{python!r}, "-m", "jupyterhub_idle_culler", *{options!r}]}},
]
# As the token that each server and its terminals have.
c.JupyterHub.last_activity_interval = 5
"""


def environment() -> Path:
    """A virtual environment with a hub, and configurable-http-proxy beside it."""
    npm = [need("npm"), "install", "--silent", "--no-audit", "--no-fund", "configurable-http-proxy"]
    return venv.environment("hub", PACKAGES, lambda folder: subprocess.run(npm, cwd=folder, check=True))


@contextlib.contextmanager
def running(folder: Path, *, timeout: int) -> Iterator[str]:
    """Run a hub whose users have their homes in a folder.

    Args:
        timeout: seconds until the culler stops an idle server.

    Yields:
        its address.
    """
    made = environment()
    port = free_port()
    config = folder / "jupyterhub_config.py"
    config.write_text(
        CONFIG.format(
            port=port,
            hub_port=free_port(),
            api_port=free_port(),
            proxy=[str(made / "node_modules/.bin/configurable-http-proxy")],
            home=str(folder / "{username}"),
            python=str(made / "venv/bin/python"),
            state=str(folder / "state"),
            token=TOKEN,
            options=[f"--timeout={timeout}", "--cull-every=1"],
        )
    )
    (folder / "alice").mkdir(exist_ok=True)
    path = f"{made / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"
    with (folder / "hub.log").open("w") as log:
        hub = subprocess.Popen(
            [made / "venv/bin/jupyterhub", "-f", config],
            cwd=folder,
            env={**os.environ, "PATH": path, "HOME": str(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(f"{address}/hub/health"), 120)
        yield address
    finally:
        hub.terminate()
        hub.wait(60)


TOKEN = "of-the-tests-0123456789abcdef"
