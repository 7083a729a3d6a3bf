"""Stores that are read: a directory, a web server, S3."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from ssl import SSLCertVerificationError, SSLError
from typing import IO, Any, ClassVar, Protocol, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from scripts.boot.credentials import credentials, own_region
from scripts.boot.running import DENIED, UNREACHABLE, UNTRUSTED, USAGE, Failure, settings, tell, variable

SMALL, PIECE = 64 * 1024, 1024 * 1024
_AT_HOME = {"localhost", "127.0.0.1", "::1"}
_PAUSES = (0, 1, 2, 4, 8, 16)
_ANSWER_SECONDS = 20
Found = TypeVar("Found")


class Store(Protocol):
    """A store; ``name`` is its URL without what is secret."""

    name: str

    def fetch(self, name: str, path: str, limit: int) -> str | None:
        """Write an object of ``limit`` bytes at most to a file; return its SHA-256, None when it is not there."""


class Directory:
    """A store in a directory."""

    def __init__(self, root: str) -> None:
        self.name = os.path.abspath(os.path.expanduser(root))

    def fetch(self, name: str, path: str, limit: int) -> str | None:
        try:
            with open(f"{self.name}/{name}", "rb") as source:
                return copied(source, path, limit, name)
        except FileNotFoundError:
            if os.path.isdir(self.name):
                return None
            raise Failure(DENIED, f"the store {self.name} is not there") from None
        except PermissionError:
            raise Failure(DENIED, f"the store {self.name} cannot be read: permission denied") from None


class SafeRedirects(HTTPRedirectHandler):
    """Goes nowhere without encryption, and takes a login to nobody else."""

    def redirect_request(self, request: Request, *answer: Any) -> Request | None:
        new = super().redirect_request(request, *answer)
        if new is not None:
            require_encryption(new.full_url)
            if urlsplit(new.full_url).netloc != urlsplit(request.full_url).netloc:
                new.headers.pop("Authorization", None)
        return new


def require_encryption(url: str) -> None:
    parts = urlsplit(url)
    if not parts.hostname or (parts.scheme != "https" and parts.hostname not in _AT_HOME):
        raise Failure(USAGE, f"{parts.scheme}://{parts.hostname or ''} is not encrypted; write https://")


class Web:
    """A store behind a web server. User and password in the URL, and a query, go with every request."""

    opener: ClassVar[OpenerDirector] = build_opener(SafeRedirects)

    def __init__(self, url: str) -> None:
        require_encryption(url)
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._query = f"?{parts.query}" if parts.query else ""
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
        self._login = {"Authorization": f"Basic {base64.b64encode(login).decode()}"} if parts.username else {}

    def request(self, name: str) -> Request:
        return Request(f"{self.name}/{quote(name)}{self._query}", headers=self._login)

    def fetch(self, name: str, path: str, limit: int) -> str | None:
        """Do so; what may pass is tried again."""
        why = ""
        for pause in _PAUSES[: int(variable("BOOT_TRIES") or len(_PAUSES))]:
            time.sleep(pause)
            try:
                with self.opener.open(self.request(name), timeout=_ANSWER_SECONDS) as answer:
                    digest, announced = copied(answer, path, limit, name), answer.headers.get("Content-Length")
                if announced in {None, str(os.path.getsize(path))}:
                    return digest
                why = "breaks off its answers"
            except HTTPError as error:
                if error.code in {404, 410}:
                    return None
                if error.code < 500 and error.code != 429:
                    raise Failure(DENIED, f"{self.name} refuses to send {name}: {error.code}") from None
                why = f"failed to send {name}: {error.code}"
            except (URLError, HTTPException, SSLError, ConnectionError, TimeoutError) as error:
                reason = getattr(error, "reason", error)
                if isinstance(reason, SSLCertVerificationError):
                    raise Failure(UNREACHABLE, f"{self.name} cannot be trusted: {reason.verify_message}") from None
                why = f"cannot be reached: {str(getattr(reason, 'strerror', None) or reason).lower()}"
        raise Failure(UNREACHABLE, f"{self.name} {why}")


class Bucket(Web):
    """A store in S3, or in what speaks its protocol; requests are signed (AWS Signature Version 4)."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        said = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.name = f"s3://{parts.netloc}{parts.path.rstrip('/')}"
        self._keys = None if said.get("anonymous") == "true" else credentials(said.get("profile"))
        self._region = said.get("region") or variable("AWS_REGION") or variable("AWS_DEFAULT_REGION") or own_region()
        endpoint = said.get("endpoint_url") or variable("AWS_ENDPOINT_URL_S3") or variable("AWS_ENDPOINT_URL")
        domain = "amazonaws.com.cn" if self._region.startswith("cn-") else "amazonaws.com"
        # A name with a dot in it is in no certificate; other services know no names of buckets in that of a host.
        by_path = endpoint or "." in parts.netloc
        host = endpoint or f"https://{'' if by_path else f'{parts.netloc}.'}s3.{self._region}.{domain}"
        self._base = f"{host.rstrip('/')}{f'/{parts.netloc}' if by_path else ''}{parts.path.rstrip('/')}"

    def request(self, name: str) -> Request:
        url = f"{self._base}/{quote(name)}"
        return Request(url, headers=self.signature(urlsplit(url)))

    def signature(self, url: SplitResult) -> dict[str, str]:
        if self._keys is None:
            return {}
        now, nothing = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), hashlib.sha256().hexdigest()
        scope = f"{now[:8]}/{self._region}/s3/aws4_request"
        headers = {"host": url.netloc, "x-amz-content-sha256": nothing, "x-amz-date": now}
        if self._keys.token:
            headers["x-amz-security-token"] = self._keys.token
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        asked = f"GET\n{url.path}\n\n{lines}\n{names}\n{nothing}".encode()
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(asked).hexdigest()}"
        key = f"AWS4{self._keys.secret}".encode()
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        who = f"Credential={self._keys.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
        del headers["host"]  # which is sent anyway
        return {**headers, "Authorization": f"AWS4-HMAC-SHA256 {who}"}


