"""A pointer leads to what was asked for or to nothing: whatever is wrong with it is one kind of error."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from terrastore.pointer import (
    ArchiveSummary,
    ManifestLocation,
    Pointer,
    PointerError,
    UnknownSchemaError,
)
from terrastore.trust import Trust
from terrastore.trust.envelope import ENVELOPE_LIMIT, PAYLOAD_TYPE
from tests.published import sealed

KEY = "cp311-linux_x86_64-" + "0123456789" * 4
DIGEST = "ab" * 32
DOCUMENT: Final[dict[str, Any]] = {
    "schema": 1,
    "realm": "fleet",
    "key": KEY,
    "created": "2026-01-31T12:00:00Z",
    "expires": "2028-02-29T23:59:59Z",
    "archive": {"name": "0123456789abcdef" * 2 + ".tar.zst", "size": 1000, "sha256": DIGEST},
    "manifest": {"offset": 800, "packed": 100, "size": 2560, "sha256": "cd" * 32},
    "python": "3.11.7",
    "needs": {"libc": {"family": "glibc", "version": "2.17"}},
    "packages": 74,
    "builder": "größe.example",
}
POINTER = Pointer(
    key=KEY,
    created="2026-01-31T12:00:00Z",
    expires="2028-02-29T23:59:59Z",
    archive=ArchiveSummary(name="0123456789abcdef" * 2 + ".tar.zst", size=1000, sha256=DIGEST),
    manifest=ManifestLocation(offset=800, packed=100, size=2560, sha256="cd" * 32),
    python="3.11.7",
    needs={"libc": {"family": "glibc", "version": "2.17"}},
    packages=74,
    builder="größe.example",
    realm="fleet",
)
ABSENT: Final = object()


def envelope(payload: bytes, /, **fields: object) -> bytes:
    """Return a DSSE envelope around ``payload``, with other or more fields."""
    content = {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": []}
    return json.dumps({name: value for name, value in (content | fields).items() if value is not ABSENT}).encode()


def changed(place: str, value: object) -> bytes:
    """Return an envelope of the document with ``value`` at a dotted ``place``, or without it."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = place.split(".")
    holder = document
    for step in parents:
        holder = holder[step]
    if value is ABSENT:
        del holder[last]
    else:
        holder[last] = value
    return envelope(json.dumps(document).encode())


def read(data: bytes) -> Pointer:
    return Trust("fleet").judge(data, key=KEY).pointer


def test_a_pointer_is_read() -> None:
    """Every field of the specification arrives where it belongs."""
    assert read(envelope(json.dumps(DOCUMENT).encode())) == POINTER


def test_a_pointer_is_written() -> None:
    """As an unsigned DSSE envelope whose payload is the JSON object of the specification."""
    written = json.loads(sealed(POINTER))
    assert written.keys() == {"payload", "payloadType", "signatures"}
    assert written["payloadType"] == "application/vnd.terrastore.pointer+json"
    assert written["signatures"] == []
    assert json.loads(base64.b64decode(written["payload"], validate=True)) == DOCUMENT


MINIMAL = replace(POINTER, realm="", expires=None, needs={}, builder="")


@pytest.mark.parametrize("pointer", [POINTER, MINIMAL], ids=["full", "minimal"])
def test_what_is_written_is_read_again(pointer: Pointer) -> None:
    """Nothing of a pointer gets lost on its way through a store."""
    assert pointer == Trust(pointer.realm).judge(sealed(pointer), key=KEY).pointer


def test_expires_may_be_absent() -> None:
    """A pointer that never expires need not say so."""
    assert read(changed("expires", ABSENT)).expires is None


def test_a_signed_envelope_is_read() -> None:
    """A store may sign its pointers before every reader checks signatures."""
    payload = json.dumps(DOCUMENT).encode()
    assert read(envelope(payload, signatures=[{"keyid": "x", "sig": "AAAA"}])) == POINTER


