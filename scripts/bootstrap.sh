#!/bin/sh
# scripts/boot-scripts makes this file of scripts/boot/bootstrap.sh.in and the modules there.
# Gets terrastore itself from a store, and then an environment, on a machine that has nothing:
#
#     TERRASTORE_STORE=s3://acme-envs/web sh bootstrap.sh --no-build -r requirements.txt --target /srv/app/env
#
# Arguments are those of terrastore ensure; of these --store, --trust and --realm count here too, as do the variables
# TERRASTORE_STORE, TERRASTORE_TRUST and TERRASTORE_REALM and the settings of the user and of the machine. Besides:
#
#     BOOT_SHA256   what terrastore build --self printed: take that, whoever signed what
#     BOOT_DIR      where terrastore goes: /opt/terrastore, who is not root has ~/.local/share/terrastore/boot
#     BOOT_PIP      what pip installs where no store has terrastore, such as terrastore==1.0; nothing else will
#     BOOT_PYTHON   the Python to use, 3.11 or later
#     BOOT_TRIES    how often a server is asked that does not answer: 6 times, in half a minute
#
# Nothing but that Python is needed; openssl where signatures are demanded. docs/boot.md says more.
#
# Ends as terrastore does: 0 when the environment is there, 2 for wrong usage, 4 when no store has terrastore for this
# machine, 5 when pip failed, 6 when a store cannot be reached, 7 when it refuses, 8 when something in it is refused,
# 9 when this machine lacks something.
set -eu

python=
for candidate in ${BOOT_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "bootstrap.sh: error: there is no Python 3.11 or later; name one with BOOT_PYTHON" >&2
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
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
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


# The one behind a virtual environment, by a name that an upgrade takes away rather than lead elsewhere.
BASE = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def main() -> int:
    own = "/opt/terrastore" if os.geteuid() == 0 else "~/.local/share/terrastore/boot"
    home, pinned = os.path.abspath(os.path.expanduser(variable("BOOT_DIR") or own)), variable("BOOT_SHA256")
    if pinned and not DIGEST.fullmatch(pinned):
        raise Failure(USAGE, "BOOT_SHA256 is not the SHA-256 that terrastore build --self printed")
    place = f"{home}/{pinned}"
    if not pinned or not is_whole(place):
        with workspace(home, ".new-") as work:
            place = settled(home, work)
            if os.path.realpath(f"{home}/current") != os.path.realpath(place):
                os.symlink(os.path.basename(place), f"{work}/current")
                os.rename(f"{work}/current", f"{home}/current")
    print(place)
    return 0


def is_whole(place: str) -> bool:
    return os.access(f"{place}/bin/python", os.X_OK)


def settled(home: str, work: str) -> str:
    """Return where terrastore stands: fetched, as it was before where no store answers, or installed by pip."""
    try:
        place = first(lambda store: fetched(store, home, work))
    except Failure as failure:
        if failure.code != UNREACHABLE:
            raise
        if is_whole(f"{home}/current") and not variable("BOOT_SHA256"):
            tell(f"{failure}; the terrastore of before is used")
            return os.path.realpath(f"{home}/current")
        if not variable("BOOT_PIP"):
            raise
        tell(str(failure))
        place = None
    if place is None and not variable("BOOT_PIP"):
        hint = "publish it with terrastore build --self, or let pip install it with BOOT_PIP"
        raise Failure(ABSENT, f"no store has terrastore for {tag()}; {hint}")
    return place or installed(home, work)


def fetched(store: Store, home: str, work: str) -> str | None:
    """Return where the terrastore that a store has for this machine stands, once it does; None when it has none."""
    found = index_of(store, work)
    if found is None:
        return None
    index, digest = found
    require_no_revocation(index["wheels"])
    require_libc(index["needs"])
    place, new = f"{home}/{digest}", f"{work}/new"
    if is_whole(place):
        return place
    shutil.rmtree(new, ignore_errors=True)
    packages = f"{new}/lib/python{sys.version_info[0]}.{sys.version_info[1]}{THREADED}/site-packages"
    os.makedirs(packages)
    os.mkdir(f"{new}/bin")
    for wheel in index["wheels"]:
        download(store, place_of(wheel), f"{work}/wheel", wheel)
        with zipfile.ZipFile(f"{work}/wheel") as archive:
            archive.extractall(packages)
    # A virtual environment is no more than this (PEP 405).
    os.symlink(BASE, f"{new}/bin/python")
    with open(f"{new}/pyvenv.cfg", "w") as file:
        file.write(f"home = {os.path.dirname(BASE)}\ninclude-system-site-packages = false\n")
    return finished(new, place)


def installed(home: str, work: str) -> str:
    """Return where the terrastore stands that pip installs from an index, as it is configured."""
    wanted = variable("BOOT_PIP")
    identity = hashlib.sha256(f"{BASE} {sys.version} {wanted}".encode()).hexdigest()
    place, new = f"{home}/pip-{identity[:16]}", f"{work}/new"
    if is_whole(place):
        return place
    shutil.rmtree(new, ignore_errors=True)
    if subprocess.run([BASE, "-m", "venv", new], stdout=sys.stderr, close_fds=False, check=False).returncode:
        raise Failure(UNFIT, f"{BASE} -m venv failed; Debian has what it needs in python3-venv")
    pip = [f"{new}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run([*pip, *shlex.split(wanted)], stdout=sys.stderr, close_fds=False, check=False)
    if done.returncode:
        raise Failure(BUILD, "pip could not install what BOOT_PIP says")
    return finished(new, place)


def finished(new: str, place: str) -> str:
    """Put what is whole in its place, in one step."""
    with open(f"{new}/bin/terrastore", "w") as file:
        file.write(f'#!/bin/sh\nexec {shlex.quote(place)}/bin/python -P -m terrastore "$@"\n')
    os.chmod(f"{new}/bin/terrastore", 0o755)
    os.sync()  # so that it is whole after a loss of power too
    if not is_whole(place):
        shutil.rmtree(place, ignore_errors=True)
        try:
            os.rename(new, place)
        except OSError:
            if not is_whole(place):  # another run was faster
                raise
    return place


run(main)
PYTHON
}

place=$(program | "$python" -I -S - bootstrap.sh "$@")
exec "$place/bin/terrastore" ensure "$@"
