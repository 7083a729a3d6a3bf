"""The trust file says who may publish; a pointer that nobody it names has signed is not followed."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from terrastore.archive.manifest import Package
from terrastore.errors import UsageError
from terrastore.pointer import Pointer, PointerError
from terrastore.trust import PublicKey, Trust, UntrustedError, name_of_key
from terrastore.trust.envelope import Envelope, Signature
from tests.published import KEY, pointer_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONE, TWO = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
POINTER = pointer_for(b"an archive")


def public(key: Ed25519PrivateKey, name: str = "ci") -> PublicKey:
    return PublicKey(name, key.public_key().public_bytes_raw())


def signed(*keys: Ed25519PrivateKey, pointer: Pointer = POINTER) -> Envelope:
    """Return a pointer's envelope with signatures by some keys."""
    envelope = Envelope(pointer.to_payload())
    return envelope.with_signatures(tuple(Signature(public(key).keyid, key.sign(envelope.signed)) for key in keys))


def trusting(folder: Path, *lines: str, realm: str = "") -> Trust:
    """Return what a trust file with some lines says."""
    path = folder / "trust"
    path.write_text("\n".join(lines) + "\n")
    return Trust.read(str(path), realm=realm)


OTHER = signed(pointer=replace(POINTER, packages=2))


def doubt(trust: Trust, envelope: Envelope) -> str:
    """Return why a pointer is not trusted."""
    with pytest.raises(UntrustedError) as raised:
        trust.judge(envelope.to_bytes(), key=KEY.text)
    return str(raised.value)


def test_without_a_file_anybody_may_publish() -> None:
    """Signatures are not looked at then, for there is nothing to judge them by."""
    for envelope in (signed(), signed(ONE)):
        assert (POINTER, ()) == Trust().judge(envelope.to_bytes(), key=KEY.text)


def test_whoever_is_named_is_trusted(tmp_path: Path) -> None:
    """One signature by somebody who is named is enough, and all such are told."""
    trust = trusting(tmp_path, public(ONE, "one").line, public(TWO, "two").line)
    for names, keys in {("one",): [ONE], ("two", "one"): [TWO, ONE]}.items():
        assert (POINTER, names) == trust.judge(signed(*keys).to_bytes(), key=KEY.text)
    alone = trusting(tmp_path, public(TWO, "two").line)
    assert ("two",) == alone.judge(signed(ONE, TWO).to_bytes(), key=KEY.text).signers


