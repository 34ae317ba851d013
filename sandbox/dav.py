"""WsgiDAV's request server, adapted to Nextcloud's answers; the base of the servers of all WebDAV addresses."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, NoReturn, override

from wsgidav.request_server import RequestServer

from sandbox.resources import Account
from sandbox.sabre import Multistatus, SabreError, bad_request, clark, parse_xml
from sandbox.wsgi import Body, Environ, StartResponse, read_body


class NextcloudServer(RequestServer):  # type: ignore[misc]  # WsgiDAV has no types
    """Answers one request. Errors are raised as SabreError and answered in SabreDAV's form."""

    def __init__(self, provider: Any, account: Account) -> None:
        super().__init__(provider)
        self.provider = provider
        self.account = account
        self._possible_methods += ["REPORT"]

    @override
    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        try:
            yield from super().__call__(environ, start_response)
        except SabreError as error:
            yield from error.respond(environ, start_response)

    def _fail(self, value: int, **_: Any) -> NoReturn:
        """Turn WsgiDAV's own errors into SabreDAV's."""
        exception = "MethodNotAllowed" if value == HTTPStatus.METHOD_NOT_ALLOWED else "BadRequest"
        raise SabreError(value, exception, HTTPStatus(value).phrase)

    def do_PROPFIND(self, environ: Environ, start_response: StartResponse) -> Body:  # noqa: N802 -- WsgiDAV's name
        """List properties. Without a Depth header everything below is listed, as with `Depth: infinity`."""
        wanted = wanted_properties(read_body(environ))
        with self.account.tree.lock:
            resource = self.provider.get_resource_inst(environ["PATH_INFO"], environ)
            if resource is None:
                raise self.missing(environ["PATH_INFO"]).with_headers(self.provider.dav_headers)
            depth = environ.get("HTTP_DEPTH", "infinity").lower()
            resources = resource.get_descendants(depth=depth if depth in ("0", "1") else "infinity", add_self=True)
            return multistatus(resources, wanted).respond(environ, start_response, self.provider.dav_headers)

    def missing(self, path: str) -> SabreError:
        """The 404 for a path where nothing is."""
        raise NotImplementedError


def wanted_properties(body: bytes) -> list[str] | None:
    """The properties that a PROPFIND asks for, None for allprop."""
    if not body:
        return None
    root = parse_xml(body)
    if root.tag != clark("d:propfind"):
        raise bad_request("Expected a propfind element")
    prop = root.find(clark("d:prop"))
    return None if prop is None else [element.tag for element in prop]


def multistatus(resources: Iterable[Any], wanted: list[str] | None) -> Multistatus:
    """The properties (None: allprop) of resources."""
    answer = Multistatus()
    for resource in resources:
        if wanted is None:
            properties = resource.get_properties("allprop")
        else:
            properties = resource.get_properties("named", name_list=wanted)
        answer.add(resource.get_href(), properties)
    return answer
