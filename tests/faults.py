"""What can go wrong between a client and a server, for :class:`tests.wire.Wire` to do to a request.

All but those that concern the request itself let the client send its whole body first.
"""

from __future__ import annotations

import email.utils
import http.client
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.connection import changed
from tests.wire import Exchange, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>proxy</body></html>\n"


@dataclass(frozen=True)
class Answer:
    """Say this, without asking the server."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, exchange: Exchange) -> None:
        exchange.drain()
        headers = changed(http.client.HTTPMessage(), {"Content-Length": str(len(self.body)), **self.headers})
        body = [] if exchange.request.method == "HEAD" else [self.body]
        exchange.tell(Reply(self.status, http.client.responses.get(self.status, ""), headers, body))


def s3_error(status: int, code: str, **details: str) -> Answer:
    """Answer with an error as S3 words it; ``details`` are further elements, such as Region."""
    elements = {"Code": code, "Message": f"{code} by the wire", **details, "RequestId": "wire"}
    text = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in elements.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{text}</Error>'.encode()
    return Answer(status, body, {"Content-Type": "application/xml", "x-amz-request-id": "wire"})


def page(status: int) -> Answer:
    """Answer with a page for people, as a proxy or a portal does."""
    text = HTML.format(f"{status} {http.client.responses.get(status, '')}")
    return Answer(status, text.encode(), {"Content-Type": "text/html"})


def redirect(url: str, status: int = 307) -> Answer:
    """Send the client elsewhere."""
    return Answer(status, b"", {"Location": url})


def other_region(region: str) -> Answer:
    """Refuse a signature for a region that is not the bucket's."""
    return s3_error(400, "AuthorizationHeaderMalformed", Region=region)


INTERNAL_ERROR = s3_error(500, "InternalError")
SLOW_DOWN = s3_error(503, "SlowDown")
ACCESS_DENIED = s3_error(403, "AccessDenied")
EXPIRED_TOKEN = s3_error(400, "ExpiredToken")
CONFLICT = s3_error(409, "ConditionalRequestConflict")
NOT_IMPLEMENTED = s3_error(501, "NotImplemented", Header="If-None-Match")
NO_REGION = s3_error(301, "PermanentRedirect")
"""The bucket is elsewhere, and nobody says where."""


def close(exchange: Exchange) -> None:
    """Close the connection instead of answering."""
    exchange.drain()
    exchange.keep = False


@dataclass(frozen=True)
class Reset:
    """Break the connection, once ``after`` bytes of the request's body have come, or all of it."""

    after: float = math.inf

    def __call__(self, exchange: Exchange) -> None:
        exchange.drain(self.after)
        exchange.reset()


def silence(exchange: Exchange) -> None:
    """Take the request and never answer."""
    exchange.drain()
    exchange.hold()


def lose_reply(exchange: Exchange) -> None:
    """Let the server do all of it, and close the connection instead of telling the client."""
    for _ in exchange.ask().body:
        pass
    exchange.keep = False


@dataclass(frozen=True)
class Cut:
    """Close the connection after so many bytes of the answer's body."""

    after: int

    def __call__(self, exchange: Exchange) -> None:
        exchange.tell(exchange.ask(), stop=self.after)
        exchange.keep = False


@dataclass(frozen=True)
class Stall:
    """Say nothing more after so many bytes of the answer's body."""

    after: int

    def __call__(self, exchange: Exchange) -> None:
        exchange.tell(exchange.ask(), stop=self.after)
        exchange.hold()


def half(exchange: Exchange) -> None:
    """Answer with half of the body, as if that were all; a Content-Range stays as it was."""
    reply = exchange.ask()
    size = reply.length // 2
    reply.headers = changed(reply.headers, {"Content-Length": str(size)})
    exchange.tell(reply, stop=size)


@dataclass(frozen=True)
class Garble:
    """Flip the bits of the byte at ``at`` in the answer's body."""

    at: int

    def __call__(self, exchange: Exchange) -> None:
        reply = exchange.ask()
        reply.body = garbled(reply.body, self.at)
        exchange.tell(reply)


def garbled(body: Iterable[bytes | memoryview], at: int) -> Iterator[bytes | memoryview]:
    """Yield a body with one byte changed."""
    for piece in body:
        changed = bytearray(piece)
        if 0 <= at < len(changed):
            changed[at] ^= 0xFF
        at -= len(changed)
        yield bytes(changed)
    if at >= 0:
        raise ValueError("the body ended before the byte that was to be changed")


@dataclass(frozen=True)
class Slow:
    """Answer with so many bytes per second."""

    rate: float

    def __call__(self, exchange: Exchange) -> None:
        exchange.rate = self.rate
        exchange.forward()


@dataclass(frozen=True)
class Late:
    """Answer after so many seconds."""

    seconds: float

    def __call__(self, exchange: Exchange) -> None:
        exchange.latency = self.seconds
        exchange.forward()


@dataclass(frozen=True)
class ClockSkew:
    """Answer with a clock that is so many seconds ahead."""

    seconds: float

    def __call__(self, exchange: Exchange) -> None:
        reply = exchange.ask()
        date = email.utils.parsedate_to_datetime(reply.headers["Date"]).timestamp() + self.seconds
        reply.headers = changed(reply.headers, {"Date": email.utils.formatdate(date, usegmt=True)})
        exchange.tell(reply)


@dataclass(frozen=True)
class Headers:
    """Pass the request and the answer on with other headers; None drops one."""

    request: Mapping[str, str | None] = field(default_factory=dict)
    reply: Mapping[str, str | None] = field(default_factory=dict)

    def __call__(self, exchange: Exchange) -> None:
        reply = exchange.ask(changed(exchange.request.headers, self.request))
        reply.headers = changed(reply.headers, self.reply)
        exchange.tell(reply)


IGNORE_RANGE = Headers(request={"Range": None})
"""Answer a request for a range with the whole object."""

IGNORE_CONDITIONS = Headers(request={"If-Match": None, "If-None-Match": None})
"""Write whatever is there already."""