def stores() -> Sequence[Store]:
    """Return the stores that are named, the nearest first."""
    urls = list(filter(None, settings("store")))
    if not urls:
        raise Failure(USAGE, "no store is named; write --store URL, or set TERRASTORE_STORE")
    return [opened(url) for url in urls]


def opened(url: str) -> Store:
    scheme = url.partition("://")[0] if "://" in url else ""
    match scheme:
        case "":
            return Directory(url)
        case "file":
            return Directory(unquote(urlsplit(url).path))
        case "s3":
            return Bucket(url)
        case "https" | "http":
            return Web(url)
    raise Failure(USAGE, f"{scheme}:// is not a kind of store that is known here")


def first(found_in: Callable[[Store], Found | None]) -> Found | None:
    """Return what the nearest store has, None when none has it; one that fails is passed over, but not the last."""
    failure = None
    for store in stores():
        try:
            found = found_in(store)
        except Failure as caught:
            if failure is not None:
                tell(str(failure))
            failure = caught
            continue
        if found is not None:
            if failure is not None:
                tell(str(failure))
            return found
    if failure is not None:
        raise failure
    return None


def copied(source: IO[bytes], path: str, limit: int, name: str) -> str:
    """Copy a stream to a file; return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with open(path, "wb") as file:
        while piece := source.read(PIECE):
            size += len(piece)
            if size > limit:
                raise Failure(UNTRUSTED, f"{name} is larger than it should be")
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def download(store: Store, name: str, path: str, facts: Mapping[str, Any]) -> None:
    """Write an object to a file, once its digest is as in ``facts``, and its size no larger."""
    digest = store.fetch(name, path, facts["size"])
    if digest != facts["sha256"]:
        why = "is missing" if digest is None else f"has SHA-256 {digest}, not {facts['sha256']}"
        raise Failure(UNTRUSTED, f"{name} in {store.name} {why}")


def read(store: Store, name: str, work: str) -> bytes | None:
    """Return a small object; None when it is not there."""
    path = f"{work}/object"
    if store.fetch(name, path, SMALL) is None:
        return None
    with open(path, "rb") as file:
        return file.read()
