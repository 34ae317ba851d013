"""Reports to JupyterHub that the user's server is in use, while images are in flight (`--report-activity`).

The hub's REST API (POST /users/{name}/activity) takes the token that every single-user server and its terminals have.
"""

import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import override

from loguru import logger

from shared import redaction
from shared.errors import ErrorPolicy, Failure

# Seconds between two reports.
EVERY = 60.0
_TIMEOUT = 10.0


class NoHub(Failure):
    """There is no JupyterHub to report to."""

    policy = ErrorPolicy.FATAL


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would receive the token."""

    @override
    def redirect_request(self, *_: object) -> None:
        return None


class HubActivity:
    """Reports activity to the hub.

    Args:
        environ: with the variables that JupyterHub sets.

    Raises:
        NoHub: they are missing.
    """

    def __init__(self, environ: Mapping[str, str], every: float = EVERY) -> None:
        self._url, self._token = environ.get("JUPYTERHUB_ACTIVITY_URL", ""), environ.get("JUPYTERHUB_API_TOKEN", "")
        if not self._url.startswith(("http://", "https://")) or not self._token:
            raise NoHub(
                "--report-activity needs JUPYTERHUB_ACTIVITY_URL and JUPYTERHUB_API_TOKEN",
                "Start it in a terminal of a JupyterHub, or leave the option out.",
            )
        redaction.hide(self._token)
        self._server = environ.get("JUPYTERHUB_SERVER_NAME", "")
        self._every = every
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._warned = False

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Report at once, and then regularly until the block ends."""
        done = threading.Event()
        thread = threading.Thread(target=self._report_until, args=(done,), name="activity", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()

    def _report_until(self, done: threading.Event) -> None:
        while True:
            self._report()
            if done.wait(self._every):
                return

    def _report(self) -> None:
        now = datetime.now(UTC).isoformat()
        body = json.dumps({"servers": {self._server: {"last_activity": now}}, "last_activity": now}).encode()
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310 - http or https
        try:
            self._opener.open(request, timeout=_TIMEOUT).close()
        except (OSError, ValueError) as error:
            if not self._warned:
                logger.warning("Cannot report activity to JupyterHub: {}", error)
            self._warned = True
        else:
            self._warned = False
