"""Requirements files by http: pip follows ``-r https://…``, so what is there decides the key."""

from __future__ import annotations

import base64
import netrc
import os
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from terrastore import __version__

_TIMEOUT: Final = 20.0
_LIMIT: Final = 16 * 1024 * 1024


class AnswerError(OSError):
    """What a server said instead of what it was asked for; ``code`` is HTTP's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the server says {code} {reason}")
        self.code = code


def fetch(url: str) -> bytes:
    """Return what an http or https URL leads to, redirects followed, by the proxies and certificates of the machine.

    Credentials come from the URL, else from netrc(5) or what ``NETRC`` names, and go to that host alone.

    :raises OSError: when it cannot be had within 20 seconds, or has more than 16 MiB; the text says why. An AnswerError
        when the server says no
    """
    parts = urlsplit(url)
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise OSError(f"a file is fetched by http or https, not by {parts.scheme}")
    host = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(  # noqa: S310 -- the scheme was looked at
        urlunsplit(parts._replace(netloc=host, fragment="")), headers={"User-Agent": f"terrastore/{__version__}"}
    )
    if (login := _login(parts.username, parts.password, parts.hostname)) is not None:
        token = base64.b64encode(":".join(login).encode()).decode()
        # Whoever this is redirected to does not get it.
        request.add_unredirected_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            content: bytes = answer.read(_LIMIT + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise AnswerError(error.code, error.reason) from None
    except urllib.error.URLError as error:
        raise OSError(str(getattr(error.reason, "strerror", None) or error.reason)) from None
    if len(content) > _LIMIT:
        raise OSError(f"it has more than {_LIMIT:,} bytes")
    return content


def _login(user: str | None, password: str | None, host: str) -> tuple[str, str] | None:
    if user is not None or password is not None:
        return unquote(user or ""), unquote(password or "")
    with suppress(OSError, netrc.NetrcParseError):
        if (found := netrc.netrc(os.environ.get("NETRC")).authenticators(host)) is not None:
            return found[0], found[2]
    return None
