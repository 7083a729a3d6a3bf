#!/bin/sh
# scripts/boot-scripts makes this file of scripts/boot/restore.sh.in and the modules there.
# Puts an environment that a store has in its place, without terrastore:
#
#     sh restore.sh KEY DIR [--store URL]... [--trust FILE] [--realm NAME]
#
# KEY is what terrastore key prints. What is not said comes from TERRASTORE_STORE, TERRASTORE_TRUST, TERRASTORE_REALM,
# or the settings of the user and of the machine. An environment that stands in DIR is replaced in one step, and kept
# when it is that one. Besides:
#
#     BOOT_SHA256   what terrastore build --self printed: take its relocate.pyz, whoever signed what
#     BOOT_PYTHON   the Python to run this with, 3.11 or later
#     BOOT_TRIES    how often a server is asked that does not answer: 6 times, in half a minute
#
# Nothing but that Python, tar and zstd is needed; openssl where signatures are demanded. docs/boot.md says more.
#
# Ends as terrastore does: 0 when the environment is there, 2 for wrong usage, 4 when no store has it, or what moves it,
# 6 when a store cannot be reached, 7 when it refuses, 8 when something in it is refused, 9 when this machine lacks
# something.
set -eu

python=
for candidate in ${BOOT_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "restore.sh: error: there is no Python 3.11 or later; name one with BOOT_PYTHON" >&2
    exit 9
fi

program() {
    cat <<'PYTHON'
from __future__ import annotations
import base64
import errno
import fcntl
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from glob import escape, glob
from http.client import HTTPException
from itertools import pairwise
from ssl import SSLCertVerificationError, SSLError
from typing import Any, ClassVar, IO, NamedTuple, NoReturn, Protocol, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener


# The script hands on what it is called before its arguments.
PROGRAM, *ARGUMENTS = sys.argv[1:] or [""]
# As terrastore's own, which README lists.
USAGE, ABSENT, BUILD, UNREACHABLE, DENIED, UNTRUSTED, UNFIT, INTERRUPTED = 2, 4, 5, 6, 7, 8, 9, 130


class Failure(Exception):
    """What ends a run: an exit code, and the line that says why."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


def tell(line: str) -> None:
    print(f"{PROGRAM}: {line}", file=sys.stderr, flush=True)


def variable(name: str) -> str:
    return os.environ.get(name) or ""


def settings(name: str) -> list[str]:
    """Return what flags say of an option, else its variable, else the user's settings, else the machine's."""
    flag = f"--{name}"
    said = [after for word, after in pairwise(ARGUMENTS) if word == flag]
    said += [word.partition("=")[2] for word in ARGUMENTS if word.startswith(f"{flag}=")]
    if said:
        return said
    if f"TERRASTORE_{name.upper()}" in os.environ:
        return variable(f"TERRASTORE_{name.upper()}").split() or [""]
    folders = [variable("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")]
    for folder in [*folders, (variable("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")[0]]:
        path = f"{folder}/terrastore/terrastore.toml"
        try:
            with open(path, "rb") as file:
                value = tomllib.load(file).get(name, [])
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            raise Failure(USAGE, f"{path} cannot be read: {error}") from None
        if value:
            return [str(each) for each in (value if isinstance(value, list) else [value])]
    return []


@contextmanager
def workspace(folder: str, prefix: str) -> Iterator[str]:
    """Yield a new directory that is removed afterwards; of those by that prefix, those that killed runs left go too."""
    os.makedirs(folder, exist_ok=True)
    while True:
        path = tempfile.mkdtemp(prefix=prefix, dir=folder)
        lock = os.open(path, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(path):  # nobody took it for left in between
            break
        os.close(lock)
    # As long as a program that was started is at work there, it is held, whatever becomes of this one.
    os.set_inheritable(lock, True)
    try:
        for left in glob(f"{escape(f'{folder}/{prefix}')}*"):
            remove_left(left)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def remove_left(path: str) -> None:
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)


def run(main: Callable[[], int]) -> NoReturn:
    """Run a program to its end; one line says what went wrong."""
    try:
        os.umask(0o022)
        sys.exit(main())
    except Failure as failure:
        tell(f"error: {failure}")
        sys.exit(failure.code)
    except OSError as error:
        tell(f"error: {error.filename or 'the disk'}: {(error.strerror or str(error)).lower()}")
        sys.exit(UNFIT if error.errno in {errno.ENOSPC, errno.EDQUOT} else USAGE)
    except (LookupError, TypeError, ValueError) as error:
        tell(f"error: what the store has is not what it should be: {error!r}")
        sys.exit(UNTRUSTED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


_NONE = "there are no credentials for s3:// stores here"


class Keys(NamedTuple):
    """What requests are signed with."""

    access_key: str
    secret: str
    token: str


def credentials(profile: str | None) -> Keys:
    """Return the keys that variables say, aws knows, a container is given, or the machine's role has."""
    is_named = profile or variable("AWS_PROFILE") or variable("AWS_WEB_IDENTITY_TOKEN_FILE")
    if variable("AWS_ACCESS_KEY_ID") and not profile:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return Keys(*map(variable, names))
    if is_named or any(os.path.exists(os.path.expanduser(f"~/.aws/{file}")) for file in ("config", "credentials")):
        if shutil.which("aws"):
            command = ["aws", "configure", "export-credentials", *(["--profile", profile] if profile else [])]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return keys_in(done.stdout)
        if is_named:
            raise Failure(DENIED, f"{_NONE}: aws has none, or is not there")
    if container := container_address():
        return keys_in(nearby(container, container_login()))
    role = of_machine("iam/security-credentials/").split()[0]
    return keys_in(of_machine(f"iam/security-credentials/{role}"))


def keys_in(text: str) -> Keys:
    found = json.loads(text)
    token = found.get("Token") or found.get("SessionToken") or ""
    return Keys(found["AccessKeyId"], found["SecretAccessKey"], token)


def container_address() -> str:
    relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    return f"http://169.254.170.2{relative}" if relative else variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")


def container_login() -> dict[str, str]:
    token, file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"), variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if file:
        with open(file) as opened:
            token = opened.read().strip()
    return {"Authorization": token} if token else {}


def own_region() -> str:
    """Return the region that this machine is in."""
    try:
        return of_machine("placement/region")
    except Failure:
        return "us-east-1"


def of_machine(path: str) -> str:
    """Return what EC2 tells of this machine (its instance metadata service, version 2)."""
    if variable("AWS_EC2_METADATA_DISABLED").lower() == "true":
        raise Failure(DENIED, _NONE)
    base = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").rstrip("/") or "http://169.254.169.254"
    token = nearby(f"{base}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, method="PUT")
    return nearby(f"{base}/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": token})


def nearby(url: str, headers: dict[str, str], method: str = "GET") -> str:
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(Request(url, headers=headers, method=method), timeout=2) as answer:
            text: str = answer.read(64 * 1024).decode()
            return text
    except (OSError, HTTPException) as error:
        raise Failure(DENIED, f"{_NONE}: {url}: {error}") from None


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


_SIGNATURES = 16
# What a public key of Ed25519 begins with (RFC 8410), in base64; the key's own bytes follow.
_ED25519 = "MCowBQYDK2VwAyEA"


def payload(store: Store, name: str, kind: str, work: str) -> dict[str, Any] | None:
    """Return what an envelope says (DSSE) that is for this realm, from who is trusted; None when there is none."""
    data = read(store, name, work)
    if data is None:
        return None
    try:
        envelope = json.loads(data)
        content, signatures = base64.b64decode(envelope["payload"], validate=True), envelope["signatures"]
        if envelope["payloadType"] != kind or len(signatures) > _SIGNATURES:
            raise ValueError
        require_signature(content, kind, signatures, work)
        said: dict[str, Any] = json.loads(content)
        schema, expires, realm = said["schema"], said.get("expires"), said.get("realm", "")
        is_past = expires is not None and moment(expires) <= datetime.now(UTC)
    except (LookupError, TypeError, AttributeError, ValueError):
        raise Failure(UNTRUSTED, f"{name} in {store.name} is not what it should be") from None
    except Failure as failure:
        raise Failure(failure.code, f"{name} in {store.name} is refused: {failure}") from None
    if schema != 1 or is_past:
        tell(f"{name} in {store.name} " + (f"has schema {schema}" if schema != 1 else f"expired at {expires}"))
        return None
    wanted = (settings("realm") or [""])[-1]
    if realm != wanted:
        raise Failure(UNTRUSTED, f"{name} in {store.name} is for the realm {realm!r}, not for {wanted!r}")
    return said


def moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def trust_lines() -> list[list[str]] | None:
    """Return the lines of the trust file as words; None when none is named."""
    said = settings("trust")
    if not said:
        return None
    try:
        with open(os.path.expanduser(said[-1]), encoding="utf-8") as file:
            return [words for line in file.read().split("\n") if (words := line.partition("#")[0].split())]
    except (OSError, ValueError) as error:
        raise Failure(USAGE, f"the trust file {said[-1]!r} cannot be read: {error}") from None


def require_signature(content: bytes, kind: str, signatures: Sequence[Mapping[str, str]], work: str) -> None:
    """Refuse what nobody signed whom the trust file names, if there is one."""
    lines = trust_lines()
    if lines is None or ["anybody"] in lines:
        return
    if not shutil.which("openssl"):
        raise Failure(UNFIT, "openssl is not there, and signatures are demanded")
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(content), content)
    for key in valid_keys(lines):
        keyid = hashlib.sha256(base64.b64decode(key)).hexdigest()[:32]
        if any(each.get("keyid") == keyid and is_signed(key, each["sig"], message, work) for each in signatures):
            return
    raise Failure(UNTRUSTED, "nobody whom the trust file names has signed it")


def valid_keys(lines: Iterable[Sequence[str]]) -> list[str]:
    """Return the keys, in base64, that count now."""
    now, keys = datetime.now(UTC), []
    for words in lines:
        try:
            match words:
                case ["ed25519", _, key, *periods]:
                    limits = dict(period.split("=", 1) for period in periods)
                    begin, end = limits.pop("not-before", "0001-01-01"), limits.pop("not-after", "9999-12-31")
                    if limits:
                        raise ValueError
                    if moment(begin) <= now < moment(end):
                        keys.append(key)
                case ["revoke", _, *_] | ["anybody"]:
                    pass
                case _:
                    raise ValueError
        except ValueError:
            raise Failure(USAGE, f"the trust file has a line that is none: {' '.join(words)}") from None
    return keys


def is_signed(key: str, signature: str, message: bytes, work: str) -> bool:
    pem = f"-----BEGIN PUBLIC KEY-----\n{_ED25519}{key}\n-----END PUBLIC KEY-----\n"
    for name, data in (("pem", pem.encode()), ("sig", base64.b64decode(signature)), ("message", message)):
        with open(f"{work}/{name}", "wb") as file:
            file.write(data)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "pem", "-rawin", "-in", "message"]
    return subprocess.run([*command, "-sigfile", "sig"], cwd=work, capture_output=True, check=False).returncode == 0


