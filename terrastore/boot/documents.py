"""What a store says of terrastore itself: the index of its files, and the payload that leads to that.

``archive/FORMAT.md`` section 15 is the specification.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Final

PAYLOAD_TYPE: Final = "application/vnd.terrastore.self+json"
SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One of the files: what it is called, its SHA-256, its size in bytes."""

    file: str
    sha256: str
    size: int

    @classmethod
    def of(cls, file: str, content: bytes) -> File:
        """Return what is said of a file."""
        return cls(file=file, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A distribution (its name as PEP 503 has it), and its wheel."""

    name: str
    version: str
    wheel: File


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What terrastore consists of, for the interpreters and the platform that ``tag`` names.

    ``needs`` as in a manifest, of which it has ``libc``. ``relocate`` is the stand-alone program.
    """

    tag: str
    version: str
    needs: dict[str, Any]
    wheels: tuple[Part, ...]
    relocate: File

    def to_json(self) -> bytes:
        """Return it as it is stored; the same bytes for the same content."""
        wheels = [{"name": each.name, "version": each.version, **asdict(each.wheel)} for each in self.wheels]
        return _json(
            {
                "schema": SCHEMA,
                "tag": self.tag,
                "version": self.version,
                "needs": self.needs,
                "wheels": wheels,
                "relocate": asdict(self.relocate),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Which index counts for a tag; ``created`` and ``expires`` are RFC 3339 times, UTC."""

    tag: str
    version: str
    sha256: str
    size: int
    created: str
    builder: str
    realm: str = ""
    expires: str | None = None

    def to_payload(self) -> bytes:
        """Return the payload of its envelope."""
        return _json(
            {
                "schema": SCHEMA,
                "realm": self.realm,
                "tag": self.tag,
                "version": self.version,
                "index": {"sha256": self.sha256, "size": self.size},
                "created": self.created,
                "expires": self.expires,
                "builder": self.builder,
            }
        )

    def is_in(self, payload: bytes) -> bool:
        """Whether a payload says the same, whoever made it and when."""
        try:
            said = json.loads(payload)
            return isinstance(said, dict) and _lasting(said) == _lasting(json.loads(self.to_payload()))
        except (ValueError, RecursionError):
            return False


def _lasting(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in {"created", "builder"}}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
