"""What a request of the scaler is for, told from its method and its path."""

from shared.webdav.store import THROWAWAY
from tests.faults.proxy import Request
from tests.scaler.harness import HIDDEN, RAW, UNSORTED

_CLAIMS, _UPLOADS = f"/{RAW}/{HIDDEN}/", f"/{UNSORTED}/{HIDDEN}/"
_THROWAWAY, _CHUNKED = f"/{RAW}/{THROWAWAY}", "/remote.php/dav/uploads/"
_VERBS = {"PROPFIND": "look at", "PUT": "make", "DELETE": "delete", "GET": "read"}


def step(request: Request) -> str:
    """The name of the step."""
    path = request.path
    if _THROWAWAY in path:
        return f"{_VERBS[request.method]} throwaway"
    match request.method:
        case "PROPFIND":
            return _propfind(request)
        case "GET":
            if "/ocs/" in path:
                return "capabilities"
            return "read destination record" if _CLAIMS in path else "download"
        case "PUT":
            if _CHUNKED in path:
                return "upload chunk"
            return "write destination record" if _CLAIMS in path else "upload"
        case "MKCOL":
            return "make upload" if _CHUNKED in path else "make folder"
        case "MOVE":
            return _move(path, request.destination)
        case "DELETE":
            return _delete(path)
        case _:
            return request.method


def _propfind(request: Request) -> str:
    path = request.path
    if path.endswith("/remote.php/dav/"):
        return "principal"
    for folder, name in ((_CLAIMS, "claims"), (_UPLOADS, "uploads"), (f"/{RAW}/", "originals")):
        if folder in path:
            return f"list {name}" if path.endswith(folder) and _deep(request) else f"look at {name}"
    return "look at unsorted folder" if path.endswith(f"/{UNSORTED}/") else "look elsewhere"


def _move(source: str, target: str) -> str:
    if _CHUNKED in source:
        return "assemble throwaway" if _THROWAWAY in target else "assemble"
    if _UPLOADS in source:
        return "probe" if _UPLOADS in target else "publish"
    if _CLAIMS in source:
        return "release"
    return "claim" if _CLAIMS in target else "move on"


def _delete(path: str) -> str:
    if _CLAIMS in path:
        return "delete claim"
    return "delete upload" if _UPLOADS in path or _CHUNKED in path else "delete elsewhere"


def _deep(request: Request) -> bool:
    return request.headers.get("depth") == "1"


IN_PLACE = (
    *("principal", "list originals", "capabilities"),
    *("make throwaway", "make upload", "assemble throwaway", "look at throwaway", "delete throwaway"),
    *("look at unsorted folder", "download", "upload chunk", "assemble", "move on"),
)
"""The steps of the first poll where files are replaced in place, if none fails."""
BY_CLAIMS = (
    *("list claims", "list uploads", "list originals", "download", "upload", "probe", "claim"),
    *("publish", "delete claim"),
)
"""Those of a later one where copies are published by claims."""
LOOKS = {
    "nextcloud without versions": (),
    "apache": ("look at uploads",),
    "rclone": ("look at uploads", "look at claims"),
}
"""What such a server needs besides: a look at an upload without a checksum, at a claim if conditions are ignored."""
