"""Keys sign what is published: in files that OpenSSL reads, in AWS KMS; what cannot sign is found before a build."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from terrastore.errors import StoreRefusedError, StoreUnreachableError, TerrastoreError, UsageError
from terrastore.report import Report
from terrastore.trust import PublicKey, Trust, signing
from terrastore.trust.envelope import Envelope
from terrastore.trust.signing import Signing
from tests.kms import ARN, Kms, served
from tests.published import KEY, pointer_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POINTER = pointer_for(b"an archive")
SECONDS_IN_2999 = 973 * 365 * 86400


def trust_in(*keys: bytes, realm: str = "") -> Trust:
    names = tuple(PublicKey(f"key{number}", key) for number, key in enumerate(keys))
    return Trust(realm, "/etc/trust", names, (), admits_anybody=False)


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, bytes]:
    """Make a key; return its file and its public half."""
    path = str(tmp_path / "ci.key")
    return path, signing.generate(path)


def test_a_key_is_for_its_owner_alone(key: tuple[str, bytes]) -> None:
    """Whatever the umask; and it is never written over."""
    path, _ = key
    assert 0o600 == stat.S_IMODE(os.stat(path).st_mode)
    with open(path, "rb") as file:
        before = file.read()
    with pytest.raises(UsageError, match="is there already"):
        signing.generate(path)
    with open(path, "rb") as file:
        assert before == file.read()


def test_openssl_reads_the_key(key: tuple[str, bytes], tmp_path: Path) -> None:
    """And verifies what it signs over DSSE's encoding, so that nobody needs terrastore to check."""
    path, public = key
    envelope = Envelope.parse(Signing([path], trust=Trust(), report=Report()).sealed(POINTER))
    openssl = shutil.which("openssl")
    assert openssl is not None
    pem = subprocess.run([openssl, "pkey", "-in", path, "-pubout"], capture_output=True, check=True).stdout
    (tmp_path / "public.pem").write_bytes(pem)
    loaded = serialization.load_pem_public_key(pem)
    assert public == loaded.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    (tmp_path / "message").write_bytes(envelope.signed)
    (tmp_path / "signature").write_bytes(envelope.signatures[0].value)
    options = ["-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "message", "-sigfile", "signature"]
    subprocess.run([openssl, "pkeyutl", *options], cwd=tmp_path, check=True, capture_output=True)


def test_several_keys_sign(tmp_path: Path) -> None:
    """All of them, each under the name that the trust file has for it."""
    paths = [str(tmp_path / name) for name in ("one", "two")]
    trust = trust_in(*map(signing.generate, paths))
    data = Signing(paths, trust=trust, report=Report()).sealed(POINTER)
    assert ("key0", "key1") == trust.judge(data, key=KEY.text).signers


def test_nothing_is_signed_without_a_key() -> None:
    """An unsigned store's envelopes have an empty list."""
    data = Signing(trust=Trust(), report=Report()).sealed(POINTER)
    assert [] == json.loads(data)["signatures"]


def test_who_demands_signatures_and_has_no_key_publishes_nothing(key: tuple[str, bytes]) -> None:
    """What it published would not count for itself."""
    path, public = key
    assert Signing(trust=Trust(), report=Report()).may_publish
    assert Signing([path], trust=trust_in(public), report=Report()).may_publish
    assert not Signing(trust=trust_in(public), report=Report()).may_publish


def test_a_key_that_would_not_count_is_found_first(key: tuple[str, bytes]) -> None:
    """The hint is the line that the trust file lacks."""
    path, public = key
    with pytest.raises(UsageError, match="does not name the key") as raised:
        Signing([path], trust=trust_in(b"x" * 32), report=Report()).prepare()
    assert PublicKey("NAME", public).line in raised.value.hint


def test_a_key_that_others_can_read_is_told(key: tuple[str, bytes]) -> None:
    """It works all the same, for secrets are mounted with odd modes."""
    path, _ = key
    report = Report()
    Signing([path], trust=Trust(), report=report).prepare()
    assert [] == report.warnings
    os.chmod(path, 0o640)
    Signing([path], trust=Trust(), report=report).prepare()
    assert [f"the key {path} can be read by others: chmod 600 {path}"] == report.warnings


def test_issued() -> None:
    """For the realm that is asked for, until the time that is said, else as long as it counted before."""
    expiring = replace(POINTER, expires="2030-01-01T00:00:00Z")
    assert expiring == Signing(trust=Trust(), report=Report()).issued(expiring)
    found = Signing(trust=Trust("web"), lasts=SECONDS_IN_2999, report=Report()).issued(expiring)
    assert replace(expiring, realm="web", expires=found.expires) == found
    assert found.expires is not None
    assert found.expires.startswith("2999")


def pem(key: Any, password: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    data: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    return data


NONSENSE = b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("expected", "content"),
    [
        pytest.param("cannot be read", None, id="no file"),
        pytest.param("no private key", b"", id="nothing"),
        pytest.param("no private key", NONSENSE, id="nonsense"),
        pytest.param("no Ed25519 key", pem(ec.generate_private_key(ec.SECP256R1())), id="another algorithm"),
        pytest.param("is encrypted", pem(Ed25519PrivateKey.generate(), b"hidden"), id="encrypted"),
    ],
)
def test_what_is_no_key_is_named(tmp_path: Path, expected: str, content: bytes | None) -> None:
    """And what is in the file is not."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=expected) as raised:
        signing.signer(str(path))
    assert str(path) in raised.value.message
    assert "secret" not in raised.value.message + raised.value.hint


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kms]:
    """Serve a KMS to this process, moto's having no such keys."""
    service = Kms()
    with served(service) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield service


def test_kms_signs(kms: Kms) -> None:
    """One call for the public half and one for each signature, of the raw message: its payload is small enough."""
    trust = trust_in(kms.key.public_key().public_bytes_raw())
    data = Signing([f"awskms:{ARN}"], trust=trust, report=Report()).sealed(POINTER)
    assert ("key0",) == trust.judge(data, key=KEY.text).signers
    message = b64encode(Envelope(POINTER.to_payload()).signed).decode()
    sign = {"KeyId": ARN, "Message": message, "MessageType": "RAW", "SigningAlgorithm": "ED25519_SHA_512"}
    assert [("GetPublicKey", {"KeyId": ARN}), ("Sign", sign)] == kms.asked


def test_a_key_of_kms_that_cannot_sign_so(kms: Kms) -> None:
    """The key spec that would do is named."""
    kms.spec, kms.key = "ECC_NIST_P256", ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(UsageError, match="no Ed25519 key") as raised:
        signing.signer(f"awskms:{ARN}").public()
    assert "ECC_NIST_EDWARDS25519" in raised.value.hint


@pytest.mark.parametrize(
    ("expected", "status", "kind"),
    [
        pytest.param(StoreRefusedError, 400, "AccessDeniedException", id="access denied"),
        pytest.param(StoreRefusedError, 400, "NotFoundException", id="no such key"),
        pytest.param(StoreRefusedError, 400, "DisabledException", id="disabled"),
        pytest.param(StoreUnreachableError, 500, "KMSInternalException", id="a failure of its own"),
    ],
)
def test_kms_says_no(
    kms: Kms, monkeypatch: pytest.MonkeyPatch, expected: type[TerrastoreError], status: int, kind: str
) -> None:
    """As a store says it: what is published is a warning then, and no failure."""
    monkeypatch.setattr("terrastore.trust.kms._ATTEMPTS", 1)
    kms.refusal = status, {"__type": kind, "message": "because"}
    with pytest.raises(expected) as raised:
        signing.signer(f"awskms:{ARN}").public()
    assert ARN in raised.value.message
    assert kind in raised.value.message


def test_kms_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is out of reach, as a store may be."""
    monkeypatch.setattr("terrastore.trust.kms._ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    with pytest.raises(StoreUnreachableError, match="does not answer"):
        signing.signer(f"awskms:{ARN}").public()


@pytest.mark.parametrize("text", ["awskms:", "awskms:alias/ci", f"awskms:{ARN[:20]}", "awskms:arn:aws:s3:::bucket"])
def test_what_names_no_key_of_kms(text: str) -> None:
    """An alias alone has no region, and whatever else is none."""
    with pytest.raises(UsageError, match="names no key of AWS KMS"):
        signing.signer(text)
