"""Vouching for what is published: keys that sign, in a file or in AWS KMS, and envelopes that they sign.

A key file is PKCS #8 in PEM (RFC 5958, RFC 7468), which OpenSSL reads too. Keys are Ed25519 (RFC 8032).
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from terrastore import times
from terrastore.errors import UsageError, reason
from terrastore.trust import PublicKey
from terrastore.trust.envelope import Envelope, EnvelopeError, Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from terrastore.pointer import Pointer
    from terrastore.report import Report
    from terrastore.trust import Trust

KMS: Final = "awskms:"
_KEY_HINT: Final = "make one with terrastore keygen"
_MOST_BYTES: Final = 64 * 1024


class Signer(Protocol):
    """A key that signs; ``str()`` names it without what is secret."""

    def public(self) -> bytes:
        """Return the 32 bytes of its public half.

        :raises StoreRefusedError: when a service that has it says no
        :raises StoreUnreachableError: when such a service does not answer
        """

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of a signature over ``message``; raises as :meth:`public` does."""


class FileSigner:
    """A key in a file.

    :raises UsageError: when the file cannot be read, or holds no such key
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._key = _private_key(path)

    def __str__(self) -> str:
        return self._path

    def public(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def signer(text: str) -> Signer:
    """Return the signer that ``FILE`` or ``awskms:ARN`` names.

    :raises UsageError: when there is none
    """
    if text.startswith(KMS):
        from terrastore.trust.kms import KmsSigner  # noqa: PLC0415 -- botocore takes 90 ms

        return KmsSigner(text.removeprefix(KMS))
    return FileSigner(text)


class Signing:
    """What is said of an environment when it is published: by whom, for which realm, and how long it counts.

    ``lasts`` is in seconds, None for ever. Nothing is signed without ``signers``.
    """

    def __init__(
        self, signers: Sequence[str] = (), *, trust: Trust, lasts: float | None = None, report: Report
    ) -> None:
        self._named = signers
        self._trust = trust
        self._lasts = lasts
        self._report = report

    @property
    def may_publish(self) -> bool:
        """Whether what is published here would count here: who demands signatures and cannot sign publishes nothing."""
        return bool(self._named) or not self._trust.demands_signatures

    @cached_property
    def signers(self) -> tuple[tuple[PublicKey, Signer], ...]:
        """The signers, and their public keys by the names that the trust file has for them.

        :raises UsageError: when one cannot be used, or is not trusted here, or none of them just now
        :raises StoreRefusedError: when a service that has a key says no
        :raises StoreUnreachableError: when such a service does not answer
        """
        found = tuple((self._known(each), each) for each in map(signer, self._named))
        lapses = [f"{key.name} {lapse}" for key, _ in found if (lapse := key.lapse(datetime.now(UTC)))]
        # A new key may sign before it counts, beside the one that still does.
        if found and len(lapses) == len(found) and self._trust.demands_signatures:
            raise UsageError(
                f"nothing signed here would count by {self._trust.file}: the key {', the key '.join(lapses)}",
                hint="sign with a key that counts now; docs/security.md says how keys are rotated",
            )
        return found

    def prepare(self) -> None:
        """Find out whether everything is there to sign with, before there is something to sign; raises as ``signers``.

        :raises UsageError: when no calendar has the time at which what is signed would expire
        """
        if self._lasts is not None:
            try:
                times.after(self._lasts)
            except (OSError, OverflowError, ValueError):
                raise UsageError("--expires names a time after the year 9999", hint="write less, such as 90d") from None
        for _, each in self.signers:
            if isinstance(each, FileSigner) and _is_open(str(each)):
                self._report.warn(f"the key {each} can be read by others: chmod 600 {each}")

    def issued(self, pointer: Pointer) -> Pointer:
        """Return a pointer as it is issued here: for the realm, and as long as it counts from now."""
        expires = times.after(self._lasts) if self._lasts is not None else pointer.expires
        realm = self._trust.realm if self._trust.realm is not None else pointer.realm
        return replace(pointer, realm=realm, expires=expires)

    def sealed(self, pointer: Pointer) -> bytes:
        """Return the envelope of a pointer with our signatures; raises as ``signers``."""
        return self.signed(Envelope(pointer.to_payload()))

    def vouched(self, pointer: Pointer, envelope: bytes) -> bytes:
        """Return a pointer's envelope with our signatures besides; with ours alone where it is issued anew for that.

        :raises UsageError: when it has too many already; else as ``signers``
        """
        issued = self.issued(pointer)
        return self.signed(Envelope.parse(envelope)) if issued == pointer else self.sealed(issued)

    def signed(self, envelope: Envelope) -> bytes:
        """Return an envelope as it is stored, with our signatures besides.

        :raises UsageError: when it has too many already; else as ``signers``
        """
        made = (Signature(key.keyid, each.sign(envelope.signed)) for key, each in self.signers)
        try:
            return envelope.with_signatures(tuple(made)).to_bytes()
        except EnvelopeError as error:
            raise UsageError(str(error), hint="publish it anew, with --rebuild") from None

    def _known(self, signer: Signer) -> PublicKey:
        key = PublicKey(str(signer), signer.public())
        named = next((each for each in self._trust.keys if each.raw == key.raw), None)
        if named is None and self._trust.demands_signatures:
            raise UsageError(
                f"{self._trust.file} does not name the key {signer}, so that nothing signed by it would count here",
                hint=f"add its line: {key._replace(name='NAME').line}",
            )
        return named or key


def generate(path: str) -> bytes:
    """Make a key in a new file that nobody else can read; return the 32 bytes of its public half.

    :raises UsageError: when there is a file already, or none can be made
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="take another name, or move it away") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {reason(error)}", hint="name another file with --out") from None
    with open(file, "wb") as opened:
        opened.write(text)
    return key.public_key().public_bytes_raw()


def _private_key(path: str) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 -- few sign
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_BYTES)
    except OSError as error:
        raise UsageError(f"the key {path} cannot be read: {reason(error)}", hint=_KEY_HINT) from None
    try:
        key = load_pem_private_key(text, password=None)
    except TypeError:
        raise UsageError(
            f"the key {path} is encrypted, and nobody is asked for its passphrase",
            hint="decrypt it where only this user reads it, or keep it in AWS KMS (awskms:ARN)",
        ) from None
    except (UnsupportedAlgorithm, ValueError):
        raise UsageError(f"{path} holds no private key in PEM", hint=_KEY_HINT) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"the key in {path} is no Ed25519 key", hint=_KEY_HINT)
    return key


def _is_open(path: str) -> bool:
    """Whether others than its owner can read a file; what is no file, such as a pipe, is nobody's to read."""
    found = os.stat(path)
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & (stat.S_IRWXG | stat.S_IRWXO))