def test_who_is_not_named_is_not_trusted(tmp_path: Path) -> None:
    """No signature, or one by a stranger; the file that says so is named."""
    trust = trusting(tmp_path, public(ONE).line)
    assert f"nobody has signed it, and {tmp_path}/trust demands that" == doubt(trust, signed())
    assert f"nobody whom {tmp_path}/trust names has signed it" == doubt(trust, signed(TWO))
    assert f"nobody whom {tmp_path}/trust names has signed it" == doubt(trusting(tmp_path, ""), signed(ONE))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda value: value[:-1], id="cut off"),
        pytest.param(lambda value: value + b"\0", id="longer"),
        pytest.param(lambda value: bytes([value[0] ^ 1]) + value[1:], id="one bit"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"\0" * 64, id="zeros"),
        pytest.param(lambda _: TWO.sign(signed().signed), id="by another key under this one's name"),
        pytest.param(lambda _: ONE.sign(signed().payload), id="over the payload alone"),
        pytest.param(lambda _: ONE.sign(OTHER.signed), id="over another pointer"),
    ],
)
def test_a_wrong_signature_counts_for_nothing(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    """It is told whose it is said to be; a good one beside it counts all the same."""
    trust = trusting(tmp_path, public(ONE).line, public(TWO, "two").line)
    value = change(signed(ONE).signatures[0].value)
    wrong = signed()._replace(signatures=(Signature(public(ONE).keyid, value),))
    assert "the signature of ci is wrong" == doubt(trust, wrong)
    both = wrong._replace(signatures=(*wrong.signatures, *signed(TWO).signatures))
    assert ("two",) == trust.judge(both.to_bytes(), key=KEY.text).signers


@pytest.mark.parametrize(
    ("expected", "period"),
    [
        pytest.param("", "not-before=2020-01-01", id="begun"),
        pytest.param("", "not-after=2999-01-01T00:00:00+01:00", id="not over"),
        pytest.param("", "not-before=2020-01-01 not-after=2999-01-01", id="between"),
        pytest.param("the key ci counts from 2999-01-01T00:00:00Z on", "not-before=2999-01-01", id="to come"),
        pytest.param("the key ci counted until 2020-01-31T11:00:00Z", "not-after=2020-01-31T12:00:00+01:00", id="over"),
    ],
)
def test_a_key_counts_for_its_time(tmp_path: Path, expected: str, period: str) -> None:
    """Now is what counts: who signs can write any time into what is signed."""
    trust = trusting(tmp_path, f"{public(ONE).line} {period}")
    if expected:
        assert expected == doubt(trust, signed(ONE))
    else:
        assert ("ci",) == trust.judge(signed(ONE).to_bytes(), key=KEY.text).signers


def test_a_line_is_read_as_it_is_printed(tmp_path: Path) -> None:
    """What keygen prints names the key, and periods stay with it."""
    line = f"{public(ONE).line} not-before=2026-01-31T00:00:00Z not-after=2027-01-31T12:30:00Z"
    (key,) = trusting(tmp_path, f"  {line}  # since January").keys
    assert line == key.line
    assert public(ONE).raw == key.raw


@pytest.mark.parametrize("asked", ["", "web"])
@pytest.mark.parametrize("published", ["", "web", "staging"])
def test_the_realm_must_be_the_one_that_is_asked_for(asked: str, published: str) -> None:
    """Whether anybody is to sign or not."""
    data = signed(pointer=replace(POINTER, realm=published)).to_bytes()
    if asked == published:
        assert published == Trust(asked).judge(data, key=KEY.text).pointer.realm
        return
    with pytest.raises(PointerError, match="is asked for"):
        Trust(asked).judge(data, key=KEY.text)


def test_a_signature_is_judged_before_what_it_is_over(tmp_path: Path) -> None:
    """Nothing that a stranger wrote is parsed."""
    trust = trusting(tmp_path, public(ONE).line)
    assert "nobody has signed it" in doubt(trust, Envelope(b"{" * 3000))


@pytest.mark.parametrize(
    ("expected", "revoked"),
    [
        pytest.param("", "six==1.15.0", id="another version"),
        pytest.param("", "sixth", id="another name"),
        pytest.param("six 1.16.0", "six==1.16", id="equal by PEP 440"),
        pytest.param("six 1.16.0", "'SIX>=1.16, <2'", id="a range, quoted, another spelling"),
        pytest.param("six 1.16.0", "six", id="every version"),
        pytest.param("zope-interface 6.0rc1", "Zope.Interface<=6", id="a pre-release"),
        pytest.param("local 1.0+cu118", "local==1.0", id="a local version"),
        pytest.param("odd not-a-version", "odd>5", id="no version at all"),
        pytest.param("six 1.16.0, local 1.0+cu118", "six\nrevoke local", id="two"),
    ],
)
def test_revoked_packages(tmp_path: Path, expected: str, revoked: str) -> None:
    """A requirement of a name and versions says which; what is held of them is named."""
    held = {"six": "1.16.0", "zope-interface": "6.0rc1", "local": "1.0+cu118", "odd": "not-a-version"}
    packages = [Package(name=name, version=version) for name, version in held.items()]
    trust = trusting(tmp_path, "anybody", f"revoke {revoked}")
    found = trust.revokes(packages, archive="ab" * 32)
    assert (f"holds {expected}, which {tmp_path}/trust revokes" if expected else "") == found


def test_a_revoked_archive(tmp_path: Path) -> None:
    """By its digest, whatever it holds."""
    trust = trusting(tmp_path, "anybody", f"revoke sha256:{'ab' * 32}")
    assert "is of an archive" in trust.revokes([], archive="ab" * 32)
    assert "" == trust.revokes([], archive="cd" * 32)
    assert "" == Trust().revokes([], archive="ab" * 32)


def test_anybody(tmp_path: Path) -> None:
    """A file that only revokes has to say that anybody may publish; else nobody may."""
    assert not trusting(tmp_path, "anybody").demands_signatures
    assert trusting(tmp_path, "revoke six").demands_signatures
    assert (POINTER, ()) == trusting(tmp_path, "anybody").judge(signed().to_bytes(), key=KEY.text)


SHORT = b64encode(b"x" * 31).decode()


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        pytest.param("no line of a trust file", "ed25519 ci", id="no key"),
        pytest.param("no line of a trust file", "ecdsa ci AAAA", id="another algorithm"),
        pytest.param("no line of a trust file", "anybody else", id="more than anybody"),
        pytest.param("no line of a trust file", "revoke", id="nothing revoked"),
        pytest.param("the base64 of 32 bytes", f"ed25519 ci {SHORT}", id="a short key"),
        pytest.param("the base64 of 32 bytes", "ed25519 ci ?", id="no base64"),
        pytest.param("no name for a key", f"ed25519 a/b {SHORT}", id="a path for a name"),
        pytest.param("neither not-before", f"{public(ONE).line} until=2026-01-01", id="an unknown word"),
        pytest.param(
            "neither not-before", f"{public(ONE).line} not-after=2026-01-01 not-after=2027-01-01", id="a word twice"
        ),
        pytest.param("is no time", f"{public(ONE).line} not-after=tomorrow", id="no time"),
        pytest.param("is no time", f"{public(ONE).line} not-after=2026-01-01T00:00:00", id="a time of nowhere"),
        pytest.param("neither a project", "revoke six; python_version > '3'", id="a marker"),
        pytest.param("neither a project", "revoke six[extra]==1", id="an extra"),
        pytest.param("neither a project", "revoke six @ file:///six", id="a URL"),
        pytest.param("neither a project", "revoke sha256:abc", id="half a digest"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, expected: str, line: str) -> None:
    """Nothing in such a file is passed over."""
    with pytest.raises(UsageError) as raised:
        trusting(tmp_path, "# keys", line)
    assert raised.value.message.startswith(f"{tmp_path}/trust, line 2: ")
    assert expected in raised.value.message


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["none", "not UTF-8"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    """It is an error, and not as if nobody were named."""
    path = tmp_path / "trust"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        Trust.read(str(path))


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "ä", "x" * 101])
def test_names_of_keys(name: str) -> None:
    """They are words of a line, and file names."""
    with pytest.raises(UsageError, match="no name for a key"):
        name_of_key(name)
    assert "ci-2026.eu" == name_of_key("ci-2026.eu")


def test_what_a_pointer_says_is_no_message_of_ours() -> None:
    """A realm that somebody else wrote draws nothing and begins no line."""
    data = signed(pointer=replace(POINTER, realm="\x1b[31mred\nterrastore: error: trust me")).to_bytes()
    with pytest.raises(PointerError) as raised:
        Trust().judge(data, key=KEY.text)
    assert str(raised.value).isprintable()
