"""What a pointer is stored in, and what signatures are over: DSSE (secure-systems-lab/dsse, version 1.0).

``archive/FORMAT.md`` section 6 is the specification; what leads to terrastore itself (section 15) is a payload of
another type, so that a signature over the one says nothing of the other. The payload's raw bytes are kept, for
signatures are over them and are judged before anything in them is looked at.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Final, NamedTuple, Self

PAYLOAD_TYPE: Final = "application/vnd.terrastore.pointer+json"
ENVELOPE_LIMIT: Final = 64 * 1024
SIGNATURES_LIMIT: Final = 16
"""Most signatures that an envelope may have; each costs a verification."""


class EnvelopeError(ValueError):
    """This is no envelope of a pointer; the text says why."""


class Signature(NamedTuple):
    """A signature, and what its key is found by, which proves nothing."""

    keyid: str
    value: bytes


class Envelope(NamedTuple):
    """A payload, and signatures over it, none of them judged; ``kind`` is the payload's type."""

    payload: bytes
    signatures: tuple[Signature, ...] = ()
    kind: str = PAYLOAD_TYPE

    @property
    def signed(self) -> bytes:
        """What a signature is over: DSSE's pre-authentication encoding of payload type and payload."""
        kind = self.kind.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)

    def with_signatures(self, added: tuple[Signature, ...]) -> Self:
        """Return the envelope with more signatures; each takes the place of an earlier one by the same key.

        :raises EnvelopeError: when there are too many
        """
        keys = {each.keyid for each in added}
        signatures = (*(each for each in self.signatures if each.keyid not in keys), *added)
        if len(signatures) > SIGNATURES_LIMIT:
            raise EnvelopeError(f"a pointer of {len(signatures)} signatures has more than {SIGNATURES_LIMIT}")
        return self._replace(signatures=signatures)

    def to_bytes(self) -> bytes:
        """Return the envelope as it is stored."""
        document = {
            "payload": b64encode(self.payload).decode(),
            "payloadType": self.kind,
            "signatures": [{"keyid": each.keyid, "sig": b64encode(each.value).decode()} for each in self.signatures],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes, *, kind: str = PAYLOAD_TYPE) -> Self:
        """Return the envelope that ``data`` is.

        :raises EnvelopeError: when it is none of that kind, or larger than 64 KiB, or has more than 16 signatures
        """
        if len(data) > ENVELOPE_LIMIT:
            raise EnvelopeError(f"the pointer has {len(data)} bytes")
        try:
            document = json.loads(data)
            found, signatures = document["payloadType"], document["signatures"]
            if found != kind or not isinstance(signatures, list):
                raise EnvelopeError("the envelope does not hold a pointer")
            if len(signatures) > SIGNATURES_LIMIT:
                raise EnvelopeError(f"the envelope has more than {SIGNATURES_LIMIT} signatures")
            payload = b64decode(document["payload"], validate=True)
            return cls(payload, tuple(map(_signature, signatures)), kind)
        except EnvelopeError:
            raise
        except (LookupError, TypeError, RecursionError, ValueError):
            raise EnvelopeError("the pointer is not a DSSE envelope of JSON") from None


def _signature(found: object) -> Signature:
    if not isinstance(found, dict) or not isinstance(keyid := found.get("keyid", ""), str):
        raise EnvelopeError("the envelope has a signature that is none")
    return Signature(keyid, b64decode(found["sig"], validate=True))