def require_no_revocation(packages: Iterable[Mapping[str, str]], archive: str = "") -> None:
    """Refuse what the trust file revokes; where it says more than a version, any version of that name."""
    for words in trust_lines() or []:
        if words[0] != "revoke":
            continue
        text = "".join(words[1:]).strip("'\"")
        if text == f"sha256:{archive}":
            raise Failure(UNTRUSTED, f"the trust file revokes the archive {archive}")
        if package := next((each for each in packages if may_be_revoked(text, each["name"], each["version"])), None):
            raise Failure(UNTRUSTED, f"it holds {package['name']} {package['version']}, and {text} is revoked")


def may_be_revoked(text: str, name: str, version: str) -> bool:
    """Whether a version is meant by ``text``; what is no comparison of numbers for equality is not taken apart."""
    if plain(re.split(r"[^\w.-]", text)[0]) != plain(name):
        return False
    exact = re.fullmatch(r"[\w.-]+==([0-9]+(?:\.[0-9]+)*)", text)
    if exact is None or not re.fullmatch(r"[0-9]+(\.[0-9]+)*", version):
        return True
    return release(version) == release(exact[1])


def plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def release(version: str) -> list[int]:
    """Return a version of numbers so that equal ones are equal (PEP 440)."""
    return [int(part) for part in re.sub(r"(\.0+)+$", "", version).split(".")]


