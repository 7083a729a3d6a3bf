"""Who may publish: the trust file, and whether a pointer is to be followed.

A trust file comes neither from the store nor from the project. Once one is named, a pointer counts only when somebody
it names has signed it. Its lines are::

    ed25519 NAME BASE64 [not-before=TIME] [not-after=TIME]
    revoke REQUIREMENT | sha256:DIGEST
    anybody

``docs/security.md`` says what that defends.
"""

from __future__ import annotations

import hashlib
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from terrastore.errors import ArchiveRefusedError, UsageError, reason
from terrastore.names import normalised
from terrastore.pointer import Pointer, PointerError
from terrastore.report import plain
from terrastore.trust.envelope import Envelope, EnvelopeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from terrastore.archive.manifest import Package

ALGORITHM: Final = "ed25519"
_KEY_SIZE: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_NAME_HINT: Final = "take letters, digits, and . _ @ + -, a hundred at most"
_PERIOD: Final = {"not-before": "not_before", "not-after": "not_after"}
_ARCHIVE: Final = re.compile(r"sha256:([0-9a-f]{64})")
_HINT: Final = "terrastore keygen prints the line of a key; docs/security.md has the others"

ASK_FOR_ANOTHER: Final = "ask for another version of what is revoked"


class UntrustedError(PointerError):
    """The pointer is not signed by anybody who is trusted; the text says why."""


class PublicKey(NamedTuple):
    """An Ed25519 key (RFC 8032) that may sign from ``not_before`` until ``not_after``; None where that is open."""

    name: str
    raw: bytes
    not_before: datetime | None = None
    not_after: datetime | None = None

    @property
    def keyid(self) -> str:
        """What signatures by it are found by: half of the SHA-256 of its 32 bytes."""
        return hashlib.sha256(self.raw).hexdigest()[:32]

    @property
    def line(self) -> str:
        """The line of a trust file that names it."""
        times = ((word, getattr(self, field)) for word, field in _PERIOD.items())
        periods = "".join(f" {word}={time:%Y-%m-%dT%H:%M:%SZ}" for word, time in times if time is not None)
        return f"{ALGORITHM} {self.name} {b2a_base64(self.raw, newline=False).decode()}{periods}"

    def lapse(self, now: datetime) -> str:
        """Say why it counts for nothing at ``now``; "" when it counts."""
        if self.not_before is not None and now < self.not_before:
            return f"counts from {self.not_before:%Y-%m-%dT%H:%M:%SZ} on"
        if self.not_after is not None and now >= self.not_after:
            return f"counted until {self.not_after:%Y-%m-%dT%H:%M:%SZ}"
        return ""

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is one by this key over ``message``."""
        # Who names no trust file needs none of it.
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Judged(NamedTuple):
    """A pointer that is to be followed, and the names of those who are trusted and signed it."""

    pointer: Pointer
    signers: tuple[str, ...]


class Trust(NamedTuple):
    """What a trust file says, and the realm that is asked for, None for any; without ``file`` anybody may publish."""

    realm: str | None = ""
    file: str | None = None
    keys: tuple[PublicKey, ...] = ()
    revoked: tuple[str, ...] = ()
    """Requirements, and digests of archives."""
    admits_anybody: bool = True

    @classmethod
    def of(cls, file: str | None, *, realm: str | None = "") -> Self:
        """Return what the trust file says, if any is named, for a realm that somebody asks for, None for any.

        :raises UsageError: as :meth:`read` does, and when the realm's name is none
        """
        if realm and not _NAME.fullmatch(realm):
            raise UsageError(f"{realm!r} is no name for a realm", hint=_NAME_HINT)
        # As a script says it whose variable is empty: that must not mean that anybody is trusted.
        if file == "":
            raise UsageError("--trust names no file", hint="write its path; one with the line anybody admits everybody")
        return cls(realm) if file is None else cls.read(file, realm=realm)

    @classmethod
    def read(cls, path: str, *, realm: str | None = "") -> Self:
        """Return what the trust file at ``path`` says.

        :raises UsageError: when it cannot be read, or has a line that is none; that one is named
        """
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"the trust file {path} cannot be read: {reason(error)}", hint="name another with --trust"
            ) from None
        keys: list[PublicKey] = []
        revoked: list[str] = []
        admits_anybody = False
        # Not splitlines(): a line ends where editors show that it does, also within a remark.
        for number, line in enumerate(text.split("\n"), 1):
            words = line.partition("#")[0].split()
            try:
                match words:
                    case []:
                        pass
                    case ["ed25519", name, text_of_key, *periods]:
                        keys.append(key := _key(name, text_of_key, periods))
                        if any(each.raw == key.raw for each in keys[:-1]):
                            raise ValueError(f"the key {name} is there twice")
                    case ["revoke", *rest] if rest:
                        revoked.append(_revocation("".join(rest).strip("'\"")))
                    case ["anybody"]:
                        admits_anybody = True
                    case _:
                        raise ValueError("that is no line of a trust file")
            except ValueError as error:
                raise UsageError(f"{path}, line {number}: {error}", hint=_HINT) from None
        return cls(realm, path, tuple(keys), tuple(revoked), admits_anybody)

    @property
    def demands_signatures(self) -> bool:
        """Whether a pointer counts only when it is signed."""
        return not self.admits_anybody

    def judge(self, data: bytes, *, key: str) -> Judged:
        """Return the pointer for ``key`` in what a store has.

        :raises UntrustedError: when nobody who is trusted has signed it
        :raises UnknownSchemaError: when it is of a later version
        :raises PointerError: when it is malformed, or for another key or realm
        """
        try:
            envelope = Envelope.parse(data)
        except EnvelopeError as error:
            raise PointerError(str(error)) from None
        signers = self.signers_of(envelope)
        pointer = Pointer.from_payload(envelope.payload, key=key)
        if self.realm is not None and pointer.realm != self.realm:
            raise PointerError(f"it is for {_realm(pointer.realm)}, and {_realm(self.realm)} is asked for")
        return Judged(pointer, signers)

    def signers_of(self, envelope: Envelope) -> tuple[str, ...]:
        """Return who signed, of those who are trusted now.

        :raises UntrustedError: when nobody did, and somebody must
        """
        if not self.keys and self.admits_anybody:
            return ()
        now, known = datetime.now(UTC), {key.keyid: key for key in self.keys}
        signers: dict[str, None] = {}
        doubts = []
        for signature in envelope.signatures:
            if (key := known.get(signature.keyid)) is None:
                continue
            if not key.verifies(signature.value, envelope.signed):
                doubts.append(f"the signature of {key.name} is wrong")
            elif lapse := key.lapse(now):
                doubts.append(f"the key {key.name} {lapse}")
            else:
                signers[key.name] = None
        if not signers and self.demands_signatures:
            unknown = f"nobody whom {self.file} names has signed it"
            unsigned = f"nobody has signed it, and {self.file} demands that"
            raise UntrustedError("; ".join(doubts) or (unknown if envelope.signatures else unsigned))
        return tuple(signers)

    def revokes(self, packages: Iterable[Package], *, archive: str = "") -> str:
        """Say what of an environment is revoked, by its packages and its archive's SHA-256; "" when nothing is."""
        if not self.revoked:
            return ""
        if f"sha256:{archive}" in self.revoked:
            return f"is of an archive that {self.file} revokes"
        from packaging.requirements import Requirement  # noqa: PLC0415 -- few revoke anything

        revoked: dict[str, list[Any]] = {}
        for text in self.revoked:
            if not text.startswith("sha256:"):
                requirement = Requirement(text)
                revoked.setdefault(normalised(requirement.name), []).append(requirement.specifier)
        found = [
            f"{package.name} {package.version}"
            for package in packages
            if any(_contains(each, package.version) for each in revoked.get(normalised(package.name), ()))
        ]
        return f"holds {', '.join(found)}, which {self.file} revokes" if found else ""

    def refuse_revoked(self, packages: Iterable[Package], *, archive: str) -> None:
        """Refuse an environment in a store of which anything is revoked; see :meth:`revokes`.

        :raises ArchiveRefusedError: when something is
        """
        if revoked := self.revokes(packages, archive=archive):
            raise ArchiveRefusedError(f"it {revoked}", hint=ASK_FOR_ANOTHER)