WRONG_TEXT: Final = [ABSENT, None, 5, True, ["x"], {}]
WRONG_DIGEST: Final = [
    *WRONG_TEXT,
    "",
    DIGEST[1:],
    DIGEST + "0",
    DIGEST.upper(),
    "g" * 64,
    "\u0660" * 64,
    DIGEST + "\n",
]
WRONG_NUMBER: Final = [ABSENT, None, "1", 1.0, True, [1], -1, 2**53 + 1]
WRONG_OBJECT: Final = [ABSENT, None, "x", 5, True, [], [{}]]
WRONG_TIME: Final = [
    5,
    0,
    False,
    [],
    "",
    "tomorrow",
    "2026-01-31",
    "2026-01-31 12:00:00Z",
    "2026-01-31T12:00:00",
    "2026-01-31T12:00:00+00:00",
    "2026-02-30T12:00:00Z",
    "2026-13-01T12:00:00Z",
    "2026-01-31T24:00:00Z",
    "2026-01-31T12:00:60Z",
    "0000-01-31T12:00:00Z",
    "2026-01-31T12:00:00Z\n",
]
WRONG: Final = {
    "schema": [ABSENT, None, "1", 1.0, True, [1], {}],
    "realm": WRONG_TEXT,
    "key": [*WRONG_TEXT, "", KEY[:-1], f"{KEY}-debian-12", KEY.upper(), f" {KEY}"],
    "created": [ABSENT, None, *WRONG_TIME],
    "expires": WRONG_TIME,
    "archive": WRONG_OBJECT,
    "archive.name": [
        *WRONG_TEXT,
        "",
        "0123456789abcdef.tar.zst",
        "../" + DOCUMENT["archive"]["name"],
        "/" + DOCUMENT["archive"]["name"],
        DOCUMENT["archive"]["name"].upper(),
        DOCUMENT["archive"]["name"] + "\n",
        DOCUMENT["archive"]["name"] + ".exe",
        "g" * 32 + ".tar.zst",
    ],
    "archive.size": [*WRONG_NUMBER, 0, 899],
    "archive.sha256": WRONG_DIGEST,
    "manifest": WRONG_OBJECT,
    "manifest.offset": [*WRONG_NUMBER, 901],
    "manifest.packed": [*WRONG_NUMBER, 201],
    "manifest.size": [*WRONG_NUMBER, 2**23],
    "manifest.sha256": WRONG_DIGEST,
    "python": WRONG_TEXT,
    "needs": WRONG_OBJECT,
    "packages": WRONG_NUMBER,
    "builder": WRONG_TEXT,
}
CASES = [
    pytest.param(place, value, id=f"{place}: {'absent' if value is ABSENT else json.dumps(value)}"[:60])
    for place, values in WRONG.items()
    for value in values
]


@pytest.mark.parametrize(("place", "value"), CASES)
def test_a_field_that_is_not_as_specified_is_refused(place: str, value: object) -> None:
    """Missing, of another type or out of range, for another key, or with a manifest outside of the archive."""
    with pytest.raises(PointerError):
        read(changed(place, value))


LIMITS = [
    ("archive.size", 2**53),
    ("manifest.offset", 0),
    ("manifest.size", 5 * 1024 * 1024),
    ("packages", 0),
    ("packages", 2**53),
]


@pytest.mark.parametrize(("place", "value"), LIMITS)
def test_the_limits_themselves_are_allowed(place: str, value: int) -> None:
    """An environment may be empty, and large."""
    holder, _, last = place.rpartition(".")
    pointer = read(changed(place, value))
    assert value == getattr(getattr(pointer, holder) if holder else pointer, last)


def test_a_manifest_may_end_where_the_archive_does() -> None:
    """The last byte of the archive is inside of it."""
    assert read(changed("manifest.packed", 200)).manifest.packed == 200


@pytest.mark.parametrize("place", ["color", "archive.color", "manifest.color"])
def test_an_unknown_field_is_ignored(place: str) -> None:
    """A later version may add fields to the payload; what is known of the pointer is what it was."""
    assert read(changed(place, {"is": ["new"]})) == POINTER


def test_an_unknown_field_of_the_envelope_is_ignored() -> None:
    """DSSE allows for more than it names."""
    assert read(envelope(json.dumps(DOCUMENT).encode(), color="blue")) == POINTER


@pytest.mark.parametrize("schema", [0, 2, 3, -1, 10**30])
def test_an_unknown_schema_is_told_apart(schema: int) -> None:
    """It is a miss that names both versions, whatever else the pointer of a later version looks like."""
    with pytest.raises(UnknownSchemaError, match=rf"schema {schema}; .* schema 1"):
        read(envelope(json.dumps({"schema": schema, "where": "elsewhere"}).encode()))