SELF = "application/vnd.terrastore.self+json"
DIGEST = re.compile("[0-9a-f]{64}")
THREADED = "t" if "t" in sys.abiflags else ""


def tag() -> str:
    """Return what names the wheels that this Python takes here."""
    major, minor = sys.version_info[:2]
    debug = "d" if hasattr(sys, "gettotalrefcount") else ""
    musl = "_musl" if libc()[0] == "musl" else ""
    kernel = os.uname()
    return f"cp{major}{minor}{THREADED}{debug}-{kernel.sysname.lower()}{musl}_{kernel.machine.lower()}"


def libc() -> tuple[str, str]:
    """Return family and version of the C library."""
    try:
        family, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        family = version = ""
    for loader in () if family == "glibc" else sorted(glob("/lib/ld-musl-*.so.1")):
        told = subprocess.run([loader], capture_output=True, text=True, check=False).stderr
        if said := re.search(r"Version ([0-9.]+)", told):
            return "musl", said[1]
    return family, version


def require_libc(needs: Mapping[str, Any]) -> None:
    """Refuse what needs another C library than this machine's, or a later one."""
    wanted, (family, version) = needs.get("libc"), libc()
    if wanted and (wanted["family"] != family or numbers(wanted["version"]) > numbers(version)):
        needed = f"{wanted['family']} {wanted['version']} or later"
        raise Failure(UNFIT, f"{needed} is needed, and this machine has {family or 'neither glibc nor musl'} {version}")


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:2]]


