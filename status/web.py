"""The page: read only, behind a token on loopback or on a private Unix socket."""

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.events.thumbnails import read_thumbnail
from shared.printable import printable
from status import text
from status.chart import chart
from status.summary import Summary, load

SECTIONS = ("state", "counts", "failures", "skipped", "images", "filed")
# Seconds between checks of the history for open pages.
_LOOK_EVERY = 2.0
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%@:+-]+)+")


class Page:
    """Renders what is in the state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._templates = Environment(
            loader=PackageLoader("status"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "counts": text.counts,
            "workers": text.workers,
            "pixels": text.pixels,
            "size": text.size,
            "printable": printable,
        }
        self._templates.globals |= {"moment": text.moment, "state": text.state, "chart": chart, "web_link": web_link}

    def whole(self, prefix: str) -> str:
        """The page, with links below `prefix`."""
        summary = load(self._state)
        return self._templates.get_template("page.html").render(s=summary, prefix=prefix, sections=SECTIONS)

    def sections(self, prefix: str) -> dict[str, str]:
        """The HTML of each section, by its id."""
        summary = load(self._state)
        return {name: self._section(name, summary, prefix) for name in SECTIONS}

    def _section(self, name: str, summary: Summary, prefix: str) -> str:
        return self._templates.get_template(f"{name}.html").render(s=summary, prefix=prefix)

    def signature(self) -> list[tuple[str, int, int]]:
        """A value that changes whenever there is something new."""
        found = [*self._state.glob("events/*.jsonl"), *self._state.glob("running/*.json")]
        return sorted(_signature(file) for file in found)


def _signature(file: Path) -> tuple[str, int, int]:
    try:
        status = file.stat()
    except OSError:
        return file.name, 0, 0
    return file.name, status.st_size, status.st_mtime_ns


def web_link(link: str) -> str:
    """A link, if it leads to a web page."""
    return link if link.startswith(("https://", "http://")) else ""


def application(state: Path, token: str | None) -> ASGIApp:
    """The web application.

    Args:
        state: the state folder of all daemons.
        token: to be sent once by a browser; None if the socket itself keeps others out.
    """
    page = Page(state)

    async def index(request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(page.whole, _prefix(request)))

    async def thumbnail(request: Request) -> Response:
        name = request.path_params["name"]
        jpeg = await run_in_threadpool(read_thumbnail, state / "events" / "thumbnails", name)
        if jpeg is None:
            return PlainTextResponse("There is no such thumbnail", 404)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})

    async def live(request: Request) -> Response:
        return StreamingResponse(_updates(page, _prefix(request)), media_type="text/event-stream")

    routes = [
        Route("/", index),
        Route("/live", live),
        Route("/thumbnails/{name}", thumbnail),
        Mount("/static", StaticFiles(packages=[("status", "static")])),
    ]
    return _Guard(Starlette(routes=routes), token)


async def _updates(page: Page, prefix: str) -> AsyncIterator[str]:
    """Server-sent events (HTML standard, 9.2): the sections whose content has changed."""
    shown = await run_in_threadpool(page.sections, prefix)
    seen = await run_in_threadpool(page.signature)
    yield "retry: 5000\n\n"
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        now = await run_in_threadpool(page.signature)
        if now == seen:
            # A comment, so that a closed connection is detected.
            yield ":\n\n"
            continue
        seen = now
        sections = await run_in_threadpool(page.sections, prefix)
        changed = {name: html for name, html in sections.items() if html != shown[name]}
        shown = sections
        if changed:
            yield f"data: {json.dumps(changed)}\n\n"


def _prefix(request: Request) -> str:
    """The prefix of links: relative to the page, or the path that a proxy serves it under."""
    for header in ("X-Forwarded-Prefix", "X-Forwarded-Context"):
        path = request.headers.get(header, "").rstrip("/")
        if _PREFIX.fullmatch(path):
            return f"{path}/"
    return "./"


class _Guard:
    """Admits requests that carry the token, and adds the headers of every answer."""

    def __init__(self, inner: ASGIApp, token: str | None) -> None:
        self._inner = inner
        self._token = token
        # Browsers send cookies to every port of a host, so each start uses its own.
        self._cookie = f"jupyterhub-images-{hashlib.sha256((token or '').encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        request = Request(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                present = {name.lower() for name, _ in headers}
                headers += [
                    (name.lower().encode(), value.encode())
                    for name, value in _HEADERS.items()
                    if name.lower().encode() not in present
                ]
            await send(message)

        await self._choose(request)(scope, receive, send_with_headers)

    def _choose(self, request: Request) -> ASGIApp:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("This page is read only", 405)
        if self._token is None or _same(request.cookies.get(self._cookie, ""), self._token):
            return self._inner
        if not _same(request.query_params.get("token", ""), self._token):
            return PlainTextResponse("Open the address that ./run.sh status --web has printed, with its token", 403)
        response = RedirectResponse(_prefix(request), 303)
        path = _prefix(request).removeprefix(".")
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path=path)
        return response


def _same(shown: str, token: str) -> bool:
    return secrets.compare_digest(shown.encode(), token.encode())
