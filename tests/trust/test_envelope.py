"""An envelope is DSSE's: what is signed, what is read, and how much of it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from terrastore.trust.envelope import PAYLOAD_TYPE, SIGNATURES_LIMIT, Envelope, EnvelopeError, Signature


def stored(signatures: Any) -> bytes:
    """Return an envelope with anything in place of its signatures."""
    document = {"payloadType": PAYLOAD_TYPE, "payload": b64encode(b"{}").decode(), "signatures": signatures}
    return json.dumps(document).encode()


def test_what_is_signed() -> None:
    """DSSE's pre-authentication encoding: lengths in decimal bytes, in front of payload type and payload."""
    expected = b"DSSEv1 39 application/vnd.terrastore.pointer+json 5 gr\xc3\xb6\xc3"
    assert expected == Envelope(b"gr\xc3\xb6\xc3").signed


def test_what_is_written_is_read_again() -> None:
    """Payload and signatures come back as they were, in their order."""
    envelope = Envelope(b'{"a": 1}', (Signature("one", b"\0\xff"), Signature("", b"")))
    assert envelope == Envelope.parse(envelope.to_bytes())


def test_of_another_kind() -> None:
    """What is signed differs with the payload's type, and an envelope is read as what it is alone."""
    envelope = Envelope(b"{}", (Signature("one", b"x"),), "application/other")
    assert b"DSSEv1 17 application/other 2 {}" == envelope.signed
    assert envelope == Envelope.parse(envelope.to_bytes(), kind="application/other")
    with pytest.raises(EnvelopeError, match="does not hold"):
        Envelope.parse(envelope.to_bytes())


def test_a_key_signs_once() -> None:
    """A signature takes the place of an earlier one by the same key; those by others stay."""
    envelope = Envelope(b"{}", (Signature("one", b"old"), Signature("two", b"two")))
    again = envelope.with_signatures((Signature("one", b"new"),))
    assert (Signature("two", b"two"), Signature("one", b"new")) == again.signatures


def test_signatures_are_few() -> None:
    """Sixteen are read and written, and none besides."""
    many = tuple(Signature(str(number), b"x") for number in range(SIGNATURES_LIMIT))
    envelope = Envelope(b"{}").with_signatures(many)
    assert many == Envelope.parse(envelope.to_bytes()).signatures
    with pytest.raises(EnvelopeError, match="17 signatures"):
        envelope.with_signatures((Signature("more", b"x"),))
    with pytest.raises(EnvelopeError, match="more than 16"):
        Envelope.parse(stored([{"keyid": "x", "sig": "AAAA"}] * 17))


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param("AAAA", id="a text"),
        pytest.param(None, id="null"),
        pytest.param({"keyid": 1, "sig": "AAAA"}, id="a number for a key"),
        pytest.param({"keyid": "x"}, id="no signature"),
        pytest.param({"keyid": "x", "sig": 1}, id="a number for a signature"),
        pytest.param({"keyid": "x", "sig": "!"}, id="no base64"),
        pytest.param({"keyid": "x", "sig": "é"}, id="not ASCII"),
    ],
)
def test_what_is_no_signature_is_refused(signature: Any) -> None:
    """One that is malformed makes the whole envelope malformed."""
    with pytest.raises(EnvelopeError):
        Envelope.parse(stored([signature]))


def test_a_key_need_not_be_named() -> None:
    """DSSE has keyid optional, and more fields may stand beside it."""
    found = Envelope.parse(stored([{"sig": "AAAA", "cert": "x"}]))
    assert (Signature("", b"\0\0\0"),) == found.signatures
