"""What a request of the scaler is for, told from its method and its path."""

from tests.faults.proxy import Request
from tests.scaler.harness import HIDDEN, RAW, UNSORTED

_CLAIMS, _UPLOADS = f"/{RAW}/{HIDDEN}/", f"/{UNSORTED}/{HIDDEN}/"


def step(request: Request) -> str:
    """The name of the step."""
    path = request.path
    match request.method:
        case "PROPFIND":
            for folder, name in ((_CLAIMS, "claims"), (_UPLOADS, "uploads"), (f"/{RAW}/", "originals")):
                if folder in path:
                    return f"list {name}" if path.endswith(folder) and _deep(request) else f"look at {name}"
            return "look elsewhere"
        case "GET":
            return "read signpost" if _CLAIMS in path else "download"
        case "PUT":
            return "write signpost" if _CLAIMS in path else "upload"
        case "MKCOL":
            return "make folder"
        case "MOVE":
            return _move(path, request.destination)
        case "DELETE":
            return "delete claim" if _CLAIMS in path else "delete upload" if _UPLOADS in path else "delete elsewhere"
        case _:
            return request.method


def _move(source: str, target: str) -> str:
    if _UPLOADS in source:
        return "probe" if _UPLOADS in target else "publish"
    return "put back" if _CLAIMS in source else "claim"


def _deep(request: Request) -> bool:
    return request.headers.get("depth") == "1"


ALL = (
    *("list claims", "list uploads", "make folder", "write signpost", "list originals", "download", "upload"),
    *("look at uploads", "probe", "claim", "look at claims", "look at originals", "publish", "put back"),
    *("delete claim", "delete upload", "read signpost"),
)
"""All steps there are."""
