"""The faults: what can become of a request, and of its answer."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.proxy import Answer, Exchange, Gone, Request

HTML = [("Content-Type", "text/html; charset=utf-8")]
STATUSES = (401, 403, 404, 408, 412, 413, 423, 425, 429, 500, 502, 503, 504, 507)
DRIP = 97


@dataclass(frozen=True)
class Injection:
    """A fault with a name for the table.

    Attributes:
        after: whether the request took effect on the server.
        fits: which requests it makes sense for.
    """

    name: str
    after: bool
    act: Callable[[Exchange], None]
    fits: Callable[[Request], bool] = lambda _request: True

    def __call__(self, exchange: Exchange) -> None:
        self.act(exchange)

    def __str__(self) -> str:
        return f"{self.name}, {'after' if self.after else 'instead'}"


def _reply(answer: Answer, *, after: bool) -> Callable[[Exchange], None]:
    def act(exchange: Exchange) -> None:
        if after:
            exchange.forward()
        exchange.answer(answer)

    return act


def _end(how: Callable[[Exchange], None], *, after: bool) -> Callable[[Exchange], None]:
    def act(exchange: Exchange) -> None:
        if after:
            exchange.forward()
        how(exchange)
        raise Gone

    return act


def _changed(change: Callable[[Answer], Answer]) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.answer(change(exchange.forward()))


def _sent(change: Callable[[bytes], bytes]) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.answer(exchange.forward(change))


def _reset_amid(exchange: Exchange) -> None:
    """The client's body stops half way, for client and server."""
    exchange.forward_half().close()
    exchange.wire.reset()
    raise Gone


