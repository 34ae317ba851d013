"""WSGI types and helpers."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Protocol

HTML = ("Content-Type", "text/html; charset=UTF-8")

type Environ = dict[str, Any]
type Body = Iterable[bytes]
type Headers = list[tuple[str, str]]


class StartResponse(Protocol):
    """WSGI's start_response."""

    def __call__(self, status: str, headers: Headers, exc_info: Any = None, /) -> Any:
        """Begin an answer."""


class App(Protocol):
    """A WSGI application."""

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
        """Answer a request."""


def answer(
    environ: Environ, start_response: StartResponse, status: int, headers: Iterable[tuple[str, str]], body: bytes = b""
) -> Body:
    """Send a complete answer; to HEAD only its headers."""
    all_headers = [*headers, ("Content-Length", str(len(body)))]
    start_response(f"{int(status)} {HTTPStatus(status).phrase}", all_headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def read_body(environ: Environ) -> bytes:
    """The whole body of a request, chunked or not; b"" if there is none."""
    if "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    body: bytes = environ["wsgi.input"].read()
    return body


def json_bytes(value: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
