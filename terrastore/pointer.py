"""The small object that leads from a key to an archive, as the payload of an :mod:`~terrastore.trust.envelope`.

``archive/FORMAT.md`` section 6 is the specification. Who reads one from a store asks :mod:`terrastore.trust`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA: Final = 1
PAYLOAD_LIMIT: Final = 3072
"""Most bytes a payload may have, so that one call of a key service can sign it."""
_MANIFEST_LIMIT: Final = 5 * 1024 * 1024
_SIZE_LIMIT: Final = 2**53
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LIBC: Final = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}")
_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ARCHIVE_NAME: Final = re.compile(r"[0-9a-f]{32}\.tar\.zst")


class PointerError(ValueError):
    """This is no pointer a reader may follow; the text says why."""


class UnknownSchemaError(PointerError):
    """The pointer is of a later version than this reader knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSummary:
    """An archive's file name within its key, its size in bytes, its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestLocation:
    """Where an archive's manifest frame lies: offset, bytes after and before compression, SHA-256 of the former."""

    offset: int
    packed: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Which archive holds the environment that ``key`` names. ``created`` and ``expires`` are RFC 3339 times, UTC."""

    key: str
    created: str
    archive: ArchiveSummary
    manifest: ManifestLocation
    python: str
    packages: int
    builder: str
    needs: Mapping[str, Any] = field(default_factory=dict)
    realm: str = ""
    expires: str | None = None
    schema: int = SCHEMA

    def to_payload(self) -> bytes:
        """Return the payload of its envelope.

        :raises PointerError: when the payload would be longer than 3,072 bytes
        """
        payload = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        if len(payload) > PAYLOAD_LIMIT:
            raise PointerError(f"a pointer of {len(payload)} bytes is longer than {PAYLOAD_LIMIT}")
        return payload

    def expired(self, now: datetime) -> bool:
        """Whether ``now``, an aware time, is past ``expires``."""
        return self.expires is not None and datetime.fromisoformat(self.expires) <= now

    @classmethod
    def from_payload(cls, payload: bytes, *, key: str) -> Self:
        """Return the pointer that a payload is, once it is one for ``key``.

        :raises UnknownSchemaError: when its schema number is not 1
        :raises PointerError: when it is malformed or for another key
        """
        document = _document(payload)
        schema = document.get("schema")
        if not isinstance(schema, int) or isinstance(schema, bool):
            raise PointerError("the pointer has no schema number")
        if schema != SCHEMA:
            raise UnknownSchemaError(
                f"the pointer has schema {schema}; this version of terrastore reads schema {SCHEMA}"
            )
        if document.get("key") != key:
            raise PointerError("the pointer is for another key")
        archive, manifest = _object(document, "archive"), _object(document, "manifest")
        expires = None if document.get("expires") is None else _time(document, "expires")
        pointer = cls(
            key=key,
            created=_time(document, "created"),
            archive=ArchiveSummary(
                name=_text(archive, "name", _ARCHIVE_NAME),
                size=_number(archive, "size", _SIZE_LIMIT),
                sha256=_text(archive, "sha256", _DIGEST),
            ),
            manifest=ManifestLocation(
                packed=_number(manifest, "packed", _MANIFEST_LIMIT),
                size=_number(manifest, "size", _MANIFEST_LIMIT),
                sha256=_text(manifest, "sha256", _DIGEST),
                offset=_number(manifest, "offset", _SIZE_LIMIT),
            ),
            python=_text(document, "python", _PLAIN),
            packages=_number(document, "packages", _SIZE_LIMIT),
            builder=_text(document, "builder", _PLAIN),
            needs=_needs(_object(document, "needs")),
            realm=_text(document, "realm", _PLAIN),
            expires=expires,
        )
        if pointer.manifest.offset + pointer.manifest.packed > pointer.archive.size:
            raise PointerError("the pointer's manifest lies outside its archive")
        return pointer


def _document(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(payload) if len(payload) <= PAYLOAD_LIMIT else None
        json.dumps(document, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (RecursionError, ValueError):
        raise PointerError("the pointer's payload is not JSON") from None
    if not isinstance(document, dict):
        raise PointerError("the pointer's payload is no JSON object of at most 3,072 bytes")
    return document


def _object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    if not isinstance(value, dict):
        raise PointerError(f"the pointer's {name} is no object")
    return value


def _text(document: Mapping[str, Any], name: str, form: re.Pattern[str] | None = None) -> str:
    value = document.get(name)
    if not isinstance(value, str) or (form is not None and not form.fullmatch(value)):
        raise PointerError(f"the pointer's {name} is not as it should be")
    return value


def _needs(item: dict[str, Any]) -> dict[str, Any]:
    """Return of what is needed that which a pointer tells; all of it is in the manifest."""
    if item.get("libc") is None:
        return {}
    libc = _object(item, "libc")
    return {"libc": {"family": _text(libc, "family", _PLAIN), "version": _text(libc, "version", _LIBC)}}


def _time(document: Mapping[str, Any], name: str) -> str:
    value = _text(document, name, _TIME)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise PointerError(f"the pointer's {name} is no time") from None
    return value


def _number(document: Mapping[str, Any], name: str, most: int) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise PointerError(f"the pointer's {name} is no number from 0 to {most}")
    return value