def index_of(store: Store, work: str) -> tuple[dict[str, Any], str] | None:
    """Return the index of terrastore's files that counts for this machine, and its digest; None without one."""
    digest = variable("BOOT_SHA256")
    if not digest:
        lead = payload(store, f"v1/self/{tag()}.json", SELF, work)
        if lead is None:
            return None
        digest = lead["index"]["sha256"]
        if lead["tag"] != tag() or not DIGEST.fullmatch(digest):
            raise Failure(UNTRUSTED, f"v1/self/{tag()}.json in {store.name} is not what it should be")
    name, path = f"v1/self/{tag()}/{digest}.json", f"{work}/index"
    if variable("BOOT_SHA256") and store.fetch(name, path, PIECE) is None:
        return None
    download(store, name, path, {"sha256": digest, "size": PIECE})
    with open(path, "rb") as file:
        index: dict[str, Any] = json.load(file)
    if index["schema"] != 1 or index["tag"] != tag():
        raise Failure(UNTRUSTED, f"{name} in {store.name} is not for this machine")
    return index, digest


def place_of(facts: Mapping[str, Any]) -> str:
    """Return what one of the files is called in a store."""
    return f"v1/self/files/{facts['sha256']}/{facts['file']}"


POINTER = "application/vnd.terrastore.pointer+json"
KEY = re.compile("cp[0-9]{2,4}t?d?-[a-z0-9_]+-[0-9a-f]{40}(-[a-z0-9._-]+)?")
ARCHIVE = re.compile(r"[0-9a-f]{32}\.tar\.zst")


