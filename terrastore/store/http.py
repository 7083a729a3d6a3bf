"""A store that is only read, over HTTPS: a CDN or a web server in front of a bucket or of a share."""

from __future__ import annotations

import re
import urllib.request
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from terrastore import __version__
from terrastore.errors import StoreRefusedError, StoreUnreachableError, UsageError, reason, root_cause
from terrastore.redaction import without_secrets
from terrastore.store import ranges
from terrastore.store.protocol import WHOLE_LIMIT, Object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse, PoolManager

_TRIES: Final = 4
_CONNECT_SECONDS: Final = 4
# A server that never answers is given up after 4 times this and the waiting between: half a minute.
_ANSWER_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 0.2
_CONNECTIONS: Final = 16
_AT_HOME: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_ABSENT: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
_REACH_HINT: Final = "check the URL, the network, DNS and HTTPS_PROXY"
_REFUSED_HINT: Final = (
    "check user and password in the URL; a bucket behind it says 403 of what is not there "
    "unless its policy allows s3:ListBucket"
)


class HttpStore:
    """Objects below a URL. User and password in it are sent by Basic authentication, a query with every request."""

    # What is behind it may be S3, of which a connection gives about 90 MB/s.
    readers = 12
    is_near = False

    def __init__(self, url: str) -> None:
        """Take where the store is from ``url``.

        :raises UsageError: when it is not encrypted, or no URL
        """
        parts = urlsplit(url)
        try:
            is_place = bool(parts.hostname) and not parts.fragment and not re.search(r"\s", url) and parts.port != 0
        except ValueError:
            is_place = False
        if not is_place:
            raise UsageError(f"--store {without_secrets(url)} is no URL of a place", hint="write https://host/path")
        if parts.scheme != "https" and parts.hostname not in _AT_HOME:
            raise UsageError(
                f"--store {without_secrets(url)} is not encrypted: whoever is on the way could change environments",
                hint="write https://",
            )
        host = parts.netloc.rpartition("@")[2]
        self._base = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._query = f"?{parts.query}" if parts.query else ""
        self._login = (
            f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username is not None else None
        )

    def __str__(self) -> str:
        return self._base

    def read(self, name: str) -> Object | None:
        answer = self._get(name, {"Range": ranges.wanted(0, WHOLE_LIMIT + 1)})
        if answer is None:
            return None
        is_empty = answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        return Object(b"" if is_empty else answer.data, answer.headers.get("ETag", ""))

    def read_range(self, name: str, offset: int, size: int) -> bytes | None:
        if size == 0:
            return None if self._get(name, {}, method="HEAD") is None else b""
        answer = self._get(name, {"Range": ranges.wanted(offset, size)})
        if answer is None:
            return None
        is_empty = answer.status == HTTPStatus.OK and answer.headers.get("Content-Length") == "0"
        if is_empty or answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return b""
        with self._speaking(name):
            announced = ranges.announced(answer.headers.get("Content-Range"), offset, size)
            if len(answer.data) != announced:
                raise ranges.NotThatRangeError(f"it announced {announced:,} bytes and sent {len(answer.data):,}")
        return answer.data

    def _get(self, name: str, headers: dict[str, str], *, method: str = "GET") -> BaseHTTPResponse | None:
        """Return the server's answer, None when the object is not there."""
        with self._speaking(name):
            pool = self._pool
            # urllib3 would send these instead of the pool's own.
            sent = {**pool.headers, **headers}
            # Who may write to a bucket may say of an object that it is compressed, and then it grows when it is read.
            url = f"{self._base}/{quote(name)}{self._query}"
            answer = pool.request(method, url, headers=sent, decode_content=False)
        hops = [urlsplit(past.redirect_location or "") for past in answer.retries.history] if answer.retries else []
        if any(hop.scheme == "http" and hop.hostname not in _AT_HOME for hop in hops):
            raise StoreRefusedError(f"{self} redirects to a server without encryption", hint="name one with https://")
        if answer.status in _ABSENT:
            return None
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise StoreUnreachableError(f"{self} failed to send {name}: {answer.status}", hint="try again later")
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return answer
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise StoreRefusedError(f"{self} refuses to send {name}: {answer.status}", hint=_REFUSED_HINT)
        is_page = answer.headers.get("Content-Type", "").startswith("text/html")
        if is_page or answer.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            what = "a web page" if is_page else answer.status
            raise StoreUnreachableError(f"{self} sent {what} for {name}: is that a proxy?", hint=_REACH_HINT)
        return answer

    @cached_property
    def _pool(self) -> PoolManager:
        """Make what holds the connections; urllib3 takes its time to be imported."""
        import urllib3  # noqa: PLC0415

        options: dict[str, Any] = {
            "maxsize": _CONNECTIONS,
            "timeout": urllib3.Timeout(connect=_CONNECT_SECONDS, read=_ANSWER_SECONDS),
            "retries": urllib3.Retry(
                total=_TRIES - 1,
                status_forcelist=_PASSING,
                backoff_factor=_PAUSE_SECONDS,
                backoff_jitter=_PAUSE_SECONDS,
                raise_on_status=False,
                respect_retry_after_header=False,
            ),
            # A range of what was compressed on the way would be a range of something else.
            "headers": {"Accept-Encoding": "identity", "User-Agent": f"terrastore/{__version__}"}
            | (urllib3.make_headers(basic_auth=self._login) if self._login else {}),
        }
        parts = urlsplit(self._base)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
            return urllib3.PoolManager(**options)
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        login = urlsplit(proxy)
        secret = f"{unquote(login.username)}:{unquote(login.password or '')}" if login.username else None
        return urllib3.ProxyManager(proxy, proxy_headers=urllib3.make_headers(proxy_basic_auth=secret), **options)

    @contextmanager
    def _speaking(self, name: str) -> Iterator[None]:
        """Raise what goes wrong in the body, where ``name`` is read, as an error of ours."""
        from urllib3 import exceptions  # noqa: PLC0415 -- see _pool

        try:
            yield
        except ranges.NotThatRangeError as error:
            hint = "the server, and what stands before it, must honour Range requests, as nginx does"
            raise StoreUnreachableError(f"{self} failed to send {name}: {error}", hint=hint) from error
        except exceptions.HTTPError as error:
            kind, told = getattr(error, "reason", None) or error, without_secrets(reason(root_cause(error)))
            message, hint = f"cannot be reached: {told}", _REACH_HINT
            if isinstance(kind, exceptions.SSLError):
                message = f"cannot be trusted: {told}"
                hint = "check the certificate; SSL_CERT_FILE names the authorities to trust"
            elif isinstance(kind, exceptions.ProxyError):
                message, hint = f"cannot be reached through the proxy: {told}", "check HTTPS_PROXY"
            elif isinstance(kind, exceptions.ReadTimeoutError):
                message = "does not answer"
            elif isinstance(kind, exceptions.ProtocolError):
                message = "breaks off its answers"
            raise StoreUnreachableError(f"{self} {message}", hint=hint) from error
