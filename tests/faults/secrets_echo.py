"""A server that gives back, wherever an answer has room for it, what it was shown: an image server and a Vault."""

import base64
import contextlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.path.strip("/").partition("/")[0]
        shown = self._shown()
        quoted = urllib.parse.quote(shown, safe="")
        lower = quoted.replace("%C3%A4", "%c3%a4").replace("%2F", "%2f").replace("%2B", "%2b")
        headers = {"Content-Type": "text/html"}
        status, body = 200, f"<html><title>{shown}</title>{quoted}</html>"
        match kind:
            case "status":
                status = int(self.path.split("/")[2])
                headers["WWW-Authenticate"] = f'Basic realm="{quoted}"'
            case "redirect":
                status = 302
                headers["Location"] = f"http://alice:{quoted}@{self.headers['Host']}/login/{lower}?back={quoted}"
            case "type":
                headers["Content-Type"] = self.headers.get("Authorization", "none").removeprefix("Basic ")
            case "xml":
                status, headers["Content-Type"] = 207, "application/xml"
                body = f'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/{lower}</d:href></wrong {quoted}>'
            case "cut":
                headers["Content-Length"] = "100000"
            case "v1":
                status, headers["Content-Type"] = 403, "application/json"
                body = json.dumps({"errors": [f"permission denied for {shown} and {quoted}"]})
        headers.setdefault("Content-Length", str(len(body.encode())))
        self.send_response(status, quoted)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())
        self.close_connection = kind == "cut"

    def _shown(self) -> str:
        """The password of Basic authentication, or the token."""
        login = self.headers.get("Authorization", "")
        if login.startswith("Basic "):
            return base64.b64decode(login.removeprefix("Basic ")).decode(errors="replace").partition(":")[2]
        return self.headers.get("X-Vault-Token", "")

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that hangs up is what is asked for."""


@contextlib.contextmanager
def echo() -> Iterator[str]:
    """Run the server; gives its address, without a slash at its end."""
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