def _cut_off(exchange: Exchange) -> None:
    answer = exchange.forward()
    exchange.wire.send(answer.head(len(answer.body) + 10) + answer.body[: len(answer.body) // 2])
    raise Gone


def _cut_off_error(exchange: Exchange) -> None:
    answer = Answer(503, HTML, b"<html>Bad")
    exchange.wire.send(answer.head(1000) + answer.body)
    raise Gone


def _drip(exchange: Exchange) -> None:
    answer = exchange.forward()
    data = answer.head() + answer.body
    for start in range(0, len(data), DRIP):
        exchange.wire.send(data[start : start + DRIP])
        time.sleep(0.001)


def _with_header(name: str, value: str) -> Callable[[Answer], Answer]:
    def change(answer: Answer) -> Answer:
        others = [(known, said) for known, said in answer.headers if known.lower() != name.lower()]
        return Answer(answer.status, [*others, (name, value)], answer.body)

    return change


def _shorter(answer: Answer) -> Answer:
    return Answer(answer.status, answer.headers, answer.body[:-7])


def _listing(change: Callable[[str], str]) -> Callable[[Answer], Answer]:
    def changed(answer: Answer) -> Answer:
        if answer.status != 207:
            return answer
        return Answer(answer.status, answer.headers, change(answer.body.decode()).encode())

    return changed


_CHILD = re.compile(r"(<(?P<tag>[\w:]*href)[^>]*>)(?P<href>[^<]*[^/<])(</(?P=tag)>)")


def _children(rename: Callable[[str], str]) -> Callable[[str], str]:
    """Another address for every file in a listing."""
    return lambda xml: _CHILD.sub(lambda match: match[1] + rename(match["href"]) + match[4], xml)


def _upwards(href: str) -> str:
    return href.replace("/raw/", "/raw/../").replace("/.scaler/", "/.scaler/%2e%2e/")


def _letter_by_letter(href: str) -> str:
    return re.sub(r"(?<!%)(?<!%.)[a-z]", lambda letter: f"%{ord(letter[0]):02x}", href)


def _without_children(xml: str) -> str:
    """As if the folder were empty."""
    tag = re.search(r"<([\w:]*response)[\s>]", xml)
    assert tag
    end = f"</{tag[1]}>"
    first = xml.index(end) + len(end)
    return xml[:first] + xml[xml.rindex(end) + len(end) :]


def _with_doctype(doctype: str, use: str) -> Callable[[str], str]:
    def change(xml: str) -> str:
        body = re.sub(r"^<\?xml[^>]*\?>\s*", "", xml)
        return f'<?xml version="1.0"?>\n{doctype}\n' + _CHILD.sub(lambda match: match[1] + use + match[4], body)

    return change


_BOMB = (
    "<!DOCTYPE x [<!ENTITY a0 'lol'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)) + "]>"
)


def _is_listing(request: Request) -> bool:
    return request.method == "PROPFIND"


def _has_body(request: Request) -> bool:
    return request.method == "PUT"


def _is_copy(request: Request) -> bool:
    return request.method == "PUT" and not request.path.endswith(".txt")


def _is_get(request: Request) -> bool:
    return request.method == "GET"


def _both(name: str, make: Callable[..., Callable[[Exchange], None]], *args: object) -> list[Injection]:
    return [Injection(name, after, make(*args, after=after)) for after in (False, True)]


EVERYWHERE: list[Injection] = [
    *(injection for status in STATUSES for injection in _both(str(status), _reply, Answer(status, HTML, b"<html>no"))),
    *_both("429 with Retry-After", _reply, Answer(429, [("Retry-After", "7")])),
    *_both("503 with Retry-After", _reply, Answer(503, [("Retry-After", "120")])),
    *_both("503 with an invalid Retry-After", _reply, Answer(503, [("Retry-After", "\xb2")])),
    *_both("200 with HTML", _reply, Answer(200, HTML, b"<!DOCTYPE html><html><body>Please log in</body></html>")),
    *_both("redirect", _reply, Answer(302, [("Location", "https://login.example.com/?next=/dav")])),
    *_both("redirect to nowhere", _reply, Answer(302, [("Location", "http://[")])),
    *_both("reset", _end, lambda exchange: exchange.wire.reset()),
    *_both("closed", _end, lambda exchange: exchange.wire.close()),
    *_both("silence", _end, lambda exchange: exchange.wire.silence()),
    *_both("unreachable from now on", _end, lambda exchange: exchange.proxy.down()),
    Injection("answer cut off", after=True, act=_cut_off),
    Injection("503, cut off", after=False, act=_cut_off_error),
    Injection("slow drip", after=True, act=_drip),
]
"""What can happen to any request."""

SOMEWHERE: list[Injection] = [
    Injection("reset amid the body", False, _reset_amid, _has_body),
    Injection("body shortened on its way", True, _sent(lambda body: body[:-7]), _has_body),
    Injection("body garbled on its way", True, _sent(lambda body: body[:40] + b"garbled" + body[47:]), _is_copy),
    Injection("wrong hash", True, _changed(_with_header("X-Hash-SHA256", "0" * 64)), _has_body),
    Injection("another ETag", True, _changed(_with_header("ETag", '"another"')), _is_get),
    Injection("wrong length", True, _changed(_shorter), _is_get),
    Injection("an invalid length", True, _changed(_with_header("Content-Length", "many")), _is_get),
    Injection("listing cut off", True, _changed(_listing(lambda xml: xml[: len(xml) * 2 // 3])), _is_listing),
    Injection("listing without children", True, _changed(_listing(_without_children)), _is_listing),
    *(
        Injection(f"listing with {what}", True, _changed(_listing(_children(rename))), _is_listing)
        for what, rename in {
            "addresses of another server": lambda href: "http://elsewhere.example.com/dav" + href,
            "absolute addresses": lambda href: "http://127.0.0.1" + href,
            ".. in it": _upwards,
            "addresses encoded letter by letter": _letter_by_letter,
            "invalid addresses": lambda _href: "http://[",
        }.items()
    ),
    Injection(
        "listing with an invalid size",
        True,
        _changed(_listing(lambda xml: re.sub(r"(getcontentlength[^>]*>)\d+", "\\1\xb2", xml))),
        _is_listing,
    ),
    Injection("entity bomb", True, _changed(_listing(_with_doctype(_BOMB, "&a9;"))), _is_listing),
    Injection(
        "external entity",
        True,
        _changed(_listing(_with_doctype('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>', "&a;"))),
        _is_listing,
    ),
]
"""What can happen to some requests only."""

ALL = EVERYWHERE + SOMEWHERE

_TYPICAL = {
    *("401", "403", "404", "412", "423", "503", "200 with HTML", "redirect", "reset", "silence", "answer cut off"),
    *(
        "unreachable from now on",
        "reset amid the body",
        "wrong hash",
        "body shortened on its way",
        "another ETag",
        "wrong length",
        "listing cut off",
    ),
    *("listing without children", "listing with addresses of another server", "listing with .. in it", "entity bomb"),
}
TYPICAL = [injection for injection in ALL if injection.name in _TYPICAL]
"""One of each kind."""