ANYTHING: Final = Trust(None)
"""For who only looks at what a store has, and follows nothing of it."""


def name_of_key(text: str) -> str:
    """Return ``text`` once it is a name for a key.

    :raises UsageError: when it is none
    """
    if not _NAME.fullmatch(text):
        raise UsageError(f"{text!r} is no name for a key", hint=_NAME_HINT)
    return text


def _key(name: str, text: str, periods: Sequence[str]) -> PublicKey:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a key")
    try:
        raw = a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError):
        raw = b""
    if len(raw) != _KEY_SIZE:
        raise ValueError(f"the key {name} is not the base64 of {_KEY_SIZE} bytes")
    times: dict[str, datetime] = {}
    for period in periods:
        word, _, time = period.partition("=")
        if (field := _PERIOD.get(word)) is None or field in times:
            raise ValueError(f"{period} is neither not-before=TIME nor not-after=TIME")
        times[field] = _time(time)
    return PublicKey(name, raw, **times)


def _time(text: str) -> datetime:
    """Return a moment as RFC 3339 writes it; a date is its first moment, in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or (found.tzinfo is None and len(text) != len("2026-01-31")):
        raise ValueError(f"{text} is no time such as 2026-01-31 or 2026-01-31T12:00:00Z")
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def _revocation(text: str) -> str:
    if _ARCHIVE.fullmatch(text):
        return text
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 -- few revoke anything

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        requirement = None
    if requirement is None or requirement.url or requirement.extras or requirement.marker:
        raise ValueError(f"{text} is neither a project with versions, such as example==1.0, nor sha256:DIGEST")
    return text


def _contains(specifier: Any, version: str) -> bool:
    """Whether a version is meant; one that is no version (PEP 440) is, for nobody can say that it is not."""
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 -- few revoke anything

    try:
        return bool(specifier.contains(Version(version), prereleases=True))
    except InvalidVersion:
        return True


def _realm(name: str) -> str:
    return f"the realm {plain(name)}" if name else "no realm"