def main() -> int:
    key, target = subjects()
    if not KEY.fullmatch(key):
        raise Failure(USAGE, f"{key!r} is no key; terrastore key prints one")
    target = os.path.realpath(target)
    if stands(key, target):
        print(f"kept     {target} is what it should be  ({key})")
        return 0
    for tool in ("tar", "zstd"):
        if not shutil.which(tool):
            raise Failure(UNFIT, f"{tool} is not there")
    with workspace(os.path.dirname(target), f".{os.path.basename(target)}.restore-") as work:
        if first(lambda store: fetched(store, key, work)) is None:
            raise Failure(ABSENT, f"no store has {key}")
        unpack(f"{work}/archive", f"{work}/env")
        with open(f"{work}/env/.terrastore/manifest.json", "rb") as file:
            require_no_revocation(json.load(file)["packages"])
        # Its messages and exit codes are terrastore's.
        command = [sys.executable, f"{work}/relocate.pyz", f"{work}/env", "--into", target]
        return subprocess.run(command, close_fds=False, check=False).returncode


def subjects() -> tuple[str, str]:
    """Return KEY and DIR, what is left of the arguments without options."""
    words, left = iter(ARGUMENTS), []
    for word in words:
        name, is_said, _ = word.partition("=")
        if name in {"--store", "--trust", "--realm"}:
            if not is_said:
                next(words, None)
        elif word.startswith("-"):
            raise Failure(USAGE, f"there is no option {word}")
        else:
            left.append(word)
    if len(left) != 2:
        raise Failure(USAGE, "what is understood is restore.sh KEY DIR")
    return left[0], left[1]


def stands(key: str, target: str) -> bool:
    """Whether the environment is there, has its interpreter, and holds nothing that is revoked."""
    try:
        with open(f"{target}/.terrastore/state.json", "rb") as file:
            state = json.load(file)
        with open(f"{target}/.terrastore/manifest.json", "rb") as file:
            packages = json.load(file)["packages"]
    except (OSError, LookupError, ValueError):
        return False
    if (state.get("key"), state.get("prefix")) != (key, target) or not os.access(f"{target}/bin/python", os.X_OK):
        return False
    require_no_revocation(packages, state.get("archive", ""))
    return True


def fetched(store: Store, key: str, work: str) -> str | None:
    """Fetch the archive and the program that moves what is in it; return its name, None when a store has none."""
    pointer = payload(store, f"v1/pointers/{key}.json", POINTER, work)
    if pointer is None:
        return None
    archive = pointer["archive"]
    name = f"v1/archives/{key}/{archive['name']}"
    if pointer["key"] != key or not ARCHIVE.fullmatch(archive["name"]) or not DIGEST.fullmatch(archive["sha256"]):
        raise Failure(UNTRUSTED, f"v1/pointers/{key}.json in {store.name} is not what it should be")
    require_libc(pointer["needs"])
    require_no_revocation((), archive["sha256"])
    found = index_of(store, work)
    if found is None:
        raise Failure(ABSENT, f"{store.name} has no relocate.pyz for {tag()}; publish it with terrastore build --self")
    program = found[0]["relocate"]
    download(store, place_of(program), f"{work}/relocate.pyz", program)
    download(store, name, f"{work}/archive", archive)
    return name


def unpack(archive: str, place: str) -> None:
    os.mkdir(place)
    zstd = subprocess.Popen(["zstd", "-dcq", archive], stdout=subprocess.PIPE, close_fds=False)
    tar = subprocess.run(["tar", "-xomf", "-", "-C", place], stdin=zstd.stdout, close_fds=False, check=False)
    if zstd.stdout is not None:
        zstd.stdout.close()
    if zstd.wait() or tar.returncode:
        raise Failure(UNFIT, "the archive could not be unpacked; is there room?")
    os.unlink(archive)


run(main)
PYTHON
}

program | "$python" -I -S - restore.sh "$@"