ENVELOPES = {
    "empty": b"",
    "no JSON": b"pointer",
    "half of one": sealed(POINTER)[:-1],
    "two": sealed(POINTER) * 2,
    "not UTF-8": b'{"payload": "caf\xe9"}',
    "null": b"null",
    "list": b"[]",
    "text": b'"payload"',
    "number": b"5",
    "nested lists": b"[" * 60_000,
    "nested objects": b'{"payload":' * 5_000,
    "the payload itself": json.dumps(DOCUMENT).encode(),
    "no payload": envelope(b"", payload=ABSENT),
    "no type": envelope(b"{}", payloadType=ABSENT),
    "another type": envelope(json.dumps(DOCUMENT).encode(), payloadType="application/json"),
    "no signatures": envelope(json.dumps(DOCUMENT).encode(), signatures=ABSENT),
    "one signature that is no list": envelope(json.dumps(DOCUMENT).encode(), signatures={"sig": "AAAA"}),
    "payload: null": envelope(b"", payload=None),
    "payload: number": envelope(b"", payload=5),
    "payload: object": envelope(b"", payload=DOCUMENT),
    "payload: no base64": envelope(b"", payload="!!!!"),
    "payload: base64 of URLs": envelope(b"", payload=base64.urlsafe_b64encode(b'{"a":"~~~???"}').decode()),
    "payload: without padding": envelope(b"", payload=base64.b64encode(b'{"a": 1}').decode().rstrip("=")),
    "payload: in lines": envelope(b"", payload=base64.encodebytes(json.dumps(DOCUMENT).encode()).decode()),
    "payload: with something behind it": envelope(b"", payload="e30=e30="),
    "payload: empty": envelope(b""),
    "payload: no JSON": envelope(b"pointer"),
    "payload: not UTF-8": envelope(b'{"schema": 1, "key": "caf\xe9"}'),
    "payload: list": envelope(b"[]"),
    "payload: nested lists": envelope(b"[" * 3000),
    "payload: nested objects": envelope(b'{"a":' * 600),
    "number of 5,000 digits": b'{"x": ' + b"1" * 5000 + b"}",
    "payload: not ASCII": envelope(b"", payload="é"),
}


@pytest.mark.parametrize("data", ENVELOPES.values(), ids=ENVELOPES.keys())
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    """Whatever the decoders stumble over, the error is one."""
    with pytest.raises(PointerError):
        read(data)


@pytest.mark.parametrize("place", ["builder", "python", "realm", "needs.x"])
def test_text_that_no_utf_8_can_hold_is_refused(place: str) -> None:
    """JSON can escape half a surrogate pair; a pointer that is read can be written and shown."""
    with pytest.raises(PointerError):
        read(changed(place, "\ud800"))


def test_a_payload_has_3072_bytes_at_most() -> None:
    """So that one call of a key service can sign it; a longer one is neither written nor read."""
    room = 3072 - len(base64.b64decode(json.loads(sealed(replace(POINTER, builder="")))["payload"]))
    longest = replace(POINTER, builder="x" * room)
    assert read(sealed(longest)) == longest
    with pytest.raises(PointerError, match="3073 bytes"):
        sealed(replace(POINTER, builder="x" * (room + 1)))
    with pytest.raises(PointerError):
        read(envelope(json.dumps(DOCUMENT).encode().ljust(3073)))
    assert read(envelope(json.dumps(DOCUMENT).encode().ljust(3072))) == POINTER


def test_an_envelope_has_64_kib_at_most() -> None:
    """There is room for signatures, and an end to what is read."""
    assert ENVELOPE_LIMIT == 65536
    data = sealed(POINTER)
    assert read(data.ljust(ENVELOPE_LIMIT)) == POINTER
    with pytest.raises(PointerError, match="65537 bytes"):
        read(data.ljust(ENVELOPE_LIMIT + 1))


NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
EXPIRY = {
    "never": (None, False),
    "later": ("2026-06-01T12:00:01Z", False),
    "this second": ("2026-06-01T12:00:00Z", True),
    "long ago": ("2020-01-01T00:00:00Z", True),
}


@pytest.mark.parametrize(("expires", "expected"), EXPIRY.values(), ids=EXPIRY.keys())
def test_a_pointer_expires_when_it_says(expires: str | None, expected: bool) -> None:
    """From the second that it names, and never when it names none."""
    assert expected is replace(POINTER, expires=expires).expired(NOW)
