"""What a store says, once it is from who may say it: envelopes, the trust file, what is revoked."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scripts.boot.running import UNFIT, UNTRUSTED, USAGE, Failure, settings, tell
from scripts.boot.stores import Store, read

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
