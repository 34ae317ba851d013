"""The OCS API: the server's capabilities, and who the user is."""

import hashlib
from http import HTTPStatus
from typing import Any

from sandbox.auth import Auth, login_of
from sandbox.resources import Account
from sandbox.wsgi import Body, Environ, StartResponse, answer, json_bytes

VERSION = {"major": 32, "minor": 0, "micro": 1, "string": "32.0.1", "edition": "", "extendedSupport": False}
CAPABILITIES: dict[str, Any] = {
    "core": {"pollinterval": 60, "webdav-root": "remote.php/webdav"},
    "files": {
        "$comment": ('"blacklisted_files" is deprecated as of Nextcloud 30, use "forbidden_filenames" instead'),
        "blacklisted_files": [".htaccess"],
        "forbidden_filenames": [".htaccess"],
        "forbidden_filename_basenames": [],
        "forbidden_filename_characters": ["\\", "/"],
        "forbidden_filename_extensions": [".filepart", ".part"],
        "bigfilechunking": True,
        "chunked_upload": {"max_size": 104857600, "max_parallel_count": 5},
        "file_conversions": [],
        "windows_compatible_filenames": False,
        "comments": True,
        "undelete": True,
        "delete_from_trash": True,
        "versioning": True,
        "version_labeling": True,
        "version_deletion": True,
    },
    "dav": {
        "chunking": "1.0",
        "public_shares_chunking": False,
        "bulkupload": "1.0",
        "absence-supported": True,
        "absence-replacement": True,
    },
    "systemtags": {"enabled": True},
}
# These are not there while the versions app is off.
VERSIONING = ("versioning", "version_labeling", "version_deletion")
JSON = ("Content-Type", "application/json; charset=utf-8")
NO_STORE = ("Cache-Control", "no-cache, no-store, must-revalidate")


class Ocs:
    """Answers requests below /ocs."""

    def __init__(self, auth: Auth, account: Account) -> None:
        self._auth = auth
        self._account = account
        self._user_id = account.user_id

    def respond(self, environ: Environ, start_response: StartResponse, path: str, *, maintenance: bool) -> Body:
        """Answer a request for a path like /ocs/v1.php/cloud/user."""
        reply = _Reply(environ, start_response, new="/v2.php/" in path)
        if maintenance:
            headers = [("X-Nextcloud-Maintenance-Mode", "1"), ("Connection", "close")]
            return reply.failure(503, HTTPStatus.SERVICE_UNAVAILABLE, "Service unavailable", headers)
        called = path.partition(".php")[2]
        login = login_of(environ)
        if login is None and called == "/cloud/capabilities":
            return self._capabilities(environ, reply, {}, [])
        address = environ["REMOTE_ADDR"]
        if called != "/cloud/capabilities" and self._auth.is_throttled(address):
            return reply.failure(429, HTTPStatus.TOO_MANY_REQUESTS, "Reached maximum delay", [])
        if login is None or not self._auth.admits(address, *login):
            headers = [("WWW-Authenticate", 'Basic realm="Authorisation Required"')]
            return reply.failure(997, HTTPStatus.UNAUTHORIZED, "Unauthorised", headers)
        user = [("X-User-Id", self._user_id)]
        if "HTTP_OCS_APIREQUEST" not in environ:
            body = json_bytes({"message": "CSRF check failed"})
            return answer(environ, start_response, HTTPStatus.PRECONDITION_FAILED, [NO_STORE, *user, JSON], body)
        if called == "/cloud/capabilities":
            return self._capabilities(environ, reply, self._known(), user)
        if called == "/cloud/user":
            name = self._user_id.title()
            account = {"enabled": True, "id": self._user_id, "displayname": name, "display-name": name}
            return reply.data(account, user)
        return reply.failure(998, HTTPStatus.NOT_FOUND, "Invalid query, please check the syntax.", [])

    def _known(self) -> dict[str, Any]:
        """The capabilities without those that are switched off."""
        files = CAPABILITIES["files"]
        if not self._account.tree.versioning:
            files = {name: value for name, value in files.items() if name not in VERSIONING}
        return CAPABILITIES | {"files": files}

    def _capabilities(
        self, environ: Environ, reply: "_Reply", known: dict[str, Any], headers: list[tuple[str, str]]
    ) -> Body:
        brute_force = {"delay": self._auth.delay(environ["REMOTE_ADDR"]), "allow-listed": False}
        data = {"version": VERSION, "capabilities": known | {"bruteforce": brute_force}}
        etag = hashlib.md5(json_bytes(data), usedforsecurity=False).hexdigest()
        return reply.data(data, [*headers, ("ETag", f'"{etag}"')])


class _Reply:
    """Answers of the OCS API in the form of version 1 or 2."""

    def __init__(self, environ: Environ, start_response: StartResponse, *, new: bool) -> None:
        self._environ = environ
        self._start_response = start_response
        self._new = new

    def data(self, data: Any, headers: list[tuple[str, str]]) -> Body:
        return self._answer("ok", 200 if self._new else 100, "OK", data, HTTPStatus.OK, headers)

    def failure(self, code: int, status: int, message: str, headers: list[tuple[str, str]]) -> Body:
        return self._answer("failure", code, message, [], status, headers)

    def _answer(
        self, word: str, code: int, message: str, data: Any, status: int, headers: list[tuple[str, str]]
    ) -> Body:
        meta = {"status": word, "statuscode": code, "message": message}
        if not self._new:
            meta |= {"totalitems": "", "itemsperpage": ""}
        body = json_bytes({"ocs": {"meta": meta, "data": data}})
        return answer(self._environ, self._start_response, status, [NO_STORE, *headers, JSON], body)
